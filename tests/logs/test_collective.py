# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from collections.abc import Callable

import pytest

from rldoctor.logs import LogReading
from rldoctor.types import Event

SAVING = """#0 all_gather_object from /opt/env/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py:3000
#1 save from /opt/env/lib/python3.11/site-packages/megatron/core/dist_checkpointing/strategies/fully_parallel.py:95
#2 save_checkpoint from /work/app/workers/manager.py:356
#3 <module> from /work/app/main.py:3
"""


def watchdog(
    rank: int, seq: int = 29, op: str = "ALLREDUCE", pg: str = "PG ID 0 PG GUID 0(default_pg)"
) -> str:
    head = f"[rank{rank}]:[E501 10:26:40.0{rank:02d}493187 ProcessGroupNCCL.cpp:629] "
    return (
        f"{head}[Rank {rank}] Watchdog caught collective operation timeout: WorkNCCL(SeqNum={seq}, OpType={op}, NumelIn=4, "
        "NumelOut=4, Timeout(ms)=600000) ran for 600014 milliseconds before timing out.\n"
        f"{head}[{pg} Rank {rank}]  failure detected by watchdog at work sequence id: {seq} PG status: last enqueued "
        f"work: {seq + 1}, last completed work: {seq - 1}\n"
    )


def collectives(reading: LogReading) -> list[Event]:
    return [event for event in reading.events if event.kind == "collective_timeout"]


def test_v2_diagnose_names_collective_group_and_waiting_ranks(reading: Callable[..., LogReading]) -> None:
    (event,) = collectives(
        reading("2026-05-01 10:00:00 start\n" + "".join(watchdog(rank) for rank in (5, 2, 9)))
    )
    assert {
        name: event.fields[name] for name in ("op", "seq", "group", "elements", "timeout_ms", "elapsed_ms")
    } == {
        "op": "ALLREDUCE",
        "seq": 29,
        "group": "default_pg",
        "elements": 4,
        "timeout_ms": 600000,
        "elapsed_ms": 600014,
    }
    assert event.fields["ranks_waiting"] == [2, 5, 9]
    assert (event.fields["last_enqueued"], event.fields["last_completed"]) == (30, 28)
    assert {who.rank for who in event.spread} == {2, 5, 9}
    assert event.time is not None
    assert event.lines[0].number == 2


def test_v2_diagnose_says_that_the_flight_recorder_was_off(reading: Callable[..., LogReading]) -> None:
    off = (
        "[rank5]:[E501 10:26:40.08 ProcessGroupNCCL.cpp:667] Stack trace of the failed collective not found, potentially "
        "because FlightRecorder is disabled. You can enable it by setting TORCH_NCCL_TRACE_BUFFER_SIZE\n"
    )
    (event,) = collectives(reading(watchdog(5) + off))
    assert event.fields["flight_recorder"] is False
    assert "frames" not in event.fields


def test_v1_diagnose_the_recorded_stack_tells_that_it_was_saving(reading: Callable[..., LogReading]) -> None:
    head = "[rank5]:[E501 10:26:40.08 ProcessGroupNCCL.cpp:664] Stack trace of the failed collective:\n"
    (event,) = collectives(reading(watchdog(5) + head + SAVING + "another line\n"))
    assert event.phase == "checkpoint"
    assert event.fields["flight_recorder"] is True
    assert event.fields["frames"][0].startswith("<module>") and len(event.fields["frames"]) == 4
    assert event.fields["frame"].startswith("save (")


@pytest.mark.parametrize("spread", ["\n\n", "\nworker-1: ", "\nMar  4 05:06:07 node1 train.sh[42]: "])
def test_a_recorded_stack_is_read_behind_labels_and_between_empty_lines(
    reading: Callable[..., LogReading], spread: str
) -> None:
    head = "[rank5]:[E501 10:26:40.08 ProcessGroupNCCL.cpp:664] Stack trace of the failed collective:\n"
    text = (watchdog(5) + head + SAVING).replace("\n", spread)
    (event,) = collectives(reading(text))
    assert event.phase == "checkpoint" and len(event.fields["frames"]) == 4


def test_v3_diagnose_with_and_without_the_parallel_strategy(reading: Callable[..., LogReading]) -> None:
    for op in ("ALLREDUCE", "ALLGATHER"):
        head = "[rank1]:[E501 10:26:40.08 ProcessGroupNCCL.cpp:664] Stack trace of the failed collective:\n"
        (event,) = collectives(reading(watchdog(1, op=op) + head + SAVING))
        assert (event.fields["op"], event.phase) == (op, "checkpoint")


def test_v2_diagnose_the_drivers_traceback_tells_the_phase_where_ranks_do_not(
    reading: Callable[..., LogReading],
) -> None:
    driver = (
        "Traceback (most recent call last):\n"
        '  File "/app/trainer.py", line 9, in _save_checkpoint\n    group.save_checkpoint(path)\n'
        "ray.exceptions.ActorUnavailableError: The actor 27 is unavailable: keepalive watchdog timeout\n"
    )
    (event,) = collectives(reading(driver + watchdog(3)))
    assert event.phase == "checkpoint"


def test_v2_diagnose_rays_repetition_is_not_taken_for_missing_ranks(
    reading: Callable[..., LogReading],
) -> None:
    lines = "".join(
        f"(W pid=38, ip=10.0.0.39) {line} [repeated 14x across cluster]\n"
        for line in watchdog(11).splitlines()
    )
    (event,) = collectives(reading("[rank3]: Traceback (most recent call last):\n" + lines))
    assert event.fields["ranks_waiting"] == [11]
    assert "ranks_missing" not in event.fields
    assert event.lines[0].repeated == 14


def test_v2_diagnose_a_rank_that_spoke_but_does_not_wait_is_missing(
    reading: Callable[..., LogReading],
) -> None:
    lost = '[rank2]: Traceback (most recent call last):\n[rank2]:   File "a.py", line 1, in f\n[rank2]: KeyError: 1\n'
    (event,) = collectives(reading(lost + "".join(watchdog(rank) for rank in (0, 1, 3))))
    assert event.fields["ranks_missing"] == [2]


def test_ranks_of_one_group_in_different_operations(reading: Callable[..., LogReading]) -> None:
    events = collectives(reading(watchdog(0) + watchdog(1, op="ALLGATHER")))
    assert {(event.fields["op"], event.fields["other_op"]) for event in events} == {
        ("ALLREDUCE", "ALLGATHER"),
        ("ALLGATHER", "ALLREDUCE"),
    }


def test_groups_are_told_apart(reading: Callable[..., LogReading]) -> None:
    events = collectives(reading(watchdog(0) + watchdog(1, seq=7, pg="PG ID 2 PG GUID 9")))
    assert [(event.fields["group"], event.fields["ranks_waiting"]) for event in events] == [
        ("default_pg", [0]),
        ("PG 2 9", [1]),
    ]


def test_older_torch_without_numbers(reading: Callable[..., LogReading]) -> None:
    (event,) = collectives(
        reading(
            "[E ProcessGroupNCCL.cpp:828] [Rank 3] Watchdog caught collective operation timeout: WorkNCCL(OpType=ALLREDUCE, "
            "Timeout(ms)=1800000) ran for 1800123 milliseconds before timing out.\n"
        )
    )
    assert event.fields["ranks_waiting"] == [3]
    assert "seq" not in event.fields


def test_thousands_of_ranks_are_one_event(reading: Callable[..., LogReading]) -> None:
    (event,) = collectives(reading("".join(watchdog(rank) for rank in range(3000))))
    assert event.fields["ranks_waiting"] == list(range(3000))
