"""In which phase something happened: by its stack, by the remote method, else by the last telling line."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from rldoctor.logs.failures import Failure, Frame
from rldoctor.types import LogLine

SOURCE: Final = re.compile(r"\.(?:py|cpp|cc|cu)\b")

Table = tuple[tuple[re.Pattern[str], str], ...]


def _table(rows: Sequence[tuple[str, str]]) -> Table:
    return tuple((re.compile(pattern), phase) for pattern, phase in rows)


# A frame reads `function (file:line)`. The innermost frame that says something decides.
TELLING: Final = _table(
    [
        (
            r"^_?(?:load|read)\w* \(\S*(?:dist_checkpointing|checkpoint_manager|/checkpointing)",
            "start.resume",
        ),
        (
            r"load_checkpoint|resume_from_checkpoint|checkpoint/state_dict_loader|restore_checkpoint",
            "start.resume",
        ),
        (r"save_checkpoint|dist_checkpointing|checkpoint/state_dict_saver|checkpoint_manager", "checkpoint"),
        (
            r"save_pretrained|save_model|save_hf|^_?save \(|/filesystem\.py|async_ckpt|finalize_async",
            "checkpoint",
        ),
        (
            r"update_weight|sync_weight|weight_sync|weight_update|broadcast_to_vllm|wake_up|resume_memory",
            "sync",
        ),
        (
            r"rollout_mode|weight_transfer|stream_weights|export_hf_weights|export_weights|sharding_manager",
            "sync",
        ),
        (r"cumem", "sync"),
        (
            r"capture_model|cuda_graph_runner|capture_graph|capture_cudagraph|_capture_one|init_device_graphs",
            "rollout.graph_capture",
        ),
        (
            r"determine_available_memory|profile_run|determine_num_available|initialize_kv_cache|init_memory_pool",
            "rollout.start",
        ),
        (
            r"init_device \(|launch_server|_init_executor|init_engine|wait_until_ready|launch_engine",
            "rollout.start",
        ),
        (
            r"compute_score|compute_reward|reward_fn|reward_manager|reward_func|/rewards?[/.]|_reward \(",
            "reward",
        ),
        (r"compute_advantage|estimate_advantage", "advantage"),
        (
            r"log_?probs?\b|compute_log_prob|ref_log_prob|compute_values|forward_only|get_logps|per_token_logps",
            "train.logprob",
        ),
        (
            r"clip_grad|optimizer_step|optim/|optimizer\.py|_get_grad_norm|prepare_grads|^step \(\S*optim",
            "train.optimizer",
        ),
        (r"^_?backward|autograd/|run_backward|backward_step", "train.backward"),
        (
            r"generate_sequences|generate_rollout|^_?generate\w* \(|rollout_worker|agent_loop",
            "rollout.generate",
        ),
        (
            r"update_actor|update_policy|update_critic|train_actor|training_step|train_(?:one_)?step|train_batch",
            "train",
        ),
        (r"forward_backward|forward_step|train_critic|ppo_train|_forward_micro_batch", "train"),
        (
            r"utils/data/|dataloader|torchdata|datasets?/|dataset\.py|tokenize_and|data_loader|__getitem__",
            "data",
        ),
        (
            r"from_pretrained|load_state_dict|init_model|load_model|build_model|get_model \(|load_weights",
            "start.load",
        ),
        (
            r"init_process_group|initialize_megatron|init_workers|init_distributed|rendezvous|init_worker_dist",
            "start",
        ),
    ]
)
GENERAL: Final = _table(
    [
        (r"_validate|evaluate", "eval"),
        (r"/vllm/|/sglang/|^vllm|^sglang", "rollout"),
        (
            r"/deepspeed/|/fsdp|megatron/core/(?:pipeline|transformer|models|tensor|distributed|optimizer)"
            r"|transformers/models/",
            "train",
        ),
    ]
)
# What the driver's own frames call on the workers.
CALLED: Final = _table(
    [
        (r"\bsave_(?:checkpoint|model)\(", "checkpoint"),
        (r"\bload_checkpoint\(", "start.resume"),
        (r"\b(?:update_weights\w*|sync_weights|wake_up|rollout_mode)\(", "sync"),
        (r"\b(?:compute_(?:ref_)?log_prob|compute_log_probs|compute_values)\(", "train.logprob"),
        (r"\b(?:update_(?:actor|critic|policy)|async_train|train_step|training_step)\(", "train"),
        (r"\b(?:generate_sequences|async_generate|generate_rollout)\(", "rollout.generate"),
        (r"\b(?:compute_reward|compute_rm_score|reward_fn|compute_score)\(", "reward"),
        (r"\b(?:init_workers|init_model|async_init|from_pretrained)\(", "start.load"),
    ]
)
CALLS: Final = _table(
    [
        (r"save_checkpoint|save_model", "checkpoint"),
        (r"load_checkpoint", "start.resume"),
        (r"update_weight|sync_weight|wake_up|sleep", "sync"),
        (r"log_prob|compute_values", "train.logprob"),
        (r"update_actor|update_critic|update_policy|train", "train"),
        (r"generate", "rollout.generate"),
        (r"reward|compute_score|compute_rm", "reward"),
        (r"init_model|__init__|init\b|setup", "start"),
    ]
)


def of_frames(frames: Sequence[Frame], extra: Table = ()) -> str | None:
    """Return the phase of a stack, outermost first: by a dialect's table, else the innermost that tells."""
    told = [f"{frame} in {frame.function} from {frame.file}" for frame in frames]
    for pattern, phase in extra:
        if any(pattern.search(text) for text in told):
            return phase
    texts = [str(frame) for frame in reversed(frames)]
    codes = [frame.code for frame in reversed(frames)]
    tiers = ((TELLING, texts), (CALLED, codes), (GENERAL, texts))
    found = (_first(table, lines) for table, lines in tiers)
    return next((told_phase for told_phase in found if told_phase is not None), None)


def _first(table: Table, lines: Sequence[str]) -> str | None:
    """Return the phase of the first line that a table knows."""
    return next((phase for text in lines for pattern, phase in table if text and pattern.search(text)), None)


def of_text(lines: Sequence[str]) -> str | None:
    """Return the phase that pieces of a torn stack tell: lines that name a source file."""
    return _first(TELLING, [line for line in lines if SOURCE.search(line)])


def of_call(call: str | None) -> str | None:
    """Return the phase that a remote method's name tells."""
    return next((phase for pattern, phase in CALLS if call and pattern.search(call)), None)


def of_failure(failure: Failure, extra: Table = ()) -> str | None:
    """Return the phase in which an exception was raised."""
    return of_frames(failure.frames, extra) or of_call(failure.call)


def expression(key: str) -> str:
    """Return the regular expression of a key that is a literal or stands between slashes."""
    return key[1:-1] if len(key) > 2 and key.startswith("/") and key.endswith("/") else re.escape(key)


def last_told(line: LogLine, told: Sequence[tuple[LogLine, str]]) -> str | None:
    """Return the phase that the last telling line before a line of the same log named."""
    mine = [(other.number, phase) for other, phase in told if other.file == line.file]
    at = bisect_left(mine, (line.number + 1, ""))
    return mine[at - 1][1] if at else None
