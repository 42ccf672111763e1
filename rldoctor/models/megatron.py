"""The shape that Megatron-LM builds from its own arguments: its defaults are not those of a config.json."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from rldoctor.models.config_fields import LARGEST, MOST_LAYERS
from rldoctor.models.nouns import MLA, Gated, Shape

TOKENIZERS = {
    "GPT2BPETokenizer": 50257,
    "Llama2Tokenizer": 32000,
    "TikTokenizer": 131072,
    "GPTSentencePieceTokenizer": 256000,
    "BertWordPieceCase": 28996,
}
"""Vocabularies of tokenizers that need no size: GPT-2's, Llama 2's, and those of NVIDIA's own models."""
FILES = {
    "deepseek": 128815,
    "llama-?3": 128256,
    "qwen": 151936,
    "mistral|mixtral": 32000,
    "nemotron_2_256k": 256000,
    "gpt-?oss": 201088,
}
"""Vocabularies of tokenizers that a file's name tells."""


FOREIGN = re.compile(
    r"^mamba-|hybrid-(layer|override)-pattern|is-hybrid-model|encoder-num-layers|heterogeneous|^img-"
)
"""Arguments of models that are no plain stack of attention and MLP or experts."""


def shape_of(args: Mapping[str, Any], tp: int) -> Shape:
    """Return the shape that Megatron-LM builds from its arguments, named without their dashes in front.

    KeyError for a size that must be told, ValueError for one that is no number.
    """
    hidden, heads = int(args["hidden-size"]), int(args["num-attention-heads"])
    if not (0 < int(args["num-layers"]) <= MOST_LAYERS and 0 < hidden <= LARGEST and heads > 0):
        raise ValueError(f"{args['num-layers']} layers of {hidden} with {heads} heads")
    gated = bool(args.get("swiglu"))
    ffn = int(args.get("ffn-hidden-size") or (int(4 * hidden * 2 / 3 / 64) * 64 if gated else 4 * hidden))
    experts = args.get("num-experts")
    bias = not args.get("disable-bias-linear")
    dense, freq = _dense_layers(args)
    positions = args.get("position-embedding-type", "learned_absolute") == "learned_absolute"
    other = any(FOREIGN.search(name) for name in args) or args.get("spec") not in (None, "local")
    return Shape(
        architecture="hybrid" if other else "megatron",
        exact=not other,
        source="its arguments",
        num_layers=int(args["num-layers"]),
        hidden_size=hidden,
        ffn_hidden_size=ffn,
        num_heads=heads,
        num_kv_heads=_size(args, "num-query-groups", heads) if args.get("group-query-attention") else heads,
        head_dim=_size(args, "kv-channels", hidden // heads),
        vocab_size=vocab_of(args, tp),
        tie_embeddings=not args.get("untie-embeddings-and-output-weights"),
        num_experts=int(experts) if experts else None,
        moe_ffn=_size(args, "moe-ffn-hidden-size", ffn) if experts else None,
        moe_topk=_size(args, "moe-router-topk", 2) if experts else None,
        shared_ffn=int(args.get("moe-shared-expert-intermediate-size") or 0),
        first_dense_layers=dense,
        moe_layer_freq=freq,
        qkv_bias=bias or bool(args.get("add-qkv-bias")),
        out_bias=bias,
        mlp_bias=bias,
        qk_norm=bool(args.get("qk-layernorm")) and not args.get("multi-latent-attention"),
        mla=_mla(args) if args.get("multi-latent-attention") else None,
        gated_mlp=gated,
        norm_bias=args.get("normalization", "LayerNorm") == "LayerNorm",
        shared_gate=bool(args.get("moe-shared-expert-gate")),
        gated_attention=bool(args.get("attention-output-gate")),
        gated=_linear(args),
        positions=_size(args, "max-position-embeddings", 0) if positions else 0,
        mtp_layers=int(args.get("mtp-num-layers") or 0),
    )


def _dense_layers(args: Mapping[str, Any]) -> tuple[int, int]:
    """Return the dense layers in front and how often experts come, as the layers' pattern has them."""
    told = str(args.get("moe-layer-freq", 1)).strip()
    if told.isdecimal():
        return 0, int(told) or 1
    parts = re.findall(r"\[([01,\s]*)\](?:\*(\d{1,4}))?", told)
    layers = int(args["num-layers"])
    each = (re.findall(r"[01]", bits[: 3 * layers]) * min(int(times or 1), layers) for bits, times in parts)
    pattern = [int(bit) for bits in islice(each, layers) for bit in bits[:layers]][:layers]
    if 1 not in pattern:
        return layers, 1
    if re.search(r"\)\*\d+$", told):
        pattern = (pattern * layers)[:layers]
    first = pattern.index(1)
    every = next((n for n in range(1, len(pattern)) if pattern[first + n : first + n + 1] == [1]), 1)
    return (0, every) if every > 1 and first == every - 1 else (pattern.count(0), 1)


def _linear(args: Mapping[str, Any]) -> Gated | None:
    """Return a gated delta net's sizes (Megatron-LM core/ssm/gated_delta_net.py)."""
    if args.get("experimental-attention-variant") != "gated_delta_net":
        return None
    return Gated(
        key_heads=_size(args, "linear-num-key-heads", 16),
        value_heads=_size(args, "linear-num-value-heads", 32),
        key_dim=_size(args, "linear-key-head-dim", 128),
        value_dim=_size(args, "linear-value-head-dim", 128),
        kernel=_size(args, "linear-conv-kernel-dim", 4),
        softmax_every=_size(args, "linear-attention-freq", 4),
    )


def _mla(args: Mapping[str, Any]) -> MLA:
    return MLA(
        q_lora_rank=int(args["q-lora-rank"]) if args.get("q-lora-rank") else None,
        kv_lora_rank=_size(args, "kv-lora-rank", 32),
        qk_nope_head_dim=_size(args, "qk-head-dim", 128),
        qk_rope_head_dim=_size(args, "qk-pos-emb-head-dim", 64),
        v_head_dim=_size(args, "v-head-dim", 128),
    )


def vocab_of(args: Mapping[str, Any], tp: int) -> int:
    """Return the vocabulary padded as Megatron pads it: up to a multiple of divisor × tp."""
    base = args.get("padded-vocab-size") or args.get("vocab-size")
    size = int(base) if base else _of_tokenizer(args)
    unit = _size(args, "make-vocab-size-divisible-by", 128) * tp
    return math.ceil(size / unit) * unit


def _of_tokenizer(args: Mapping[str, Any]) -> int:
    """Return a tokenizer's vocabulary, by its type or its file's name; KeyError where neither tells it."""
    kind, file = str(args.get("tokenizer-type")), str(args.get("tokenizer-model", "")).lower()
    if kind in TOKENIZERS:
        return TOKENIZERS[kind]
    if "tokenizer-type" not in args and "merge-file" in args:
        return TOKENIZERS["GPT2BPETokenizer"]
    found = next((size for name, size in FILES.items() if re.search(name, file)), None)
    if found is None:
        raise KeyError("vocab-size")
    return found


def _size(args: Mapping[str, Any], name: str, default: int = 1) -> int:
    return int(args.get(name) or default)
