"""Memory snapshots of torch's shape: who held what at the peak, fragments, and the request that failed."""

import pickle
from pathlib import Path
from typing import Any

from rldoctor import dumps

GIB = 1 << 30


def frames(*places: str) -> list[dict[str, Any]]:
    return [{"name": p, "filename": f"/app/{p}.py", "line": 5} for p in places]


def block(address: int, size: int, where: str | None) -> dict[str, Any]:
    state = "active_allocated" if where else "inactive"
    return {"address": address, "size": size, "requested_size": size, "state": state,
            "frames": frames(where, "main") if where else []}  # fmt: skip


def act(action: str, address: int, size: int, where: str = "logits") -> dict[str, Any]:
    return {
        "action": action,
        "addr": address,
        "size": size,
        "stream": 0,
        "frames": frames(where),
        "time_us": 1,
    }


def snapshot(trace: list[dict[str, Any]]) -> dict[str, Any]:
    blocks = [block(0, 4 * GIB, "weights"), block(4 * GIB, 3 * GIB, None), block(7 * GIB, GIB, "cache"),
              block(8 * GIB, 2 * GIB, None)]  # fmt: skip
    segment = {"device": 0, "address": 0, "total_size": 10 * GIB, "allocated_size": 5 * GIB, "blocks": blocks}
    return {"segments": [segment], "device_traces": [trace], "allocator_settings": {}}


def write(folder: Path, trace: list[dict[str, Any]]) -> list[str]:
    path = folder / "memory_rank3.pickle"
    path.write_bytes(pickle.dumps(snapshot(trace)))
    return [str(path)]


def test_the_holders_at_the_peak_are_found_by_replaying_the_history(tmp_path: Path) -> None:
    trace = [act("alloc", 4 * GIB, 3 * GIB), act("free_completed", 4 * GIB, 3 * GIB)]
    trace.append({**act("oom", 0, 4 * GIB, "forward"), "device_free": GIB})
    (event,) = dumps.read(dumps.split(write(tmp_path, trace))[0]).events
    told = event.fields
    assert (told["bytes_asked"], told["bytes_free"]) == (4 * GIB, GIB)
    assert (told["bytes_allocated"], told["bytes_reserved"], told["fragmented"]) == (5 * GIB, 10 * GIB, True)
    assert told["frame"] == "forward (/app/forward.py:5)"
    texts = [line.text for line in event.lines]
    assert "8.00 GiB at the peak" in texts[0] and "largest free piece 3.00 GiB" in texts[0]
    assert texts[1].startswith("held 4.00 GiB in 1 block: weights")
    assert texts[2].startswith("held 3.00 GiB in 1 block: logits")
    assert event.who.rank == 3


def test_a_true_shortage_is_not_called_fragmentation(tmp_path: Path) -> None:
    trace = [{**act("oom", 0, 8 * GIB), "device_free": GIB}]
    (event,) = dumps.read(dumps.split(write(tmp_path, trace))[0]).events
    assert event.fields["fragmented"] is False


def test_a_snapshot_without_a_failed_request_asks_for_nothing(tmp_path: Path) -> None:
    (event,) = dumps.read(dumps.split(write(tmp_path, []))[0]).events
    assert "bytes_asked" not in event.fields
