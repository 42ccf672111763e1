"""How each system turns logits into log-probabilities: bytes an entry, from its own code."""

from __future__ import annotations

from typing import Final

from rldoctor.facts.walk import Facts
from rldoctor.memory.layout import Head
from rldoctor.types import Role

VERL: Final = "verl/workers/engine/fsdp/transformer_impl.py:prepare_model_outputs"
VERL_MEGATRON: Final = "verl/utils/megatron/tensor_parallel.py:vocab_parallel_entropy"
SLIME: Final = "slime/utils/ppo_utils.py: fp32 copy, exponentials, gradient"
AREAL: Final = "areal/utils/functional/vocab_parallel.py: compiled chunks of the bf16 logits, whole gradients"
CHATLEARN: Final = (
    "chatlearn/algorithm/grpo_utils/trainer_utils.py: log_softmax of the bf16 logits, which stay"
)
CHUNK: Final = 1024


def head_of(facts: Facts, role: Role) -> Head:
    """Return how a role's head works; a critic has one value a token."""
    if role == "critic":
        return Head("value")
    if facts.value("mem.fused_kernels") is True and facts.value("train.backend") == "fsdp":
        return Head("fused")
    entropy = facts.value("algo.entropy_coef")
    with_entropy = isinstance(entropy, int | float) and entropy > 0
    if facts.system == "verl":
        return _verl(facts, with_entropy)
    chunk = facts.value("mem.logprob_chunk")
    if isinstance(chunk, int) and chunk > 0:
        return Head("chunked_tokens", chunk=chunk, entropy=with_entropy)
    if facts.system == "areal" and facts.value("train.backend") != "megatron":
        # each chunk's gradient is a whole tensor of zeros but for the chunk, added to those before
        return Head("full", entropy=with_entropy, per_entry=6.0, reading=2.0, source=AREAL)
    if facts.system == "chatlearn" and facts.value("train.backend") == "fsdp":
        # logits, log-probabilities, and the gradients of both; with an entropy term probabilities of chunks,
        # and each chunk's gradient as a whole tensor added to those before
        each = 14.0 if with_entropy else 8.0
        return Head("full", entropy=with_entropy, per_entry=each, reading=4.0, source=CHATLEARN)
    if facts.system == "slime":
        return Head(
            "full",
            fused_loss=True,
            entropy=with_entropy,
            per_entry=14.0 if with_entropy else 10.0,
            source=SLIME,
        )
    return Head("full", entropy=with_entropy, fused_loss=facts.value("mem.fused_kernels") is True)


def _verl(facts: Facts, entropy: bool) -> Head:
    """Return verl's head. Its logits are divided by the temperature into a second bf16 copy (2 + 2).

    Flash attention's loss then works in place; with an entropy term softmax and its product with the
    logits are kept in fp32 (4 + 4), and the gradients of both copies are new (2). The pass for old
    log-probabilities always computes the entropy.
    """
    chunked = facts.value("mem.entropy_chunking") is True
    if facts.value("train.backend") != "fsdp":
        each = 12.0 if entropy else 6.0
        return Head(
            "full", entropy=entropy, per_entry=each, reading=8.0 if chunked else 12.0, source=VERL_MEGATRON
        )
    each = (6.0 if chunked else 14.0) if entropy else 4.0
    return Head("full", entropy=entropy, per_entry=each, reading=5.0 if chunked else 12.0, source=VERL)
