"""Allocations of AReaL: what each release's parser refuses, and what it makes of the others."""

import pytest

from rldoctor.dialects.areal.parts import write
from rldoctor.dialects.areal.refusals import trouble
from rldoctor.facts import ToldFacts, walk
from rldoctor.facts.limits import refused
from rldoctor.facts.walk import Facts
from rldoctor.sources import read_text
from rldoctor.types import RLDoctorError

CONFIG = """\
allocation_mode: "{text}"
cluster: {{n_nodes: 2, n_gpus_per_node: 8}}
rollout: {{max_concurrent_rollouts: 64, consumer_batch_size: 64}}
gconfig: {{n_samples: 4, max_new_tokens: 1024}}
actor: {{path: Qwen/Qwen3-8B, mb_spec: {{max_tokens_per_mb: 2048}}}}
"""


def facts(text: str, release: str) -> Facts:
    (found,) = walk(
        read_text(CONFIG.format(text=text), "run.yaml", "yaml"), ToldFacts(versions={"areal": release})
    )
    return found


@pytest.mark.parametrize("release", ["0.3.4", "0.5.3", "1.0.2", "1.0.4"])
@pytest.mark.parametrize(
    ("text", "train", "rollout", "asked"),
    [
        ("sglang:d8+d8", 8, 8, 16),
        ("sglang:d4t2+megatron:d2p2t2", 8, 8, 16),
        ("vllm: d 4 t 1 + fsdp: d 4 c 2", 8, 4, 12),
        ("sglang:d4+megatron:(attn:d2t2|ffn:e4)", 4, 4, 8),
        ("sglang[rollout]:d4|fsdp[actor]:d4", 4, 4, 4),
        ("d4p1t2+sglang.d4p1t1", 8, 4, 12),
    ],
)
def test_every_form_gives_the_gpus_of_both(
    text: str, train: int, rollout: int, asked: int, release: str
) -> None:
    found = facts(text, release)
    values = (found.value(name) for name in ("train.gpus", "rollout.gpus", "cluster.asked_gpus"))
    assert tuple(values) == (train, rollout, asked)


def test_engines_share_only_behind_a_bar() -> None:
    together = facts("sglang[rollout]:d4|fsdp[actor]:d4", "1.0.2")
    apart = facts("sglang[rollout]:d4+fsdp[actor]:d4|fsdp[critic]:d4", "1.0.2")
    assert together.value("cluster.colocate") is True
    assert apart.value("cluster.colocate") is False


def test_a_named_component_is_that_roles() -> None:
    found = facts("sglang[rollout]:d4+fsdp[actor]:d4+megatron[ref]:d1t2p2", "1.0.2")
    assert found.value("train.tp") == 1
    assert [found.value(f"ref.train.{name}") for name in ("backend", "tp", "pp")] == ["megatron", 2, 2]


@pytest.mark.parametrize(
    ("text", "release", "said"),
    [
        ("sglang:d4,fsdp:d4", "1.0.4", "cannot read"),
        ("sglang:d0+d8", "0.5.3", "cannot read"),
        ("sglang.d4+d4", "0.4.1", "colon"),
        ("sglang:d4+d4m1", "0.3.4", "letter t"),
        ("sglang:d4c2+d4", "0.5.3", "no other sizes"),
        ("sglang:d4+eval", "1.0.0", "eval"),
        ("d8", "1.0.3", "names its backend"),
        ("sglang[rollout]:d4|fsdp[actor]:d8", "0.5.3", "4 and 8"),
        ("sglang:d4|fsdp:d4", "0.5.3", "has a name"),
        ("sglang:d4+fsdp:d4+fsdp[critic]:d4", "0.5.3", "each has a name"),
        ("megatron:(attn:d4t2|ffn:d2e2)", "1.0.4", "over 8 GPUs, and experts over 4"),
        ("megatron:(attn:d4p2|ffn:p1e2)", "1.0.4", "same pipeline stages"),
    ],
)
def test_what_a_parser_refuses(text: str, release: str, said: str) -> None:
    found = trouble(text, release)
    assert found is not None
    assert said in found[0]


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("sglang.d4p1t1+d4p1t1", "0.3.4"),
        ("sglang:d4+eval", "0.5.3"),
        ("sglang:d8+d8", "1.0.2"),
        ("megatron:d4t2", "1.0.4"),
        ("sglang[rollout]:d4|fsdp[actor]:d4", "0.5.3"),
        ("megatron:(attn:d2t2p2|ffn:d1t2p2e2)", "1.0.4"),
        ("megatron:(attn:d4t2|ffn:e4)", "1.0.4"),
    ],
)
def test_what_a_parser_takes(text: str, release: str) -> None:
    assert trouble(text, release) is None


def required(text: str, release: str) -> list[tuple[str, str]]:
    events = refused(facts(text, release))
    told = (event.fields for event in events if "is required since" in event.fields["says"])
    return [(fields["first_key"], fields["first_value"]) for fields in told]


def test_engines_without_a_backend_are_told_theirs() -> None:
    told = required("sglang:d4t2+d8", "1.0.4")
    assert told == [("rollout.backend", "sglang:d4t2"), ("actor.backend", "fsdp:d8")]


def test_an_older_release_reads_the_one_string() -> None:
    assert required("sglang:d4t2+d8", "1.0.2") == []


@pytest.mark.parametrize(
    ("text", "gpus", "then"),
    [
        ("megatron:d4p1t4", 32, "megatron:d8p1t4"),
        ("fsdp:d8", 4, "fsdp:d4"),
        ("megatron:t4", 8, "megatron:t4d2"),
    ],
)
def test_a_number_of_gpus_changes_data_parallelism(text: str, gpus: int, then: str) -> None:
    assert write("world", text, gpus) == then


def test_gpus_that_hold_no_whole_copies_cannot_be_said() -> None:
    with pytest.raises(RLDoctorError, match="no whole number of the 4"):
        write("world", "megatron:d4p1t4", 6)
