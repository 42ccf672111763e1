"""Flight-recorder dumps: three that torch wrote when rank 1 stayed away, and made ones of NCCL's shape."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from rldoctor import dumps
from rldoctor.types import Event

REAL = Path(__file__).parent / "real"
WORLD = [0, 1, 2, 3]


def entry(seq: int, op: str = "nccl:all_reduce", state: str = "completed", **how: Any) -> dict[str, Any]:
    """Return a recorded collective as ProcessGroupNCCL writes it."""
    frames = [
        {"name": "all_reduce", "filename": "/opt/lib/torch/distributed/distributed_c10d.py", "line": 2501},
        {"name": how.get("function", "step"), "filename": "/app/train.py", "line": 10 + seq},
    ]
    return {
        "frames": frames, "record_id": seq, "pg_id": 0,
        "process_group": how.get("group", ("0", "default_pg")),
        "collective_seq_id": seq, "p2p_seq_id": 0, "op_id": seq, "profiling_name": op,
        "time_created_ns": (1_790_000_000 + seq + how.get("later", 0)) * 10**9,
        "time_discovered_started_ns": None,
        "input_sizes": [how.get("size", [4096])], "input_dtypes": [how.get("dtype", "BFloat16")],
        "output_sizes": [how.get("size", [4096])], "output_dtypes": [how.get("dtype", "BFloat16")],
        "state": state, "time_discovered_completed_ns": None, "retired": state == "completed",
        "timeout_ms": 600000, "is_p2p": False,
    }  # fmt: skip


def dump(*entries: dict[str, Any], groups: dict[str, list[int]] | None = None) -> dict[str, Any]:
    groups = groups or {"default_pg": WORLD}
    told = {
        str(n): {"name": str(n), "desc": desc, "ranks": str(ranks)}
        for n, (desc, ranks) in enumerate(groups.items())
    }
    return {
        "version": "2.9",
        "nccl_version": "2.27.3",
        "pg_config": told,
        "pg_status": {},
        "entries": list(entries),
    }


def read(folder: Path, by_rank: dict[int, dict[str, Any]], form: str = "pickle") -> tuple[Event, ...]:
    for rank, value in by_rank.items():
        path = folder / f"nccl_trace_rank_{rank}"
        if form == "json":
            path = path.with_suffix(".json")
            path.write_text(json.dumps({"nccl_version": "2.27.3", **value}))
        else:
            path.write_bytes(pickle.dumps(value, 2))
    return dumps.read(dumps.split([str(folder)])[0]).events


@pytest.mark.parametrize("shape", ["nccl_trace_rank_*", "as_json_rank_*.json"])
def test_torchs_own_dumps_name_the_rank_that_stayed_away(shape: str) -> None:
    paths = sorted(map(str, REAL.glob(shape)))
    found, rest = dumps.split(paths)
    (event,) = dumps.read(found).events
    assert rest == ()
    told = event.fields
    assert (event.kind, told["op"], told["seq"], told["group"]) == (
        "collective_timeout",
        "ALLREDUCE",
        4,
        "default_pg",
    )
    assert (told["ranks_waiting"], told["ranks_missing"]) == ([0, 2], [1])
    assert "did not come" in event.lines[1].text and event.lines[1].who.rank == 1


def test_the_frames_of_who_waits_and_what_the_missing_rank_did_last_are_told(tmp_path: Path) -> None:
    stuck = dump(entry(1), entry(2, state="started"))
    away = dump(entry(1, function="load_batch"))
    (event,) = read(tmp_path, {0: stuck, 1: stuck, 2: stuck, 3: away})
    assert event.fields["frame"] == "step (/app/train.py:12)"
    assert event.fields["missing_last"].endswith("at load_batch (/app/train.py:11)")
    assert event.lines[0].text == "ranks 0-2 wait in ALLREDUCE of 4096 BFloat16, collective 2 of default_pg"


def test_a_rank_missing_because_it_waits_in_another_group_is_not_the_root(tmp_path: Path) -> None:
    groups = {"default_pg": WORLD, "tp": [2, 3]}
    waits = dump(entry(1), entry(2, state="started", later=50), groups=groups)
    inner = dump(entry(1), entry(7, "nccl:all_gather", "started", group=("1", "tp")), groups=groups)
    away = dump(entry(1), entry(6, "nccl:all_gather", group=("1", "tp")), groups=groups)
    events = read(tmp_path, {0: waits, 1: waits, 2: inner, 3: away})
    assert [(e.fields["group"], e.fields["ranks_missing"]) for e in events][:1] == [("tp", [3])]


@pytest.mark.parametrize(
    ("odd", "kind", "field"),
    [
        (entry(2, "nccl:broadcast", "started"), "op", "BROADCAST"),
        (entry(2, state="started", size=[4000]), "shape", "ALLREDUCE of 4000 BFloat16"),
        (entry(2, state="started", dtype="Float"), "dtype", "ALLREDUCE of 4096 Float"),
    ],
)
def test_mismatched_calls_are_told_by_what_differs(tmp_path: Path, odd: Any, kind: str, field: str) -> None:
    usual = dump(entry(1), entry(2, state="started"))
    (event,) = read(tmp_path, {0: usual, 1: usual, 2: dump(entry(1), odd), 3: usual})
    assert event.fields["mismatch"] == kind
    assert event.fields["other_op" if kind == "op" else "other"] == field
    assert event.fields["ranks_missing"] == []
    assert any(line.who.rank == 2 and "called" in line.text for line in event.lines)


def test_uneven_all_to_all_is_no_mismatch_and_finished_ones_are_no_hang(tmp_path: Path) -> None:
    def uneven(size: int) -> dict[str, Any]:
        return dump(entry(1, "nccl:all_to_all", size=[size]), entry(2))

    assert read(tmp_path, {0: uneven(4), 1: uneven(9), 2: uneven(4), 3: uneven(4)}) == ()


def test_members_without_a_dump_are_said_and_not_called_missing(tmp_path: Path) -> None:
    stuck = dump(entry(1), entry(2, state="started"))
    (event,) = read(tmp_path, {0: stuck, 1: stuck}, form="json")
    assert event.fields["ranks_missing"] == []
    assert event.lines[-1].text == "no dump of ranks 2-3, which belong to the group"


def test_strange_entries_are_survived(tmp_path: Path) -> None:
    strange = {
        "entries": [{"profiling_name": 7, "input_sizes": "x", "frames": [3]}, 4, None],
        "pg_config": [1],
    }
    stuck = dump(entry(1), entry(2, state="started"))
    read(tmp_path, {0: strange, 1: stuck})
