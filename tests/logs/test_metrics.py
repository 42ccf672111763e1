# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from rldoctor.logs import LogReading

VERL = "(TaskRunner pid=8) step:{0} - actor/pg_loss:0.25 - actor/grad_norm:{1} - critic/rewards/mean:0.5 - response_length/clip_ratio:0.125 - timing_s/step:30.5\n"
MEGATRON = " [2026-05-01 10:00:0{0}] iteration {0}/ 100 | consumed samples: 64 | elapsed time per iteration (ms): 2000.0 | learning rate: 1.0E-06 | lm loss: {1} | grad norm: 0.5 | number of nan iterations: 0 |\n"
SLIME = "(Actor pid=2) [2026-05-01 10:00:00] model.py:60 - step {0}: {{'train/loss': {1}, 'train/grad_norm': 0.5, 'train/ppo_kl': 0.0}}\n"
TRL = "{{'loss': {1}, 'grad_norm': 0.5, 'learning_rate': 1e-06, 'reward': 0.25, 'completions/clipped_ratio': 1.0, 'epoch': 0.{0}}}\n"
ANY = "INFO trainer: step={0} epoch=0 train/loss={1} train/grad_norm=0.5 tok/s=80\n"
WORDS = "2026/05/01 10:00:00.5 train INFO: step {0} loss {1} grad_norm 0.5\n"


def value(reading: LogReading, metric: str, step: int) -> float | None:
    return next(s.value for s in reading.samples if (s.metric, s.step) == (metric, step))


@pytest.mark.parametrize(
    ("line", "system", "loss"),
    [
        (VERL, "verl", "grad_norm"),
        (MEGATRON, "megatron", "loss"),
        (SLIME, "slime", "loss"),
        (TRL, "", "loss"),
        (ANY, "", "loss"),
        (WORDS, "", "loss"),
    ],
)
def test_step_lines_of_each_system(
    reading: Callable[..., LogReading], line: str, system: str, loss: str
) -> None:
    result = reading("".join(line.format(step, f"0.{step}5") for step in range(1, 4)))
    assert [sample.step for sample in result.steps] == [1, 2, 3]
    assert value(result, loss, 2) == 0.25
    assert result.systems == ((system,) if system else ())
    assert len(result.progress) == 3


def test_units_are_the_vocabularys(reading: Callable[..., LogReading]) -> None:
    assert value(reading(MEGATRON.format(1, 0.5)), "step_time", 1) == 2.0


@pytest.mark.parametrize("word", ["nan", "inf", "-inf"])
def test_nan_and_infinities_are_kept(reading: Callable[..., LogReading], word: str) -> None:
    got = value(reading(WORDS.format(1, word)), "loss", 1)
    assert got is not None and not math.isfinite(got)


def test_a_missing_column_is_no_sample(reading: Callable[..., LogReading]) -> None:
    result = reading(MEGATRON.replace(" lm loss: {1} |", "").format(1, 0))
    assert not [sample for sample in result.samples if sample.metric == "loss"]


def nans(reading: LogReading) -> list[tuple[str, int]]:
    return [(event.fields["name"], event.fields["step"]) for event in reading.events if event.kind == "nan"]


def test_a_loss_that_stays_nan_is_an_event(reading: Callable[..., LogReading]) -> None:
    losses = ["0.5", "0.4", "nan", "nan", "nan", "nan"]
    log = "".join(WORDS.format(step, loss) for step, loss in enumerate(losses, 1))
    assert nans(reading(log)) == [("loss", 3)]


def test_a_skipped_overflow_is_none(reading: Callable[..., LogReading]) -> None:
    losses = ["nan", "nan", "nan", "0.4", "nan", "0.3"]
    assert nans(reading("".join(WORDS.format(step, loss) for step, loss in enumerate(losses, 1)))) == []


def test_very_many_steps_are_bounded(reading: Callable[..., LogReading]) -> None:
    result = reading("".join(ANY.format(step, 0.5) for step in range(20_000)))
    assert len(result.steps) <= 3000
    assert (result.steps[0].step, result.steps[-1].step) == (0, 19_999)


