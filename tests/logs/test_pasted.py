# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from rldoctor.logs import LogReading, tables

Read = Callable[..., LogReading]


def values(reading: LogReading, metric: str) -> list[float | None]:
    return [sample.value for sample in reading.samples if sample.metric == metric]


MARKDOWN = """\
Step | Training Loss | reward | reward_std | completions / clipped_ratio | kl
-- | -- | -- | -- | -- | --
1 | 0.000000 | 0.50 | 0.25 | 0.125 | 0.001
2 | 0.000100 | 0.75 | 0.50 | 25% | No Log
3 | 0.000100 | 0.25 | 0.50 | 0.125 | nan
"""
PIPED = MARKDOWN.replace("\n", " |\n").replace("\nS", "\n| S")
TABS = "Step\tTraining Loss\treward\n1\t0.5\t0.25\n2\t0.4\t0.5\n3\tnan\t0.75\n"
CSV = "step,loss,reward,kl\n1,0.5,0.25,0.01\n2,0.4,0.5,0.02\n3,0.3,0.75,0.03\n"
SPACED = "Step Training Loss reward completions / mean_length\n10 0.5 0.25 100.0\n20 0.4 0.5 101.0\n30 0.3 0.75 99.0\n"


@pytest.mark.parametrize(
    ("text", "rewards"),
    [
        (MARKDOWN, [0.5, 0.75, 0.25]),
        (PIPED, [0.5, 0.75, 0.25]),
        (TABS, [0.25, 0.5, 0.75]),
        (CSV, [0.25, 0.5, 0.75]),
        (SPACED, [0.25, 0.5, 0.75]),
    ],
)
def test_tables_of_steps(reading: Read, text: str, rewards: list[float]) -> None:
    result = reading(text)
    assert values(result, "reward_mean") == rewards
    assert len(result.steps) == 3


def test_shares_and_gaps_in_a_table(reading: Read) -> None:
    result = reading(MARKDOWN)
    assert values(result, "response_clip_ratio") == [0.125, 0.25, 0.125]
    first, last = values(result, "ref_kl")
    assert first == 0.001 and last is not None and math.isnan(last)


def test_a_summary_is_a_step_but_no_progress(reading: Read) -> None:
    result = reading(
        "wandb: Run summary:\nwandb:  actor/pg_loss 0\nwandb:  critic/advantages/max 0\nwandb:  critic/rewards/mean 1,024.5\n"
    )
    assert values(result, "advantage_max") == [0.0]
    assert values(result, "reward_mean") == [1024.5]
    assert result.steps == () and result.progress


def test_a_dictionary_cut_into_lines_is_one_step(reading: Read) -> None:
    result = reading(
        "{'loss': 0.0, 'grad_norm': 0.5, 'completions/mean_length': 77.5,\n"
        "'rewards/format/mean': 3.0, 'rewards/format/std': 0.0,\n"
        "'reward': 4.0, 'reward_std': 0.0, 'frac_reward_zero_std': 1.0}\n"
    )
    assert len(result.steps) == 1
    assert {s.step for s in result.samples} == {1}
    assert values(result, "reward_zero_std") == [1.0]


def test_other_numbers_between_those_of_a_step(reading: Read) -> None:
    other = "".join(f" 'count_{n}': {n}.5,\n" for n in range(9))
    result = reading(f"{{'loss': 0.0,\n 'grad_norm': 1.5,\n{other} 'reward': 0.0,\n 'reward_std': 0.25}}\n")
    assert {sample.step for sample in result.samples} == {1}
    assert values(result, "reward_std") == [0.25]


def test_a_mean_and_its_bounds_behind_one_name(reading: Read) -> None:
    result = reading("Metrics at step 6:\n  Reward: mean=nan, min=-1.5, max=2.5, std=nan\n")
    (mean,) = values(result, "reward_mean")
    assert mean is not None and math.isnan(mean)
    assert values(result, "reward_max") == [2.5]


