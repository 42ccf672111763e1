"""The output head: logits and what the loss makes of them, bytes on one rank."""

from __future__ import annotations

from rldoctor.memory import fsdp
from rldoctor.memory.activations import tokens
from rldoctor.memory.layout import Setup, Term

TORCH = (
    "torch cross_entropy: logits, fp32 copy, log_softmax, its gradient (aten/LossNLL, log_softmax_backward)"
)
PARALLEL = "torch/distributed/tensor/parallel/loss.py:_nll_loss_and_log_softmax_backward"
MEGATRON = "Megatron-LM core/tensor_parallel/cross_entropy.py"
CHUNKED = "recomputed chunk by chunk (Liger-Kernel fused linear cross entropy, verl utils/experimental)"


def width(setup: Setup) -> float:
    """Return the entries of the vocabulary on one rank."""
    return setup.shape.vocab_size / setup.parallel.tp


def bytes_per_entry(setup: Setup) -> tuple[float, str]:
    """Return bytes for each logit at the widest moment, and whose arithmetic that is.

    Plain torch keeps log_softmax (4), and in the backward pass the loss's gradient (4) and the
    result (4), after bf16 logits (2), their fp32 copy (4) and log_softmax (4) in the forward pass.
    torch's loss over a split vocabulary adds exponentials of its own (4).
    Megatron's own loss works in place on one fp32 copy (2 + 4); its jit-fused form does not
    (2 + 4 + 4); Transformer Engine's works on the bf16 logits themselves.
    """
    head = setup.head
    if head.per_entry is not None:
        return head.per_entry, head.source
    if setup.kernels.stack == "te":
        if not head.fused_loss:
            return 6.0, MEGATRON
        return (10.0, f"{MEGATRON} (fused)") if head.upcast else (4.0, "Transformer Engine cross_entropy")
    extra = (4.0 if head.kept else 0.0) + (4.0 if head.entropy else 0.0)
    return (16.0 + extra, PARALLEL) if setup.parallel.tp > 1 else (12.0 + extra, TORCH)


def term(setup: Setup, count: float | None = None) -> Term:
    """Return the bytes of logits and loss at the head's widest moment for ``count`` tokens of a rank."""
    seen = tokens(setup) if count is None else count
    head, vocab = setup.head, width(setup)
    if head.kind in ("none", "value"):
        return Term("logits", 4.0 * seen, "one value a token", TORCH)
    if head.kind == "fused":
        return Term("logits", 2.0 * seen * setup.shape.hidden_size, "gradient of the input alone", CHUNKED)
    if head.kind == "chunked_vocab":
        return _by_entries(seen, setup)
    if head.kind == "chunked_tokens":
        return _by_tokens(seen, setup)
    each, source = bytes_per_entry(setup)
    text = f"{seen:.0f} tokens × {vocab:.0f} entries × {each:g} B"
    return Term("logits", seen * vocab * each, text, source)


def deferred(setup: Setup) -> Term:
    """Return the inputs and gradients that wait for the head's weight gradient (Megatron-LM)."""
    entries = width(setup) + setup.shape.hidden_size
    count = setup.head.deferred * tokens(setup)
    return Term("deferred head", 2.0 * count * entries, f"{count:.0f} tokens × {entries:.0f} × 2 B", MEGATRON)


def hole(setup: Setup) -> float:
    """Return the block of the bf16 logits, free in the backward pass and too small for any fp32 one."""
    head = setup.head
    if head.kind != "full" or head.per_entry is not None or setup.kernels.stack == "te":
        return 0.0
    return 0.0 if head.fused_loss else 2.0 * tokens(setup) * width(setup)


BY_TOKENS = 16.0
"""Bytes for each logit of a chunk of tokens: bf16 and fp32 logits, log_softmax, and both gradients."""
BY_ENTRIES = 22.0
"""Bytes for each logit of a chunk of entries: bf16 and fp32 logits, probabilities, their gradient, and
those of the chunk before, which are freed only when they are replaced."""


def _by_tokens(seen: float, setup: Setup) -> Term:
    """Return one chunk of tokens with all entries, and twice the head's gradient: summed, and a chunk's."""
    chunk, vocab = min(float(setup.head.chunk), seen), width(setup)
    frozen = setup.lora is not None or fsdp.gathers(setup)
    gradient = 0.0 if frozen else 2 * 2.0 * vocab * setup.shape.hidden_size
    text = f"a chunk of {chunk:.0f} tokens × {vocab:.0f} entries × {BY_TOKENS:g} B"
    return Term("logits", chunk * vocab * BY_TOKENS + gradient, text, CHUNKED)


def _by_entries(seen: float, setup: Setup) -> Term:
    """Return all tokens with one chunk of entries, and the input, its gradient and a chunk's part of it."""
    chunk = min(float(setup.head.chunk), width(setup))
    hidden = 3 * 2.0 * seen * setup.shape.hidden_size
    text = f"{seen:.0f} tokens × a chunk of {chunk:.0f} entries × {BY_ENTRIES:g} B"
    return Term("logits", seen * chunk * BY_ENTRIES + hidden, text, CHUNKED)


def reading(setup: Setup, count: float) -> Term:
    """Return the head's bytes in a pass without gradients: log-probabilities of ``count`` tokens."""
    head, vocab = setup.head, width(setup)
    each = 10.0
    if head.kind == "full":
        each = 6.0 + (4.0 if head.entropy else 0.0) if head.reading is None else head.reading
        text = f"{count:.0f} tokens × {vocab:.0f} entries × {each:g} B"
        return Term("logits", count * vocab * each, text, TORCH)
    if head.kind in ("fused", "none", "value"):
        return Term("logits", 0.0, f"{head.kind} head", CHUNKED)
    by_tokens = head.kind == "chunked_tokens"
    tokens_, entries = (min(head.chunk, count), vocab) if by_tokens else (count, min(head.chunk, vocab))
    return Term("logits", tokens_ * entries * each, f"a chunk, {each:g} B an entry", CHUNKED)
