"""The shape of a model from Megatron-LM's arguments: its defaults are those of GPT-2."""

from typing import Any

import pytest

from rldoctor.models import parameters, shape
from rldoctor.models.megatron import shape_of

GPT: dict[str, Any] = {
    "num-layers": "24",
    "hidden-size": "1024",
    "num-attention-heads": "16",
    "max-position-embeddings": "1024",
    "merge-file": "gpt2-merges.txt",
}
QWEN3 = {
    "num-layers": 36,
    "hidden-size": 4096,
    "ffn-hidden-size": 12288,
    "num-attention-heads": 32,
    "group-query-attention": True,
    "num-query-groups": 8,
    "kv-channels": 128,
    "vocab-size": 151936,
    "swiglu": True,
    "qk-layernorm": True,
    "disable-bias-linear": True,
    "normalization": "RMSNorm",
    "position-embedding-type": "rope",
    "untie-embeddings-and-output-weights": True,
}
DEEPSEEK = {
    **QWEN3,
    "num-layers": 61,
    "hidden-size": 7168,
    "ffn-hidden-size": 18432,
    "num-attention-heads": 128,
    "multi-latent-attention": True,
    "q-lora-rank": 1536,
    "kv-lora-rank": 512,
    "qk-head-dim": 128,
    "qk-pos-emb-head-dim": 64,
    "v-head-dim": 128,
    "num-experts": 256,
    "moe-layer-freq": "([0]*3+[1]*58)",
    "moe-ffn-hidden-size": 2048,
    "moe-router-topk": 8,
    "moe-shared-expert-intermediate-size": 2048,
    "vocab-size": 129280,
}


def test_gpt2_medium_has_the_parameters_that_everybody_counts() -> None:
    found = shape_of(GPT, tp=1)
    assert (found.vocab_size, found.gated_mlp, found.tie_embeddings) == (50304, False, True)
    h, layers = 1024, 24
    whole = 12 * layers * h * h + 13 * layers * h + 2 * h + (50304 + 1024) * h
    assert parameters.total(found) == whole


@pytest.mark.parametrize(("args", "name"), [(QWEN3, "Qwen3-8B"), (DEEPSEEK, "DeepSeek-V3")])
def test_arguments_give_the_parameters_of_the_model_that_they_describe(
    args: dict[str, Any], name: str
) -> None:
    known = shape(name)
    assert known is not None
    assert parameters.total(shape_of({**args, "make-vocab-size-divisible-by": 1}, tp=1)) == known.num_params()


def test_a_vocabulary_is_told_by_the_tokenizer_or_not_at_all() -> None:
    bare = {key: value for key, value in QWEN3.items() if key != "vocab-size"}
    assert shape_of({**bare, "tokenizer-type": "Llama2Tokenizer"}, tp=8).vocab_size == 32768
    file = {"tokenizer-type": "HuggingFaceTokenizer", "tokenizer-model": "/m/DeepSeek-V3"}
    assert shape_of({**bare, **file}, tp=1).vocab_size == 128896
    with pytest.raises(KeyError, match="vocab-size"):
        shape_of({**bare, "tokenizer-type": "HuggingFaceTokenizer", "tokenizer-model": "/m/ours"}, tp=1)


@pytest.mark.parametrize(
    "more", [{"hybrid-layer-pattern": "M-M*"}, {"spec": "my.spec get"}, {"mamba-num-heads": 8}]
)
def test_what_is_no_plain_transformer_is_not_exact(more: dict[str, Any]) -> None:
    assert shape_of({**QWEN3, **more}, tp=1).exact is False
    assert shape_of(QWEN3, tp=1).exact is True


def test_a_gated_delta_net_keeps_softmax_in_every_fourth_layer() -> None:
    linear = {"experimental-attention-variant": "gated_delta_net", "linear-attention-freq": 4}
    found = shape_of({**QWEN3, **linear, "linear-num-value-heads": 32}, tp=1)
    assert found.cached_layers == 9


@pytest.mark.parametrize(
    "more",
    [
        {"num-layers": 10**9},
        {"num-layers": "-3"},
        {"hidden-size": 0},
        {"num-attention-heads": "many"},
    ],
)
def test_sizes_that_no_model_has_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"layers of|invalid literal"):
        shape_of({**QWEN3, **more}, tp=1)


def test_a_pattern_of_a_million_layers_is_cut() -> None:
    hostile = "([0]*9999+[1]*9999)*9999" * 1000
    found = shape_of({**DEEPSEEK, "moe-layer-freq": hostile}, tp=1)
    assert (found.first_dense_layers, found.num_layers) == (61, 61)
