"""The optional part of a stack that an unknown failure goes through, and how to do without it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from rldoctor.logs.failures import Failure

DEPTH: Final = 8  # innermost frames that are looked at
LONGEST: Final = 400  # characters of a frame, or of a message, that are looked at
_DEMANDED: Final = "(?:(?:must|should|has_to|needs?_to)_be_(?:used|enabled|set|on|true)|is_required)"


class Feature(Struct, frozen=True):
    """What a frame's file, function and code, or the message, tell; and what to put in its place."""

    told: str
    cure: str


FEATURES: Final = (
    Feature(
        r"flash_?attn|flash_?attention|fa3_",
        "Take another attention than flash-attn (attn_implementation sdpa or eager; Megatron "
        "--attention-backend unfused), or the flash-attn release that is built for this torch",
    ),
    Feature(r"liger", "Train without the Liger kernels (use_liger_kernel False), or upgrade them"),
    Feature(
        r"bitsandbytes|quantiz|/awq|gptq|/fp8|_fp8|compressed_tensors|modelopt|torchao",
        "Do without quantisation or FP8 (load_in_4bit False, quantization None, no --fp8-format), or take "
        "the release of its library that fits",
    ),
    Feature(
        r"/lora|peft/|lora_|_lora\b|punica",
        "Do without LoRA (full training, lora_rank 0, or merged weights), or with plain target_modules "
        "(q_proj, k_proj, v_proj, o_proj) and the peft release that fits",
    ),
    Feature(
        r"wgrad_gemm_accum|fused_weight_gradient|gradient_accumulation_fusion",
        "Do without APEX's fused accumulation of gradients (--no-gradient-accumulation-fusion, "
        "gradient_accumulation_fusion False)",
    ),
    Feature(
        r"rope_fusion|fused_(?:apply_)?(?:rope|rotary)",
        "Do without the fused rotary embedding (--no-rope-fusion, apply_rope_fusion False)",
    ),
    Feature(
        r"fused_softmax|masked_softmax_(?:cuda|fusion)|scaled_(?:upper_triang_)?masked_softmax",
        "Do without the fused softmax (--no-masked-softmax-fusion), with flash attention in its place",
    ),
    Feature(
        r"fused_bias_\w*(?:swiglu|gelu|geglu)|bias_(?:swiglu|gelu)_(?:fusion|impl)",
        "Do without the fused activation (--no-bias-swiglu-fusion, --no-bias-gelu-fusion)",
    ),
    Feature(
        r"/dion/|/(?:emerging_optimizers|moonlight)/|\bmuon_|_muon\b|/muon\.py",
        "Take AdamW in place of Muon (optim type adamw, --optimizer adam), whose update wants whole matrices",
    ),
    Feature(
        r"cuda_?graph|graph_capture|capture_model",
        "Do without CUDA graphs (enforce_eager True, --disable-cuda-graph)",
    ),
    Feature(
        r"torch/_dynamo|torch/_inductor|triton/|/compilation/|torch\.compile|_compile\b",
        "Do without torch.compile (TORCHDYNAMO_DISABLE=1, use_torch_compile False, enforce_eager True), or "
        "clear its caches (rm -rf ~/.triton /tmp/torchinductor_*)",
    ),
    Feature(
        r"specul|spec_decode|eagle|\bmtp\b|multi_token_prediction|draft_model",
        "Do without speculative decoding and multi-token prediction",
    ),
    Feature(
        r"ulysses|sequence_parallel|ring_attn|context_parallel|zigzag",
        "Do without sequence or context parallelism (ulysses_sequence_parallel_size 1, "
        "context_parallel_size 1)",
    ),
    Feature(
        r"padding_free|unpad_input|remove_padding|rmpad|packing|packed|cu_seqlens",
        "Do without packing (use_remove_padding False, packing False, padding_free False)",
    ),
    Feature(
        r"wandb/|swanlab|mlflow|tensorboard|trackio|comet_ml|weave/",
        "Do without that logger (report_to none, trainer.logger console, WANDB_MODE=offline), or upgrade it",
    ),
    Feature(
        r"math_verify|latex2sympy|sympy/|antlr",
        "Let the reward answer 0 where the answer cannot be parsed, with a limit of time, or use another "
        "verifier (and the antlr4-python3-runtime release that it asks for)",
    ),
    Feature(
        r"pad_sequence|padding_value|pad_token",
        "Give the tokenizer a pad token (tokenizer.pad_token = tokenizer.eos_token, pad_token_id in the "
        "model's config), that of the reward model and of the judge as well",
    ),
    Feature(
        r"chat_template|jinja2/|apply_chat",
        "Give messages as the chat template asks (roles in turn, content as text, no field that it does "
        "not know), or another chat_template",
    ),
    Feature(
        r"image_process|processing_\w*vl|/multimodal/|qwen_vl_utils|mm_processor|vision|pixel_values|image_grid",
        "Check the images of that sample (there is one for each placeholder, RGB, neither too small nor cut "
        "off by the longest prompt; min_pixels, max_pixels), and the processor's release",
    ),
    Feature(
        r"sleep_mode|cumem|memory_saver|wake_up|release_memory_occupation|free_cache_engine",
        "Let the engine keep its memory (free_cache_engine False, enable_sleep_mode False, no offload of the "
        "rollout), with a smaller share of the GPU",
    ),
    Feature(
        r"compiled_dag|ray/dag/|ray/experimental/channel",
        "Let the engine's workers be processes instead of Ray actors (distributed_executor_backend mp, "
        "VLLM_USE_RAY_COMPILED_DAG=0)",
    ),
    Feature(
        r"fused_moe|moe_align|deep_?ep\b|grouped_gemm|token_dispatcher|/moe/",
        "Take another implementation of the experts (moe_grouped_gemm off, --moe-token-dispatcher-type "
        "alltoall, the engine's moe back end triton, expert parallel size 1)",
    ),
    Feature(
        r"chunked_(?:req|prefill)|prefill_chunk",
        "Do without chunked prefill (enable_chunked_prefill False, --chunked-prefill-size -1), or with "
        "larger chunks",
    ),
    Feature(
        r"prefix_cach|radix_cache|hicache",
        "Do without the prefix cache (enable_prefix_caching False, --disable-radix-cache)",
    ),
    Feature(
        r"torch/utils/checkpoint|gradient_checkpoint|activation_checkpoint",
        "Do without gradient checkpointing, or change its form (use_reentrant False or True)",
    ),
    Feature(
        r"cpu_offloading/|HybridDeviceOptimizer|hybrid_optimizer|cpu_adam|optimizer_cpu_offload|"
        r"offload_\w*optimizer|optimizer_offload",
        "Do without offload of the optimizer (--optimizer-cpu-offload off, optimizer_offload False), or with "
        "it do without precision-aware states and FP8 parameters (--use-precision-aware-optimizer, "
        "--fp8-param-gather)",
    ),
    Feature(
        r"transformer_engine(?!/pytorch/optim)",
        "Do without TransformerEngine (--transformer-impl local, NVTE_FUSED_ATTN=0), or take the release "
        "built for this torch and cuDNN",
    ),
    Feature(
        r"/fsdp/|_fsdp|fully_shard",
        "Take the other FSDP (strategy fsdp2 for fsdp or the reverse, fsdp_version), use_orig_params True, "
        "and no CPU offload",
    ),
    Feature(
        r"hybrid_engine|module_inject",
        "Do without DeepSpeed's hybrid engine and kernel injection (enable_hybrid_engine False)",
    ),
    Feature(
        r"deepspeed/",
        "Take ZeRO-2 for ZeRO-3, without offload, or the DeepSpeed release before or after this one",
    ),
    Feature(
        r"(?<!torch)/optim\w*/|(?<!/optim)/\w*(?:adam|optim)\w*\.py|"
        r"optimizer\.(?:step|train|load_state_dict)\b|/torch/optim/\S+ \w*load_state",
        "Begin with a fresh state of the optimizer (resume from weights alone, --no-load-optim), or save and "
        "load it for the same parameters in the same order, by the same optimizer and release",
    ),
    Feature(
        r"accelerate/(?:hooks|big_modeling)|device_map",
        "Do without device_map auto and CPU offload (one GPU to a process)",
    ),
    Feature(
        r"datasets/(?:arrow|map|fingerprint|utils|table)|multiprocess/pool",
        "Prepare the data in one process (num_proc 1), with a cleared cache (~/.cache/huggingface/datasets) "
        "and the datasets release that wrote it",
    ),
    Feature(
        r"torch/utils/data|DataLoader worker",
        "Load data in the main process to see its own error (num_workers 0, dataloader_num_workers 0)",
    ),
    Feature(
        r"tokeniz\w*(?![\w,)=])",  # not where one is merely handed on
        "Take the model's own tokenizer files, another implementation (use_fast True or False), and the "
        "releases of transformers and tokenizers that fit them",
    ),
    Feature(
        r"vllm/v1/",
        "Take another vLLM release that the framework supports, or in those up to 0.10 its older engine "
        "(VLLM_USE_V1=0)",
    ),
)
"""Asked frame by frame from the innermost one, each in this order: what can be done without comes first."""


def avoid(failure: Failure) -> str | None:
    """Return how to do without the part that a failure's innermost frames go through, if they tell one."""
    inner = list(reversed(failure.frames))[:DEPTH]
    places = [f"{frame.file} {frame.function} {frame.code}"[-LONGEST:] for frame in inner]
    for place in (*places, failure.message[:LONGEST]):
        for feature in FEATURES:
            if re.search(feature.told, place) and not _is_demanded(feature, failure.message):
                return feature.cure
    return None


def _is_demanded(feature: Feature, message: str) -> bool:
    """Say whether a message asks for the very part that one might do without."""
    words = message[:LONGEST].lower().replace(" ", "_")
    return re.search(rf"(?:{feature.told})\w{{0,20}}?_{_DEMANDED}", words) is not None