def test_pretty_printed_history(reading: Read) -> None:
    rows = "".join(
        f'  {{\n   "epoch": 0.{n},\n   "grad_norm": 0.5,\n   "loss": {value},\n   "step": {n}\n  }},\n'
        for n, value in enumerate(["0.5", "NaN", "NaN"], 1)
    )
    result = reading(f'{{\n "log_history": [\n{rows}')
    told = values(result, "loss")
    assert told[0] == 0.5 and all(value is not None and math.isnan(value) for value in told[1:])
    assert [sample.step for sample in result.steps] == [1, 2, 3]


def test_a_block_under_the_number_of_an_iteration(reading: Read) -> None:
    result = reading(
        "Learning iteration 8391/10000\n\n   Value function loss: inf\n    Surrogate loss: 0.25\n  Mean total reward: 25.66\n"
    )
    assert values(result, "value_loss") == [math.inf]
    assert {s.step for s in result.samples} == {8391}


@pytest.mark.parametrize(
    "text",
    [
        "10:00:01 DEBUG TRAIN Batch 7/100 loss nan lr 0.00055 grad_norm nan rank 2\n",
        "> Training Epoch: 0 Training Iteration: 2387  average_loss : nan  step_loss : nan  learning_rate : 0.005\n",
        "Epoch 3: train_loss_step=nan, v_num=0\n",
        "1|3|Loss: nan:   0%|                         | 3/3073 [00:15<4:04:50,  4.79s/it]\n",
        "2020-01-01 10:00:00 | INFO | train | epoch 003 | loss nan | nll_loss nan | ppl nan | wps 30011 | lr 0.0005\n",
    ],
)
def test_numbers_in_whatever_way_they_are_written(reading: Read, text: str) -> None:
    (told,) = values(reading(text), "loss")
    assert told is not None and math.isnan(told)


@pytest.mark.parametrize(
    "text",
    [
        "the loss 0.5 is what I would expect of such a model\n",
        "| Model | loss | reward | kl |\n|---|---|---|---|\n| base | 0.5 | 0.2 | 0 |\n| ours | 0.4 | 0.7 | 0 |\n",
        "actor:\n  optim:\n    lr: 1e-6\n    weight_decay: 0.1\n  entropy_coeff: 0.0\n  kl_loss_coef: 0.001\n  grad_clip: 1.0\n",
        "| N/A   45C    P0    70W / 300W |   1024MiB / 81920MiB |      0%      Default |\n",
        "INFO 11-12 22:04:23 metrics.py:406] Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 103.0 tokens/s\n",
        "{'eval_loss': 0.0, 'eval_reward': 0.0, 'eval_kl': 0.0, 'eval_runtime': 62.4}\n",
        "Name  Self CPU %  Self CPU  CPU total  # of Calls\naten::mm  12.0%  1.2s  1.2s  40\n",
        "======== Autoscaler status: 2026-05-01 ========\nUsage:\n 0.0/32.0 CPU\n 0.0/8.0 GPU\n",
    ],
)
def test_what_only_looks_like_steps(reading: Read, text: str) -> None:
    result = reading(text)
    assert result.samples == () and result.steps == ()


def test_only_the_end_of_a_long_log_is_looked_at(reading: Read) -> None:
    noise = "".join(f"INFO worker: request {n} done\n" for n in range(2000))
    assert values(reading(noise + TABS), "reward_mean") == [0.25, 0.5, 0.75]
    assert values(reading(TABS + noise), "reward_mean") == []


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("completions / mean_length", "response_length"),
        ("Training Loss", "loss"),
        ("train/kl", "ref_kl"),
        ("in this step the grad norm", "grad_norm"),
        ("average_loss", "loss"),
        ("train_grad_norm_step", "grad_norm"),
        ("batch_reward_model", None),
        ("temperature", None),
    ],
)
def test_spellings_of_a_metric(name: str, metric: str | None) -> None:
    known = tables.metric_of(name)
    assert (known[0] if known else None) == metric


def test_samples_a_second_are_read_but_not_those_of_a_bar(reading: Callable[[str], LogReading]) -> None:
    line = "INFO:root:Epoch[0] Batch [{0}00] Speed: {0}1.25 samples/sec Train-accuracy=0.01\n"
    told = reading("".join(line.format(n) for n in (3, 4, 5)))
    assert [s.value for s in told.samples if s.metric == "samples_per_second"] == [31.25, 41.25, 51.25]
    bar = "Map: 10%|#  | 500/5000 [00:01<00:09, 452.22 samples/sec]\n"
    assert not [s for s in reading(bar * 4).samples if s.metric == "samples_per_second"]


