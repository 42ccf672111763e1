"""Advantage, checkpoint folders, events: the small stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainer_core import checkpoint
from trainer_core.advantage import credit
from trainer_core.events import EventLog
from trainer_core.rollout import seed, spread
from trainer_core.types import Prompt, Rollout


def scored(*rewards: tuple[int, float | None]) -> list[Rollout]:
    return [
        Rollout(Prompt(group, (1,), "", ""), (2,), (0.0,), "stop", 0, reward=reward)
        for group, reward in rewards
    ]


def test_advantage_is_relative_to_the_group() -> None:
    found = [r.advantage for r in credit(scored((0, 1.0), (0, 0.0), (1, 5.0), (1, 5.0)), "none")]
    assert found == pytest.approx([0.5, -0.5, 0.0, 0.0])


def test_advantage_over_the_groups_or_the_batchs_deviation() -> None:
    rewards = scored((0, 1.0), (0, 0.0), (1, 4.0), (1, 2.0))
    by_group = [r.advantage for r in credit(rewards, "group")]
    assert by_group == pytest.approx(
        [0.5 / (0.5**0.5 + 1e-4), -0.5 / (0.5**0.5 + 1e-4), 1 / (2**0.5 + 1e-4), -1 / (2**0.5 + 1e-4)]
    )
    by_batch = [r.advantage for r in credit(rewards, "batch")]
    assert by_batch[2] == pytest.approx(2 * by_batch[0])


def test_a_lost_sample_is_left_out_of_its_group() -> None:
    found = credit(scored((0, 1.0), (0, None), (0, 0.0), (1, None), (1, 3.0)), "none")
    assert [(r.prompt.index, r.advantage) for r in found] == [(0, 0.5), (0, -0.5), (1, 0.0)]


def test_spread_keeps_order_and_is_even() -> None:
    prompts = [Prompt(i, (1,), "", "") for i in range(10)]
    parts = spread(prompts, 4)
    assert [len(p) for p in parts] == [3, 3, 2, 2]
    assert [p for part in parts for p in part] == prompts
    assert len({seed(run, step, rank) for run in range(5) for step in range(50) for rank in range(8)}) == 2000


class Ranks:
    size = 1

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def each(self, method: str, arguments: Any) -> list[Any]:
        (folder,) = arguments[0]
        (folder / "__0_0.distcp").write_text("weights")
        if self._error:
            raise self._error
        return [None]


def test_only_whole_checkpoints_count(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "none") == (None, [])
    for step in (2, 10, 9):
        checkpoint.save(Ranks(), tmp_path, step, {"position": step * 4})  # type: ignore[arg-type]
    (tmp_path / "step_12").mkdir()
    (tmp_path / "step_12" / "trainer.json").write_text("{}")
    (tmp_path / "step_x").mkdir()
    saved, halves = checkpoint.newest(tmp_path)
    assert saved and (saved.step, saved.state["position"]) == (10, 40)
    assert halves == [tmp_path / "step_12"]


def test_a_failed_save_leaves_the_earlier_checkpoint_and_no_rest(tmp_path: Path) -> None:
    checkpoint.save(Ranks(), tmp_path, 1, {})  # type: ignore[arg-type]
    with pytest.raises(OSError):
        checkpoint.save(Ranks(OSError(28, "No space left on device")), tmp_path, 2, {})  # type: ignore[arg-type]
    saved, halves = checkpoint.newest(tmp_path)
    assert saved and saved.step == 1 and halves == []
    checkpoint.save(Ranks(), tmp_path, 2, {})  # type: ignore[arg-type]
    assert checkpoint.newest(tmp_path)[0].step == 2  # type: ignore[union-attr]


def test_old_checkpoints_go_and_newer_halves_stay(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        checkpoint.save(Ranks(), tmp_path, step, {})  # type: ignore[arg-type]
    (tmp_path / "step_2" / "complete").unlink()
    (tmp_path / "step_9").mkdir()
    checkpoint.prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_3", "step_4", "step_9"]


def test_events_are_lines_and_a_torn_line_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    log = EventLog(file)
    log.write("step_finished", step=1, metrics={"loss": float("nan")}, rank=None, path=tmp_path)
    log.close()
    file.write_text(file.read_text() + '{"v": 1, "t": 1, "ki')
    log = EventLog(file)
    log.write("run_finished", status="done")
    log.close()
    first, torn, last = file.read_text().splitlines()
    assert json.loads(first)["v"] == 1 and "rank" not in json.loads(first)
    assert torn.endswith('"ki') and json.loads(last)["kind"] == "run_finished"
