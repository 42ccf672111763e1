"""Lines of JSON: what collectors and loggers wrap."""

import json

import pytest

from rldoctor.logs.json_lines import carried

STACK = 'Traceback (most recent call last):\n  File "/app/zoo.py", line 3, in feed\nZooError: no neck\n'
SAID = "RuntimeError: NCCL error"


@pytest.mark.parametrize(
    "told",
    [
        {"insertId": "1", "jsonPayload": {"message": SAID, "levelname": "ERROR"}},
        {"body": {"stringValue": SAID}, "severity": "ERROR"},
        {"level": "error", "event": SAID},
        {"text": SAID, "record": {"level": {"name": "ERROR"}}},
        {"level": "error", "error": SAID},
    ],
)
def test_a_message_is_found_where_collectors_keep_it(told: dict[str, object]) -> None:
    assert carried(json.dumps(told)) == SAID


def test_a_time_of_a_search_engine() -> None:
    assert (
        carried('{"@timestamp": "2026-01-02T03:04:05Z", "message": "step 3"}')
        == "2026-01-02T03:04:05Z step 3"
    )


@pytest.mark.parametrize(
    "where",
    [
        {"exc_info": STACK},
        {"error": {"message": "no neck", "stack_trace": STACK}},
        {"attributes": {"exception.stacktrace": STACK}},
    ],
)
def test_a_stack_in_a_field_of_its_own_follows_its_message(where: dict[str, object]) -> None:
    assert carried(json.dumps({"message": "feeding failed", **where})) == f"feeding failed\n{STACK.rstrip()}"


def test_a_row_of_data_is_no_message() -> None:
    row = '{"text": "Traceback (most recent call last): is what the user wrote"}'
    assert carried(row) == row


def test_what_is_no_json_stays() -> None:
    assert carried('{"message": "cut he') == '{"message": "cut he'
