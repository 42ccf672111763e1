"""Bytes of a checkpoint, and of all that are kept."""

from __future__ import annotations

from rldoctor.memory.layout import Setup, Term
from rldoctor.models import parameters

DIST = "Megatron-LM core/dist_checkpointing: bf16 weights, fp32 master and two fp32 moments"
HF = "safetensors: bf16 weights"
FSDP = "sharded state dict: master weights and two moments"


def checkpoint(setup: Setup, form: str | None, *, optimizer: bool = True) -> Term:
    """Return the bytes of one checkpoint; ``form`` is the vocabulary's ``ckpt.format``."""
    count = parameters.total(setup.shape) + setup.shape.mtp_layers * parameters.multi_token(setup.shape)
    kept = setup.states
    if form == "hf":
        return Term("checkpoint", count * 2.0, f"{count / 1e9:.2f}B × 2 B", HF)
    each = kept.weight or kept.master
    if optimizer:
        each += kept.moments + (kept.master if kept.weight else 0.0)
    source = FSDP if not kept.weight else DIST
    return Term("checkpoint", count * each, f"{count / 1e9:.2f}B × {each:g} B", source)


def kept(one: Term, count: int | None) -> Term:
    """Return the bytes of the checkpoints that stay, one more while the newest is written; None: no limit."""
    copies = 1 if count is None else count + 1
    return Term("checkpoints kept", one.bytes * copies, f"{copies} × {one.gib:.1f} GiB", one.source)
