"""Whose log a file is: one file per rank of any naming, as launchers and people write them."""

# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.logs import LogReading, read
from rldoctor.logs.names import numbered, placed
from rldoctor.types import Event

STEP = "2026-04-02 11:20:0{n},101 - INFO - step {n}/40 loss 2.31 grad_norm 0.8\n"
FRAMES = """\
[rank{rank}]: Traceback (most recent call last):
[rank{rank}]:   File "/job/sft.py", line 71, in main
[rank{rank}]:     loss.backward()
[rank{rank}]:   File "/opt/env/lib/python3.12/site-packages/torch/autograd/graph.py", line 979, in _engine_run_backward
[rank{rank}]:     return Variable._execution_engine.run_backward(
[rank{rank}]: RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/{how}
"""
LOST = "pair.cc:553] Connection closed by peer [10.0.3.8]:5117."
WAITED = "unbound_buffer.cc:78] Timed out waiting 20000ms for recv operation to complete"


def folder(path: Path, shape: str, how: str, silent: int = 2) -> Path:
    """Write the logs of four ranks, all but one of which say how they failed."""
    for rank in range(4):
        file = path / shape.format(rank)
        file.parent.mkdir(exist_ok=True)
        said = "".join(STEP.format(n=n) for n in range(1, 4))
        file.write_text(said + ("" if rank == silent else FRAMES.format(rank=rank, how=how)))
    return path


def of_kind(reading: LogReading, kind: str) -> list[Event]:
    return [event for event in reading.events if event.kind == kind]


@pytest.mark.parametrize(
    "shape", ["worker-{}.log", "{}.out", "job_48123_{}.err", "gpu{}/stderr", "log.{}.txt"]
)
def test_the_rank_that_says_nothing_is_told_by_its_siblings(tmp_path: Path, shape: str) -> None:
    (event,) = of_kind(read([str(folder(tmp_path, shape, LOST))], ()), "process_death")
    assert (event.fields["rank"], event.fields["silent"], event.who.rank) == (2, True, 2)
    assert event.fields["reason"] == "step 3/40 loss 2.31 grad_norm 0.8"


def test_the_rank_that_others_waited_for_is_told_by_its_siblings(tmp_path: Path) -> None:
    (event,) = of_kind(read([str(folder(tmp_path, "train_{}.log", WAITED))], ()), "collective_timeout")
    assert (event.fields["ranks_missing"], event.fields["op"]) == ([2], "all_reduce of gradients")


def test_a_rank_that_raised_something_else_is_why(tmp_path: Path) -> None:
    folder(tmp_path, "worker-{}.log", LOST)
    said = tmp_path / "worker-1.log"
    said.write_text(
        said.read_text().replace("RuntimeError: [/py", "ValueError: bad row [/py").replace(LOST, "x")
    )
    assert not of_kind(read([str(tmp_path)], ()), "process_death")


def test_files_of_several_runs_are_no_ranks() -> None:
    names = [f"/logs/run_{number}.log" for number in range(3)]
    assert numbered(names, {"/logs/run_0.log": 0, "/logs/run_1.log": 0, "/logs/run_2.log": 0}) == {}
    assert numbered(names, {}) == {}
    assert numbered(["/logs/step_100.log", "/logs/step_200.log"], {"/logs/step_100.log": 100}) == {}


def test_one_file_for_each_stream_of_a_rank() -> None:
    names = [f"/logs/job_7_{rank}.{stream}" for rank in range(3) for stream in ("out", "err")]
    found = numbered(names, {"/logs/job_7_0.err": 0, "/logs/job_7_2.err": 2})
    assert found["/logs/job_7_1.out"] == found["/logs/job_7_1.err"] == 1


def test_a_second_node_counts_its_ranks_from_its_first_one(tmp_path: Path) -> None:
    for rank in range(4):
        home = tmp_path / f"node{rank // 2}" / "attempt_0" / str(rank % 2)
        home.mkdir(parents=True)
        (home / "stdout.log").write_text("".join(STEP.format(n=n) for n in range(1, 4)))
        (home / "stderr.log").write_text("" if rank == 2 else FRAMES.format(rank=rank, how=WAITED))
    (event,) = of_kind(read([str(tmp_path)], ()), "collective_timeout")
    assert event.fields["ranks_missing"] == [2]


def test_where_one_node_counts_anew_two_logs_for_one_rank_tell_nothing() -> None:
    names = {f"/{node}/attempt_0/{rank}/stdout.log": rank for node in "abc" for rank in range(2)}
    found = placed(names, {"/b/attempt_0/0/stdout.log": 2})
    assert found["/b/attempt_0/1/stdout.log"] == 3
    assert "/a/attempt_0/1/stdout.log" not in found
    assert placed(names, {}) == names
