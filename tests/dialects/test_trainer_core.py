"""The trainer's table against the trainer's own configuration."""

from __future__ import annotations

from rldoctor import dialects
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.sources import read_text
from trainer_core.config.reading import knobs

CONFIG = """\
revision: 3
model:
  path: /models/small
  meta_init: true
data:
  path: /data/math.jsonl
rollout:
  prompts_per_step: 8
  samples_per_prompt: 4
  max_new_tokens: 512
train:
  max_token_in_packing: 2048   # small GPU
  ulysses: 2
  recompute: true
  on_nan: skip
cluster:
  workers: 4
  process_group_timeout_seconds: 120
  worker_memory_limit_gib: 1.5
checkpoint:
  every: 10
"""

GOLDEN = {
    "system": "trainer_core",
    "model.path": "/models/small",
    "mem.meta_init": True,
    "train.backend": "fsdp",
    "train.gpus": 4,
    "train.world_size": 4,
    "train.ulysses_sp": 2,
    "train.dp": 2,
    "cluster.colocate": True,
    "cluster.worker_memory_gib": 1.5,
    "batch.prompts_per_step": 8,
    "batch.n_samples": 4,
    "batch.global": 32,
    "batch.dynamic": True,
    "batch.max_tokens_per_gpu": 2048,
    "batch.loss_global_norm": True,
    "batch.micro": 16,
    "mem.recompute": "full",
    "optim.nan_check": False,
    "algo.estimator": "grpo",
    "algo.loss_agg": "token_mean",
    "dist.timeout": 120,
    "ckpt.save_interval": 10,
    "ckpt.keep": 2,
    "ref.model.path": None,
}


def facts(text: str) -> Facts:
    return next(
        f for f in walk(read_text(text, "config.yaml", "yaml"), ToldFacts()) if f.system == "trainer_core"
    )


def test_golden_case_of_a_packed_run() -> None:
    found = facts(CONFIG)
    assert {name: found.value(name) for name in GOLDEN} == GOLDEN


def test_longest_sample_of_a_generated_task() -> None:
    found = facts(CONFIG.replace("data:\n  path: /data/math.jsonl\n", "data:\n  prompt_length: 64\n"))
    assert found.value("batch.longest_sample") == 64 + 512
    assert facts(CONFIG).fact("batch.longest_sample").state == "unknown"


def test_every_row_is_a_knob_of_the_trainer_with_its_default_and_its_heat() -> None:
    real = knobs()
    for row in dialects.load("trainer_core").rows:
        assert row.key in real, row.key
        about = real[row.key][1]
        assert about["hot"] == row.hot, row.key
        default = list(about["default"]) if isinstance(about["default"], tuple) else about["default"]
        assert default == row.default, row.key


def test_values_are_said_in_the_trainers_own_words() -> None:
    rows = {row.concept: row for row in dialects.load("trainer_core").rows}
    assert dialects.encode(rows["mem.recompute"], "full") is True
    assert dialects.encode(rows["optim.nan_check"], False) == "skip"
    assert dialects.encode(rows["dist.timeout"], 900) == 900
    assert dialects.encode(rows["algo.estimator"], "grpo") == "group"
    assert dialects.encode(rows["batch.max_tokens_per_gpu"], 1024) == 1024
