"""Tracebacks in colours: rules find in them what they find in plain ones."""

from pathlib import Path

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.logs.coloured import without

PYTHON = (
    "Traceback (most recent call last):\n"
    '  File \x1b[35m"/srv/job/train.py"\x1b[0m, line \x1b[35m12\x1b[0m, in \x1b[35mmain\x1b[0m\n'
    "    data = \x1b[31mload\x1b[0m\x1b[1;31m(name)\x1b[0m\n"
    "\x1b[1;35m{0}\x1b[0m: \x1b[35m{1}\x1b[0m\n"
)
NOTEBOOK = "Traceback (most recent call last)\n\x1b[0;31m{0}\x1b[0m: {1}\n"
TODAY = "Traceback (most recent call last)\n\x1b[31m{0}\x1b[39m: {1}\n"
STEP = "step:{0} - actor/grad_norm:0.3 - actor/pg_loss:0.1\n"


def first(folder: Path, text: str) -> tuple[str, str, int | None]:
    (folder / "run.log").write_text(text)
    finding = diagnose([str(folder / "run.log")], None, ToldFacts()).findings[0]
    return finding.rule, finding.evidence[0].text, finding.evidence[0].line


@pytest.mark.parametrize("shape", [PYTHON, NOTEBOOK, TODAY])
def test_a_known_failure_is_known_in_colours_too(tmp_path: Path, shape: str) -> None:
    text = STEP.format(1) + shape.format("ValueError", "Unknown split \"test\". Should be one of ['train'].")
    rule, line, number = first(tmp_path, text)
    assert rule == "data-set-not-found"
    assert line == "ValueError: Unknown split \"test\". Should be one of ['train']."
    assert number == len(text.splitlines())


def test_a_pattern_that_is_bound_to_the_end_holds(tmp_path: Path) -> None:
    rule, line, _ = first(tmp_path, PYTHON.format("KeyboardInterrupt", "terminated"))
    assert (rule, line) == ("engine-server-told-to-end", "KeyboardInterrupt: terminated")


def test_coloured_lines_do_not_disturb_the_order_of_others(tmp_path: Path) -> None:
    noise = '\x1b[32mINFO\x1b[0m:     10.0.0.1:4000 - "GET /health HTTP/1.1" 200 OK\n' * 300
    text = noise + PYTHON.format("ModuleNotFoundError", "No module named 'apex_ops'") + noise
    rule, line, number = first(tmp_path, text)
    assert (rule, line) == ("module-missing", "ModuleNotFoundError: No module named 'apex_ops'")
    assert number == 304


def test_other_lines_keep_their_bytes() -> None:
    prefixed = b"\x1b[36m(TaskRunner pid=7)\x1b[0m step:3 - actor/loss:0.1"
    assert without(prefixed) is prefixed
