"""The closed formulas against torch's own memory tracker: FSDP2 on fake tensors, no GPU.

    python benchmarks/memory_tracker.py [MODEL:RANKS:TOKENS[:none] ...]

Each setting takes 10 to 60 s. One micro-batch is tracked with optimizer states made before, so that
gradients of an earlier micro-batch are not there; the model is eager transformers with SDPA, full
logits and torch's cross entropy. The tracker counts allocated bytes of one rank.
"""

from __future__ import annotations

import sys
import time

import torch
import torch.distributed as dist
from msgspec.structs import replace
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModelForCausalLM

from rldoctor.memory import training
from rldoctor.memory.layout import GIB, Batch, Head, Parallel, Recompute, Setup, States
from rldoctor.models import shape
from rldoctor.models.names import bundled

SETTINGS = ("Qwen3-0.6B:1:4096", "Qwen3-0.6B:8:8192", "Qwen3-1.7B:8:8192", "Qwen2.5-1.5B:4:4096:none")


def main() -> None:
    for text in sys.argv[1:] or SETTINGS:
        name, ranks, tokens, *more = text.split(":")
        began = time.perf_counter()
        seen = tracked(name, int(ranks), int(tokens), again="none" not in more)
        told = predicted(name, int(ranks), int(tokens), again="none" not in more)
        seconds = time.perf_counter() - began
        sizes = f"tracker {seen:6.2f} GiB  formulas {told:6.2f} GiB  {100 * (told / seen - 1):+5.1f} %"
        print(f"{text:28s} {sizes}  {seconds:.0f} s")


def predicted(name: str, ranks: int, tokens: int, *, again: bool) -> float:
    found = shape(name)
    assert found is not None
    setup = Setup(
        found,
        Parallel(world=ranks),
        States(),
        Batch(tokens, tokens, 1),
        recompute=Recompute("full" if again else "none"),
        head=Head("full", kept=True),  # the loop below holds on to the full-precision logits
    )
    setup = replace(setup, free=replace(setup.free, workspace=0.0))
    moments = (moment for moment in training.moments(setup, 0) if moment.name != "optimizer step")
    return max(moment.bytes for moment in moments) / GIB


def tracked(name: str, ranks: int, tokens: int, *, again: bool) -> float:
    if dist.is_initialized():
        dist.destroy_process_group()
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=ranks)
    found = bundled(name)
    assert found is not None
    config = AutoConfig.for_model(
        found[1]["model_type"], **{k: v for k, v in found[1].items() if k != "model_type"}
    )
    config._attn_implementation = "sdpa"
    mesh = init_device_mesh("cpu", (ranks,))
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        optimizer = _sharded(model, mesh, again=again)
        for parameter in model.parameters():
            moments = (torch.zeros_like(parameter), torch.zeros_like(parameter))
            optimizer.state[parameter] = dict(zip(("exp_avg", "exp_avg_sq"), moments, strict=True))
        return _step(model, optimizer, tokens)


def _sharded(model: torch.nn.Module, mesh: DeviceMesh, *, again: bool) -> torch.optim.Optimizer:
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for layer in model.model.layers:
        if again:
            layer.forward = _recomputed(layer.forward)
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    return torch.optim.AdamW(model.parameters(), fused=False, foreach=True)


def _recomputed(forward):  # type: ignore[no-untyped-def]
    return lambda *args, **kwargs: checkpoint(forward, *args, use_reentrant=False, **kwargs)


def _step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, tokens: int) -> float:
    tracker = FSDPMemTracker(model, optimizer)
    tracker.track_inputs((torch.zeros(1, tokens, dtype=torch.long),))
    row = torch.zeros(1, tokens, dtype=torch.long)
    with tracker:
        logits = model(input_ids=row, use_cache=False).logits.float()
        loss = torch.nn.functional.cross_entropy(logits.view(-1, logits.shape[-1]), row.view(-1))
        loss.backward()
    peak = tracker.get_tracker_snapshot("peak")
    return sum(sizes["Total"] for sizes in peak.values()) / GIB


if __name__ == "__main__":
    main()
