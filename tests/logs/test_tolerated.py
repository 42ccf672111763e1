"""What a run survives again and again does not end it, also after the last step."""

from __future__ import annotations

from pathlib import Path

from rldoctor import logs

TOOL = """Traceback (most recent call last):
  File "<string>", line 1, in <module>
ModuleNotFoundError: No module named 'numpyy'
"""


def step(number: int) -> str:
    return f"step:{number} - actor/grad_norm:0.31 - critic/rewards/mean:0.2\n"


def last_goes_on(tmp_path: Path, text: str) -> bool:
    log = tmp_path / "train.log"
    log.write_text(text)
    reading = logs.read([str(log)], ["ModuleNotFoundError"])
    return reading.went_on(reading.hits["ModuleNotFoundError"][-1])


def test_an_exception_of_every_step_is_tolerated_after_the_last_one(tmp_path: Path) -> None:
    text = "".join(step(2 * n) + TOOL + step(2 * n + 1) for n in range(1, 5))
    assert last_goes_on(tmp_path, text + TOOL)


def test_an_exception_that_was_survived_once_may_end_the_run(tmp_path: Path) -> None:
    assert not last_goes_on(tmp_path, step(1) + TOOL + step(2) + step(3) + TOOL)


def test_an_exception_that_the_program_passes_over_ends_nothing(tmp_path: Path) -> None:
    assert last_goes_on(tmp_path, TOOL + "WARNING reward: could not parse 1 answer, going on\n")


def test_the_last_of_several_tries_is_not_passed_over(tmp_path: Path) -> None:
    assert not last_goes_on(tmp_path, TOOL + "Retrying (1 of 1)\n" + TOOL + "giving up\n")


def test_an_exception_quoted_by_a_line_that_says_retrying_ends_nothing(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text(
        'WARNING:root:the judge failed once (ray::score() (pid=7)\n  File "/app/judge.py", line 9, in score\n'
        '    raise ConnectionError("no answer")\nConnectionError: no answer), retrying\nscored 4\n'
    )
    assert all(failure.ignored for failure in logs.read([str(log)], []).failures)


WARMUP = """\
(APIServer pid=9) WARNING 11-21 20:19:52 [base.py:380] Chat template warmup failed
(APIServer pid=9) WARNING 11-21 20:19:52 [base.py:380] Traceback (most recent call last):
(APIServer pid=9) WARNING 11-21 20:19:52 [base.py:380]   File "/vllm/renderers/base.py", line 373, in warmup
(APIServer pid=9) WARNING 11-21 20:19:52 [base.py:380]     self.render_chat(chats)
(APIServer pid=9) WARNING 11-21 20:19:52 [base.py:380] ModuleNotFoundError: no tokenizer
"""


def test_what_is_logged_as_a_warning_was_caught_if_its_process_speaks_on(tmp_path: Path) -> None:
    assert last_goes_on(tmp_path, WARMUP + "(APIServer pid=9) INFO 11-21 20:19:53 [api.py:40] serving\n")
    assert not last_goes_on(tmp_path, WARMUP)
    error = WARMUP.replace("WARNING", "ERROR")
    assert not last_goes_on(tmp_path, error + "(APIServer pid=9) INFO 11-21 20:19:53 [api.py:40] serving\n")
