"""Which optional part of a stack an unknown failure went through."""

from __future__ import annotations

import pytest

from rldoctor.causes.features import DEPTH, avoid
from rldoctor.logs.failures import Failure, Frame, Link
from rldoctor.types import Identity, LogLine

SITE = "/opt/venv/lib/python3.11/site-packages"


def _failure(*frames: Frame, message: str = "it is bent") -> Failure:
    line = LogLine("train.log", 9, f"RuntimeError: {message}")
    return Failure((Link("RuntimeError", message, line, frames),), Identity(), line)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (f"{SITE}/flash_attn/bert_padding.py", "attn_implementation sdpa"),
        (f"{SITE}/liger_kernel/ops/rope.py", "use_liger_kernel False"),
        (f"{SITE}/vllm/lora/layers.py", "Do without LoRA"),
        (f"{SITE}/vllm/v1/worker/gpu_worker.py", "VLLM_USE_V1=0"),
        (f"{SITE}/wandb/sdk/wandb_run.py", "report_to none"),
        ("/app/verl/utils/ulysses.py", "ulysses_sequence_parallel_size 1"),
        (f"{SITE}/deepspeed/runtime/engine.py", "ZeRO-2"),
        (f"{SITE}/torch/_inductor/codecache.py", "TORCHDYNAMO_DISABLE=1"),
        (f"{SITE}/dion/muon.py", "AdamW"),
        ("/app/megatron/core/optimizer/cpu_offloading/turn.py", "--optimizer-cpu-offload off"),
        (f"{SITE}/transformer_engine/pytorch/optimizers/fused_adam.py", "--no-load-optim"),
        ("/app/megatron/core/optimizer/distrib_optimizer.py", "--no-load-optim"),
        ("/app/megatron/model/fused_softmax.py", "--no-masked-softmax-fusion"),
        ("/app/megatron/core/fusions/fused_bias_swiglu.py", "--no-bias-swiglu-fusion"),
    ],
)
def test_file_tells_the_feature(file: str, words: str) -> None:
    assert words in (avoid(_failure(Frame("/app/main.py", 3, "main"), Frame(file, 7, "turn"))) or "")


def test_innermost_frame_counts_first() -> None:
    outer, inner = (
        Frame(f"{SITE}/peft/peft_model.py", 3, "forward"),
        Frame(f"{SITE}/liger_kernel/x.py", 4, "f"),
    )
    assert "Liger" in (avoid(_failure(outer, inner)) or "")
    assert "LoRA" in (avoid(_failure(inner, outer)) or "")


def test_far_frame_does_not_count() -> None:
    plain = [Frame(f"/app/mine/part{number}.py", number, "turn") for number in range(DEPTH)]
    assert avoid(_failure(Frame(f"{SITE}/peft/peft_model.py", 3, "forward"), *plain)) is None


def test_message_tells_it_where_frames_do_not() -> None:
    assert "image" in (avoid(_failure(message="image_grid_thw has 3 rows, 2 are asked for")) or "")


def test_torchs_optimizer_belongs_to_whoever_calls_it() -> None:
    inner = Frame(f"{SITE}/torch/optim/optimizer.py", 8, "add_param_group")
    assert avoid(_failure(Frame("/app/mine/part.py", 3, "turn"), inner)) is None


def test_nothing_is_told() -> None:
    assert avoid(_failure(Frame("/app/mine/part.py", 3, "turn"))) is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("fused_weight_gradient_mlp_cuda.wgrad_gemm_accum_fp32(", "--no-gradient-accumulation-fusion"),
        ("assert not config.apply_rope_fusion", "--no-rope-fusion"),
    ],
)
def test_line_tells_the_fusion(code: str, words: str) -> None:
    assert words in (avoid(_failure(Frame("/app/turn.py", 3, "turn", code=code))) or "")
