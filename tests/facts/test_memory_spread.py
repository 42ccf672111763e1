"""Model parallel sizes with which the states of a run fit: what is offered, and what is not."""

from typing import Any

from rldoctor import expr
from rldoctor.facts import ToldFacts, sizing, walk
from rldoctor.facts.walk import Facts
from rldoctor.sources import read_text

AREAL = """\
cluster: {{n_nodes: 2, n_gpus_per_node: 8}}
scheduler: {{type: local}}
rollout: {{backend: "sglang:d2t4", max_concurrent_rollouts: 64, consumer_batch_size: 64}}
gconfig: {{n_samples: 4, max_new_tokens: 1024}}
actor:
  backend: "{backend}"
  path: {path}
  mb_spec: {{max_tokens_per_mb: 2048}}
train_dataset: {{path: openai/gsm8k, type: rl, batch_size: 64, max_length: 512}}
"""


def facts(backend: str, gib: float = 79.1, path: str = "Qwen/Qwen3-32B") -> Facts:
    text = AREAL.format(backend=backend, path=path)
    (found,) = walk(read_text(text, "run.yaml", "yaml"), ToldFacts(set={"cluster.gpu_memory_gib": str(gib)}))
    return found


def size(name: str, found: Facts) -> Any:
    return sizing.call(name, found, *expr.compile(f"{name}()")[2:])


def test_a_32b_model_on_eight_gpus_is_split_eight_ways_or_four_times_two() -> None:
    found = facts("megatron:d8")
    assert size("tp_that_holds", found) == 8
    assert (size("tp_beside_stages", found), size("stages_that_hold", found)) == (4, 2)


def test_the_smallest_split_that_fits_is_enough() -> None:
    assert size("tp_that_holds", facts("megatron:d8", gib=180)) == 2
    assert size("stages_that_hold", facts("megatron:d8", gib=180)) == 2
    assert size("tp_beside_stages", facts("megatron:d8", gib=180)) == 1


def test_too_few_gpus_for_any_split_say_how_much_is_left() -> None:
    found = facts("megatron:d4")
    assert size("tp_that_holds", found) is None
    assert size("stages_that_hold", found) is None
    assert size("widest_tp", found) == 4
    assert 50 < size("gib_left_over", found) < 70


def test_what_is_as_wide_as_it_goes_has_no_wider_size() -> None:
    found = facts("megatron:d1t8")
    assert size("widest_tp", found) is None
    assert size("gib_left_over", found) is None


def test_a_dense_model_has_no_experts_to_spread() -> None:
    assert size("ep_that_holds", facts("megatron:d8")) is None


def test_experts_are_spread_until_they_fit() -> None:
    one, two = (facts("megatron:d8", path="Qwen/Qwen3-30B-A3B", gib=gib) for gib in (180, 92))
    assert size("ep_that_holds", one) == 2
    assert size("ep_that_holds", two) in (4, 8)
    assert size("ep_that_holds", facts("megatron:d8", path="Qwen/Qwen3-30B-A3B", gib=20)) is None
