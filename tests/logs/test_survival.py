"""Signs that a run lives on where no steps are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding


@pytest.fixture
def found(tmp_path: Path) -> Callable[[str], list[Finding]]:
    """Return what diagnose says of a log, hints left out."""

    def run(text: str) -> list[Finding]:
        path = tmp_path / "run.log"
        path.write_text(text)
        return [
            f for f in diagnose([str(path)], None, ToldFacts()).findings if f.severity in ("error", "warning")
        ]

    return run


STARTED = "(APIServer pid=77) INFO:     Application startup complete.\n"
TOO_LONG = (
    "(APIServer pid=77) ERROR 03-02 12:00:00 [serving_chat.py:203] ValueError: This model's maximum context "
    "length is 2048 tokens. However, you requested 5418 tokens (3918 in the messages).\n"
)
SERVED = '(APIServer pid=77) INFO:     10.0.0.1:40{n} - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'


def test_a_server_that_serves_on_has_no_error(found: Callable[[str], list[Finding]]) -> None:
    later = "".join(SERVED.format(n=n) for n in range(30, 33))
    assert found(STARTED + TOO_LONG + later) == []


def test_a_request_that_is_refused_with_an_answer_is_no_error(found: Callable[[str], list[Finding]]) -> None:
    refused = SERVED.format(n=31).replace("200 OK", "400 Bad Request")
    assert found(STARTED + TOO_LONG + refused + "(APIServer pid=77) INFO:     Shutting down\n") == []


def test_a_server_that_says_nothing_more_has_one(found: Callable[[str], list[Finding]]) -> None:
    assert [f.rule for f in found(STARTED + SERVED.format(n=29) + TOO_LONG)] == [
        "prompt-longer-than-the-context"
    ]


def test_an_engine_inside_a_run_does_not_speak_for_the_trainer(found: Callable[[str], list[Finding]]) -> None:
    engine = "(WorkerDict pid=9) INFO 03-02 12:00:0{n} Avg prompt throughput: 9.1 tokens/s\n"
    text = "(main_task pid=8) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
    assert found(text + "".join(engine.format(n=n) for n in range(5)))


def caught(pid: int, minute: int, item: str, error: str = "ValueError: no answer in") -> str:
    said = (
        f"ERROR:2026-03-02 12:{minute:02}:00,118:Traceback (most recent call last):",
        '  File "/app/agent/tools.py", line 27, in parse',
        "    return parser(text)",
        '  File "/app/agent/parsing.py", line 61, in answer',
        "    raise ValueError(text)",
        f"{error} {item}",
    )
    return "".join(f"(ToolWorker pid={pid}) {line}\n" for line in said)


def test_what_one_worker_raises_again_and_again_is_caught(found: Callable[[str], list[Finding]]) -> None:
    text = "".join(caught(51, minute, f"'item {minute}'") for minute in range(3))
    assert found(text + caught(52, 9, "'item 9'")) == []


def test_what_each_of_several_workers_raises_once_is_not(found: Callable[[str], list[Finding]]) -> None:
    text = "".join(caught(50 + minute, minute, f"'item {minute}'") for minute in range(3))
    assert [f.rule for f in found(text)] == ["unrecognised"]


def test_a_device_that_fails_again_and_again_is_not_caught(found: Callable[[str], list[Finding]]) -> None:
    error = "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"
    assert found("".join(caught(51, minute, "", error) for minute in range(4)))


@pytest.mark.parametrize(
    "line",
    [
        "[2026-03-02 12:00:00] Ignore import error when loading sglang.srt.models.mindspore: "
        "No module named 'mindspore'",
        "(WorkerDict pid=9) WARNING 03-02 12:00:00 [tokenizer.py:284] No tokenizer found in /stub, using "
        "base model tokenizer instead. (Exception: Repo id must use alphanumeric chars, '-', '_' or '.'.)",
        "WARNING 03-02 12:00:00 [arg_utils.py:1600] VLLM_ATTENTION_BACKEND=XFORMERS is not supported by the "
        "V1 Engine. Falling back to V0.",
    ],
)
def test_a_warning_that_tells_what_is_done_instead_is_no_finding(
    found: Callable[[str], list[Finding]], line: str
) -> None:
    assert found(f"{line}\n") == []


def test_the_same_words_as_an_error_are_one(found: Callable[[str], list[Finding]]) -> None:
    assert found("ModuleNotFoundError: No module named 'mindspore'\n")


def test_a_level_behind_a_torn_stack_is_no_exception(found: Callable[[str], list[Finding]]) -> None:
    text = caught(51, 1, "'x'").replace(
        "ValueError: no answer in 'x'", "ERROR:2026-03-02 12:01:01,1:gave up item 4"
    )
    assert not any("ERROR: 2026" in f.title for f in found(text))


@pytest.mark.parametrize(
    "line", ["Aborted request chat-fd92a85f", "Killed requests: 3", "==== ERROR CASES ===="]
)
def test_words_that_only_look_like_an_end_are_none(found: Callable[[str], list[Finding]], line: str) -> None:
    assert found(f"INFO serving\nINFO 04-28 16:57:57 async_llm_engine.py:220] {line}\n{line}\n") == []


def test_a_stack_that_the_log_tears_inside_of_a_frame_is_one(found: Callable[[str], list[Finding]]) -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/app/track.py", line 81, in handler\n    run.finish(error)\n'
        '  File "/app/track.py", line 237, in finish\n    self.cleanup(error)\n  File "/home/me/co'
    )
    assert [f.rule for f in found(text)] == ["unrecognised"]


def test_an_agents_step_in_its_environment_is_none_of_the_training(
    found: Callable[[str], list[Finding]],
) -> None:
    played = "INFO [30{n}afd] Step {n} - Env response: reward=0, done=False, obs='no'\n"
    assert found("".join(played.format(n=n) for n in range(1, 9))) == []


def test_the_last_line_of_a_trainer_is_no_further_step(found: Callable[[str], list[Finding]]) -> None:
    said = "'completions/mean_length': 53.0, 'reward': {r}, 'reward_std': {s}, 'frac_reward_zero_std': {z}"
    step = "{{'loss': 0.04, 'grad_norm': 2.2, " + said + "}}\n"
    last = "{{'train_runtime': 133.8, 'train_loss': 0.03, " + said + "}}\n"
    assert found(step.format(r=0.15, s=0.2, z=0.8) + last.format(r=0.1, s=0.0, z=1.0)) == []


def test_a_server_that_only_counts_idle_seconds_has_not_gone_on(
    found: Callable[[str], list[Finding]],
) -> None:
    idle = "(APIServer pid=77) INFO Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 0.0\n"
    slept = '(APIServer pid=77) INFO:     10.0.0.1:400{n} - "POST /sleep HTTP/1.1" 200 OK\n'
    later = "".join(idle.format(n=n) + slept.format(n=n) for n in range(20, 24))
    assert found(STARTED + "CUDA Error: out of memory at /src/csrc/cumem_allocator.cpp:139\n" + later)


def test_a_word_behind_a_bar_says_how_the_process_ended(found: Callable[[str], list[Finding]]) -> None:
    bar = "training:  68%|######8   | 15/22 [00:19<00:09,  1.29s/it]Killed\n"
    assert [f.rule for f in found("loading data\n" + bar)] == ["process-killed"]


def test_a_bar_of_answers_is_no_step_under_way(found: Callable[[str], list[Finding]]) -> None:
    bar = "{what}:   0%|          | 0/9 [00:00<?, ?it/s, est. speed input: 0.00 toks/s]\n"
    assert found("INFO engine is up\n" + bar.format(what="Processed prompts")) == []
    assert [f.rule for f in found("INFO engine is up\n" + bar.format(what="Training"))] == [
        "log-ends-under-way"
    ]


def test_a_record_without_steps_is_survived_with_its_twin(tmp_path: Path) -> None:
    died = (
        "A worker died or was killed while executing a task by an unexpected system error. To troubleshoot"
        " the problem, check the logs for the dead worker. Worker ID: fb9f23694e56233060f27777"
    )
    steps = "".join(f"step:{n} - actor/grad_norm:0.3 - actor/pg_loss:0.1\n" for n in (4, 5, 6))
    (tmp_path / "driver.log").write_text(f"(raylet) {died}\n{steps}")
    (tmp_path / "raylet.err").write_text(f"{died}\n")
    assert not [f for f in diagnose([str(tmp_path)], None, ToldFacts()).findings if f.severity == "error"]
    (tmp_path / "driver.log").write_text(f"{steps}(raylet) {died}\n")
    assert [f for f in diagnose([str(tmp_path)], None, ToldFacts()).findings if f.severity == "error"]
