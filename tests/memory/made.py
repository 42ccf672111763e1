"""Setups that tests of the memory model start from."""

from __future__ import annotations

from rldoctor.memory.layout import Batch, Head, Kernels, Parallel, Recompute, Setup, States
from rldoctor.models import Shape, shape

GIB = 2**30
MEGATRON = States("megatron", weight=2.0, grad_buffer=True)


def model(name: str) -> Shape:
    found = shape(name)
    assert found is not None
    return found


def fsdp(name: str = "Qwen3-8B", world: int = 8, tokens: int = 16384, **other: object) -> Setup:
    return Setup(
        model(name),
        Parallel(world=world),
        States(),
        Batch(tokens, min(tokens, 8192)),
        recompute=Recompute("full"),
        **other,  # type: ignore[arg-type]
    )


def gpt3(layers: int = 4, hidden: int = 1024, heads: int = 16, vocab: int = 51200) -> Shape:
    """Return a shape as Megatron-LM builds it by default: biases, layer norms, learned positions."""
    return Shape(
        "gpt",
        "made",
        layers,
        hidden,
        4 * hidden,
        heads,
        heads,
        hidden // heads,
        vocab,
        tie_embeddings=True,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        gated_mlp=False,
        norm_bias=True,
        positions=2048,
    )


def megatron(own: Shape | None = None, tokens: int = 8192, length: int = 2048, **split: object) -> Setup:
    return Setup(
        own or gpt3(),
        Parallel(**split),  # type: ignore[arg-type]
        MEGATRON,
        Batch(tokens, length, 8),
        head=Head(),
        kernels=Kernels("te"),
    )
