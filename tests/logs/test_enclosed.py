"""Stacks within one line."""

import json

import pytest

from rldoctor.logs.enclosed import told, unfolded
from rldoctor.logs.tracebacks import assemble
from rldoctor.types import LogLine

STACK = (
    'Traceback (most recent call last):\n  File "/app/zoo.py", line 3, in feed\n'
    '    bite(x)\nzoo.NoNeck: it\'s none of "ours"\n'
)


def line(text: str) -> LogLine:
    return LogLine("train.log", 7, text)


@pytest.mark.parametrize(
    "text",
    [
        f"feeding failed\n{STACK}",
        '      "py_callstack": ' + json.dumps(STACK) + ",",
        '{"message": {"message": "cut", "extraInfo": {"py_callstack": '
        + json.dumps(STACK)
        + ', "timestamp": "16',
        f"ERROR:root:feeding failed {{'message': {STACK!r}}}",
        json.dumps({"level": "error", "inner": json.dumps({"trace": STACK})}),
    ],
)
def test_a_stack_in_one_line_is_read_like_any_other(text: str) -> None:
    (failure,) = assemble([line(text)])
    assert failure.exception == "zoo.NoNeck"
    assert failure.message.startswith("it's none of")
    assert [(frame.function, frame.code) for frame in failure.frames][:1] == [("feed", "bite(x)")]
    assert failure.line.text.strip().startswith("zoo.NoNeck") and failure.line.number == 7


def test_what_a_tool_gave_a_model_is_no_failure() -> None:
    row = json.dumps({"role": "tool", "content": STACK})
    assert list(unfolded(line(row))) == [line(row)]


def test_other_lines_stay() -> None:
    plain = line(r"C:\new folder is no stack")
    assert list(unfolded(plain)) == [plain]


def test_a_text_of_several_lines_is_quoted_by_one() -> None:
    assert told(f"feeding failed\n{STACK}") == 'zoo.NoNeck: it\'s none of "ours"'
    assert told("CUDA error: no neck\nCompile with more\n") == "CUDA error: no neck"
