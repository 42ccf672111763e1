"""The output head: logits and what the loss makes of them, bytes on one rank."""

from __future__ import annotations

from rldoctor.memory.activations import tokens
from rldoctor.memory.layout import Setup, Term

TORCH = (
    "torch cross_entropy: logits, fp32 copy, log_softmax, its gradient (aten/LossNLL, log_softmax_backward)"
)
MEGATRON = "Megatron-LM core/tensor_parallel/cross_entropy.py"
CHUNKED = "recomputed chunk by chunk (Liger-Kernel fused linear cross entropy, verl utils/experimental)"


def width(setup: Setup) -> float:
    """Return the entries of the vocabulary on one rank."""
    return setup.shape.vocab_size / setup.parallel.tp


def bytes_per_entry(setup: Setup) -> tuple[float, str]:
    """Return bytes for each logit at the widest moment, and whose arithmetic that is.

    Plain torch keeps bf16 logits (2), their fp32 copy (4) and log_softmax (4), then in the backward
    pass log_softmax (4), the loss's gradient (4) and the result (4). Megatron's own loss works in
    place on one fp32 copy (2 + 4).
    """
    head = setup.head
    if setup.kernels.stack == "te":
        return (4.0, MEGATRON) if head.fused_loss and not head.upcast else (6.0, MEGATRON)
    if head.compiled:
        return 8.0 + (4.0 if head.kept else 0.0), f"{TORCH}, fused by torch.compile"
    widest = 12.0 + (4.0 if head.kept else 0.0) + (4.0 if head.entropy else 0.0)
    return widest, TORCH


def term(setup: Setup, count: float | None = None) -> Term:
    """Return the bytes of logits and loss at the head's widest moment for ``count`` tokens of a rank."""
    seen = tokens(setup) if count is None else count
    head, vocab = setup.head, width(setup)
    if head.kind in ("none", "value"):
        return Term("logits", 4.0 * seen, "one value a token", TORCH)
    if head.kind == "fused":
        return Term("logits", 2.0 * seen * setup.shape.hidden_size, "gradient of the input alone", CHUNKED)
    if head.kind == "chunked_vocab":
        return _chunk(seen, min(head.chunk, vocab), setup, by="entries")
    if head.kind == "chunked_tokens":
        return _chunk(min(head.chunk, seen), vocab, setup, by="tokens")
    each, source = bytes_per_entry(setup)
    text = f"{seen:.0f} tokens × {vocab:.0f} entries × {each:g} B"
    return Term("logits", seen * vocab * each, text, source)


PER_CHUNK = 22.0
"""Bytes for each logit of a chunk: bf16 and fp32 logits, probabilities, their gradient, and those of the
chunk before that are freed only when they are replaced."""


def _chunk(seen: float, vocab: float, setup: Setup, *, by: str) -> Term:
    hidden = 3 * 2.0 * (setup.batch.tokens if setup.batch else 0) * setup.shape.hidden_size
    text = f"a chunk of {seen:.0f} tokens × {vocab:.0f} entries × {PER_CHUNK:g} B (chunked by {by})"
    return Term("logits", seen * vocab * PER_CHUNK + hidden / _ways(setup), text, CHUNKED)


def _ways(setup: Setup) -> int:
    return setup.parallel.cp * setup.parallel.ulysses


def reading(setup: Setup, count: float) -> Term:
    """Return the head's bytes in a pass without gradients: log-probabilities of ``count`` tokens of a rank."""
    head = setup.head
    each = (6.0 if head.kind == "full" else 0.0) + (4.0 if head.entropy and head.kind == "full" else 0.0)
    if each:
        text = f"{count:.0f} tokens × {width(setup):.0f} entries × {each:g} B"
        return Term("logits", count * width(setup) * each, text, TORCH)
    chunk = min(head.chunk or 1024, count) if head.kind == "chunked_tokens" else count
    entries = min(head.chunk, width(setup)) if head.kind == "chunked_vocab" else width(setup)
    cost = 0.0 if head.kind in ("fused", "none", "value") else chunk * entries * 10.0
    return Term("logits", cost, f"{head.kind} head", CHUNKED)