NESTED = """\
(Runner pid=8) Step 3
(Runner pid=8) actor:
(Runner pid=8)   grad_norm: 0.31
(Runner pid=8)   pg_loss: 0.012
(Runner pid=8) critic:
(Runner pid=8)   advantages:
(Runner pid=8)     max: 0.0
(Runner pid=8)     mean: 0.0
(Runner pid=8)     min: 0.0
(Runner pid=8) response_length:
(Runner pid=8)   clip_ratio: 1.0
(Runner pid=8)   mean: 2048.0
"""


def test_sections_give_their_names_to_the_numbers_within(reading: Read) -> None:
    result = reading(NESTED)
    told = {sample.metric: (sample.step, sample.value) for sample in result.samples}
    assert told["grad_norm"] == (3, 0.31)
    assert told["advantage_max"] == (3, 0.0)
    assert told["response_clip_ratio"] == (3, 1.0)
    assert told["response_length"] == (3, 2048.0)


def test_sections_end_where_lines_are_no_longer_indented(reading: Read) -> None:
    result = reading("critic:\n  advantages:\n    max: 1.5\nmax: 3.0\nstep 1 loss: 0.5, reward: 0.25\n")
    assert values(result, "advantage_max") in ([], [1.5])


def test_json_of_a_step_within_one_line(reading: Read) -> None:
    line = '{"step": 4, "actor": {"grad_norm": NaN, "pg_loss": 0.01}, "critic": {"rewards": {"mean": 0.5}}, "reward": {"overall": 0.25}}\n'
    result = reading(line)
    (norm,) = values(result, "grad_norm")
    assert norm is not None and math.isnan(norm)
    assert values(result, "reward_mean") == [0.5]
    assert [sample.step for sample in result.samples] == [4, 4, 4]


def test_json_that_was_cut_off_is_read_as_text(reading: Read) -> None:
    result = reading('{"step": 4, "reward": 0.5, "loss": 0.25, "actor": {"grad_norm": 0.125, "pg_l\n')
    assert values(result, "grad_norm") == [0.125]


def test_infinity_as_json_writes_it(reading: Read) -> None:
    result = reading('{"loss": 0.5, "grad_norm": Infinity, "reward": 0.25, "step": 7}\n')
    assert values(result, "grad_norm") == [math.inf]


def test_values_listed_with_their_steps(reading: Read) -> None:
    result = reading("actor/ratio:   [(0, 1126), (1, 142.5)]\nactor/grad_norm: [(0, 90059), (1, nan)]\n")
    assert values(result, "ratio") == [1126.0, 142.5]
    assert [sample.step for sample in result.samples] == [0, 1, 0, 1]


def test_a_list_of_pairs_that_is_no_metric(reading: Read) -> None:
    assert reading("loss_weights_by_size: [(0, 1.5), (1, 2.5)]\n").samples == ()


def test_what_is_no_number_is_of_losses_whatever_they_are_called(reading: Read) -> None:
    result = reading(
        "2022-03-27 23:33:47.7 | modelRLLossAverage nan\n2022-03-27 23:33:47.8 | modelGradNormStd nan\n"
    )
    assert {sample.metric for sample in result.samples} == {"loss", "grad_norm"}


def test_scales_and_weights_of_a_loss_are_none(reading: Read) -> None:
    assert reading("aux_loss_coef: nan\naux_loss_weight: nan\n").samples == ()


def test_an_evaluation_without_a_value_is_none(reading: Read) -> None:
    log = "".join(
        f'{{"current_steps": {n}, "total_steps": 90, "loss": {loss}, "eval_loss": null, "epoch": 1.3}}\n'
        for n, loss in ((10, 2.5), (20, 2.25))
    )
    assert values(reading(log), "loss") == [2.5, 2.25]
    assert not values(reading(log.replace("null", "1.5")), "loss")
