"""Log-probabilities of given tokens without ever holding the logits of all positions."""

from __future__ import annotations

from typing import Any

import torch


class _ChunkedLogProbs(torch.autograd.Function):
    """Log-probability and entropy a position; logits exist chunk by chunk, again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        hidden, head, labels, temperature, chunk = inputs
        logprobs, sums, entropy = (hidden.new_empty(len(hidden), dtype=torch.float32) for _ in range(3))
        for a in range(0, len(hidden), chunk):
            part = slice(a, a + chunk)
            logits = (hidden[part] @ head.T).float().div_(temperature)
            sums[part] = logits.logsumexp(-1)
            log_p = logits.sub_(sums[part, None])
            logprobs[part] = log_p.gather(1, labels[part, None])[:, 0]
            entropy[part] = -(log_p.exp() * log_p).sum(-1)
        ctx.save_for_backward(hidden, head, labels, sums, entropy)
        ctx.temperature, ctx.chunk = temperature, chunk
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        hidden, head, labels, sums, entropy = ctx.saved_tensors
        by_logprob, by_entropy = gradients
        d_hidden, d_head = torch.empty_like(hidden), torch.zeros_like(head, dtype=torch.float32)
        for a in range(0, len(hidden), ctx.chunk):
            part = slice(a, a + ctx.chunk)
            log_p = (hidden[part] @ head.T).float().div_(ctx.temperature).sub_(sums[part, None])
            p = log_p.exp()
            d_logits = log_p.add_(entropy[part, None]).mul_(p).mul_(-by_entropy[part, None])
            d_logits.sub_(p.mul_(by_logprob[part, None]))
            rows = torch.arange(len(d_logits), device=hidden.device)
            d_logits[rows, labels[part]] += by_logprob[part]
            d_logits = d_logits.div_(ctx.temperature).to(hidden.dtype)
            d_hidden[part] = d_logits @ head
            d_head.add_(d_logits.T @ hidden[part])
        return d_hidden, d_head.to(head.dtype), None, None, None


def chunked_logprobs(
    hidden: torch.Tensor, head: torch.Tensor, labels: torch.Tensor, temperature: float, chunk: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probability of each label and entropy of each position, both with gradients, in float32."""
    logprobs, entropy = _ChunkedLogProbs.apply(hidden, head, labels, temperature, chunk)  # type: ignore[no-untyped-call]
    return logprobs, entropy
