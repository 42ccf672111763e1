"""Calibration from what runs leave behind: a framework's log, a memory snapshot."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from rldoctor.estimate import Ask, estimate, measured
from rldoctor.facts import ToldFacts
from rldoctor.types import RLDoctorError

GIB = 2**30
SCRIPT = """\
python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo \\
    data.train_batch_size=512 data.max_prompt_length=1024 data.max_response_length=7168 \\
    actor_rollout_ref.model.path=Qwen/Qwen3-8B actor_rollout_ref.actor.ppo_mini_batch_size=256 \\
    actor_rollout_ref.actor.use_dynamic_bsz=True actor_rollout_ref.actor.ppo_max_token_len_per_gpu=16384 \\
    actor_rollout_ref.rollout.name=vllm trainer.n_gpus_per_node=8 trainer.nnodes=1
"""


def snapshot(path: Path, peak: int, *, history: bool = True, failed: bool = False) -> str:
    """Write a snapshot whose history holds ``peak`` bytes at once and ends with 2 GiB."""
    state = {"state": "active_allocated", "address": 0, "size": 2 * GIB, "requested_size": 2 * GIB}
    segment = {"device": 0, "address": 0, "total_size": peak, "allocated_size": 2 * GIB, "blocks": [state]}
    more: dict[str, Any] = {"addr": 2 * GIB, "size": peak - 2 * GIB, "stream": 0, "frames": []}
    trace = [{**more, "action": "alloc"}, {**more, "action": "free_completed"}] if history else []
    trace += [{**more, "action": "oom", "size": 4 * GIB, "device_free": GIB}] if failed else []
    whole = {"segments": [segment], "device_traces": [trace], "allocator_settings": {}}
    path.write_bytes(pickle.dumps(whole))
    return str(path)


def told(tmp_path: Path, peaks: str) -> dict[str, Any]:
    script = tmp_path / "run.sh"
    script.write_text(SCRIPT)
    report = estimate([str(script)], ToldFacts(set={"cluster.gpu_memory_gib": "79.1"}), Ask(peaks=(peaks,)))
    assert report.memory is not None
    found: dict[str, Any] = report.memory["estimates"][0]
    return found


def test_a_snapshots_highest_moment_is_a_peak(tmp_path: Path) -> None:
    path = snapshot(tmp_path / "memory_rank0.pickle", 50 * GIB)
    (peak,) = measured.peaks(path)
    assert (peak.target, peak.bytes, peak.tokens) == ("allocated", 50 * GIB, None)
    found = told(tmp_path, path)
    assert found["calibration"]["says"].startswith("calibrated on 1 step, ±")
    assert found["phases"][0]["allocated_gib"] == pytest.approx(50, rel=0.01)


@pytest.mark.parametrize(("how", "says"), [({"history": False}, "no history"), ({"failed": True}, "ran out")])
def test_a_snapshot_that_shows_no_peak_is_refused(tmp_path: Path, how: dict[str, bool], says: str) -> None:
    with pytest.raises(RLDoctorError, match=says):
        list(measured.peaks(snapshot(tmp_path / "memory_rank0.pickle", 50 * GIB, **how)))


def test_the_fullest_steps_of_a_log_calibrate(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    rows = [
        f"(TaskRunner pid=1) step:{step} - actor/loss:0.1 - perf/max_memory_allocated_gb:{size} "
        f"- perf/max_memory_reserved_gb:{size + 4} - training/global_step:{step}"
        for step, size in enumerate((30.1, 44.0, 44.5, 44.2, 31.0), 1)
    ]
    log.write_text("\n".join(rows) + "\n")
    assert sorted(round(peak.bytes / GIB, 2) for peak in measured.peaks(str(log))) == [48.0, 48.2, 48.5]
    found = told(tmp_path, str(log))
    assert found["calibration"]["says"].startswith("calibrated on 3 steps, ±")
    assert found["phases"][0]["reserved_gib"] == pytest.approx(48.2, rel=0.01)
