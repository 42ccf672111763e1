"""Ranks that were at work while others waited, and Gloo's own time-outs."""

from __future__ import annotations

from pathlib import Path

from rldoctor import logs
from rldoctor.types import Event

TIMED_OUT = (
    "[rank1]:[E302 05:18:04.907052983 ProcessGroupNCCL.cpp:629] [Rank 1] Watchdog caught collective operation"
    " timeout: WorkNCCL(SeqNum=46, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=600000)"
    " ran for 600029 milliseconds before timing out.\n"
)
STACK = """[rank{rank}]: Traceback (most recent call last):
[rank{rank}]:   File "/app/train.py", line {line}, in main
[rank{rank}]:     step()
[rank{rank}]:   File "/venv/torch/distributed/distributed_c10d.py", line 9, in {op}
[rank{rank}]:     work.wait()
[rank{rank}]: RuntimeError: [unbound_buffer.cc:78] Timed out waiting 30000ms for recv operation to complete
"""


def event(tmp_path: Path, text: str) -> Event:
    log = tmp_path / "train.log"
    log.write_text(text)
    reading = logs.read([str(log)], [])
    return next(event for event in reading.events if event.kind == "collective_timeout")


def test_k1_a_rank_that_speaks_of_its_work_is_late_not_missing(tmp_path: Path) -> None:
    found = event(tmp_path, "[2026-03-02 05:16:12,000][INFO][rank0] train: written 93 of 120\n" + TIMED_OUT)
    assert found.fields["progress"] is True
    assert found.fields["ranks_missing"] == []
    assert any("written 93" in line.text for line in found.lines)


def test_k1_the_last_breath_before_the_wait_is_no_progress(tmp_path: Path) -> None:
    found = event(tmp_path, "[2026-03-02 05:08:05,000][INFO][rank0] train: step 7 begins\n" + TIMED_OUT)
    assert "progress" not in found.fields


def test_k1_a_save_longer_than_the_timeout_is_progress(tmp_path: Path) -> None:
    saved = "[2026-03-02 05:19:41,000][INFO][rank0] checkpoint saved, took 12.2 min\n"
    assert event(tmp_path, TIMED_OUT + saved).fields["progress"] is True


def test_k1_a_short_save_says_nothing(tmp_path: Path) -> None:
    saved = "[2026-03-02 05:07:41,000][INFO][rank0] checkpoint saved, took 31 s\n"
    assert "progress" not in event(tmp_path, saved + TIMED_OUT).fields


def test_gloo_tells_by_the_stacks_who_is_elsewhere(tmp_path: Path) -> None:
    loaded = "".join(f"[rank{n}]: loaded {360 if n == 2 else 400} rows from s{n}\n" for n in range(3))
    stacks = "".join(STACK.format(rank=n, line=55, op="all_reduce") for n in (0, 1))
    found = event(tmp_path, loaded + stacks + STACK.format(rank=2, line=80, op="barrier"))
    assert found.fields["ranks_waiting"] == [0, 1, 2]
    assert {found.fields["op"], found.fields["other_op"]} == {"all_reduce", "barrier"}
    assert found.fields["timeout_ms"] == 30000
    assert "loaded 360 rows" in found.lines[0].text


def test_gloo_ranks_in_one_collective_have_no_other(tmp_path: Path) -> None:
    stacks = "".join(STACK.format(rank=n, line=55, op="all_reduce") for n in (0, 1))
    assert "other_op" not in event(tmp_path, stacks).fields