FAILURE = (
    'Traceback (most recent call last):\n  File "/app/reward.py", line 4, in score\n    x\nValueError: {0}\n'
)


def test_a_failure_before_further_steps_is_recovered(reading: Callable[..., LogReading]) -> None:
    steps = [ANY.format(step, 0.5) for step in range(6)]
    result = reading("".join([*steps[:3], FAILURE.format("first"), *steps[3:], FAILURE.format("last")]))
    assert [(f.message, f.recovered) for f in result.failures] == [("first", True), ("last", False)]
    assert result.went_on(result.failures[0].line)


def test_a_late_line_of_another_rank_is_no_recovery(reading: Callable[..., LogReading]) -> None:
    steps = "".join(f"[rank{rank}]: {ANY.format(7, 0.5)}" for rank in range(4))
    assert not reading(steps[:200] + "\n" + FAILURE.format("x") + steps).failures[0].recovered


def test_a_restart_from_a_checkpoint_is_a_recovery(reading: Callable[..., LogReading]) -> None:
    steps = [ANY.format(step, 0.5) for step in (*range(90, 100), *range(80, 85))]
    result = reading("".join([*steps[:10], FAILURE.format("x"), *steps[10:]]))
    assert result.failures[0].recovered


def test_the_trainers_own_clock_tells_recovery_in_another_file(
    tmp_path: object, reading: Callable[..., LogReading]
) -> None:
    from pathlib import Path

    from rldoctor.logs import read

    folder = Path(str(tmp_path)) / "run"
    folder.mkdir()
    (folder / "driver.log").write_text(
        "".join(f"2026-05-01 10:0{n}:00,0 step {n} loss 0.5\n" for n in range(1, 9))
    )
    (folder / "worker.log").write_text(
        "2026-05-01 10:03:30,0 sandbox\n"
        + FAILURE.format("x")
        + "2026-05-01 10:08:30,0 end\n"
        + FAILURE.format("y")
    )
    assert [f.recovered for f in read([str(folder)], []).failures] == [True, False]


def test_a_loss_that_two_loggers_tell_is_one_series_in_the_order_of_the_log(
    reading: Callable[[str], LogReading],
) -> None:
    lines = "".join(
        f"sd-1: steps: {n} loss: {12.0 - n} iter time (s): 8.1\n"
        f" iteration {n:8}/      20 | consumed samples: {n} | lm loss: {12.0 - n:.6E} | grad norm: 1.0 |\n"
        for n in range(1, 9)
    )
    told = reading(lines).series["loss"].steps
    assert [values["loss"] for values, _ in told] == [12.0 - n for n in range(1, 9)]


def test_a_learning_rate_of_too_few_digits_is_not_zero(reading: Callable[[str], LogReading]) -> None:
    line = "step:{0} - actor/lr:{1} - actor/pg_loss:0.25 - actor/grad_norm:0.5\n"
    rounded = reading(line.format(1, "0.000") + line.format(2, "0.000"))
    assert [s for s in rounded.samples if s.metric == "learning_rate"] == []
    exact = reading("{'loss': 0.5, 'learning_rate': 0.0, 'epoch': 0.1}\n")
    assert [s.value for s in exact.samples if s.metric == "learning_rate"] == [0.0]
    torn = reading("Batch 1/9 loss 0.5 lr 0.0000 grad_norm 0.5\n")
    assert "learning_rate" not in {s.metric for s in torn.samples}


def test_a_bar_of_each_epoch_counts_from_one_again(reading: Callable[[str], LogReading]) -> None:
    bar = "Epoch {0}: 100%|##########| {1}/198 [02:39<00:00,  1.24it/s, loss={2:.3f}, v_num=14]\n"
    bars = "".join(bar.format(n, at, 0.6 - n / 20) for n in range(6) for at in (168, 198))
    told = reading(bars).series["loss"].steps
    assert [values["loss"] for values, _ in told] == pytest.approx(
        [0.6 - n / 20 for n in range(6) for _ in "ab"]
    )
