"""The run's configuration: one tree of frozen dataclasses. Each field says its meaning, unit and bounds.

A field marked ``hot`` may change while the run goes on, through a new revision of ``config.yaml``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def knob(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    hot: bool = False,
    least: float | None = None,
    choices: Any = (),
) -> Any:
    """Return a dataclass field with its meaning, unit, least value and choices as metadata."""
    about = {"meaning": meaning, "unit": unit, "hot": hot, "least": least, "choices": tuple(choices)}
    return field(default=default, metadata=about)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What is trained."""

    path: str | None = knob(
        None, "folder with config.json and safetensors; without it the shape below, random"
    )
    kind: str = knob("qwen3", "architecture of a fresh model", choices=("qwen3",))
    vocab_size: int = knob(259, "size of the vocabulary; bytes need 259", unit="tokens", least=2)
    hidden_size: int = knob(64, "width of the residual stream", least=1)
    intermediate_size: int = knob(192, "width of the MLP", least=1)
    layers: int = knob(2, "number of layers", least=1)
    heads: int = knob(4, "number of attention heads", least=1)
    kv_heads: int = knob(2, "number of key-value heads", least=1)
    head_dim: int = knob(16, "width of one head", least=2)
    tie_embeddings: bool = knob(True, "whether the head shares the embedding's weights")
    initializer_range: float = knob(0.08, "deviation of fresh weights", least=0)
    meta_init: bool = knob(
        False,
        "build without memory, then fill only this rank's shards: no rank ever holds the whole model twice",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where prompts come from."""

    task: str = knob(
        "copy",
        "a generated task: answer the prompt itself, or its letters in order",
        choices=("copy", "sort"),
    )
    path: str | None = knob(None, "file of JSON lines with prompt and answer; instead of a task")
    prompts: int = knob(20000, "size of a generated task", unit="prompts", least=1)
    prompt_length: int = knob(8, "letters of a generated prompt", unit="tokens", least=1)
    alphabet: str = knob("abcdefgh", "letters of a generated prompt")
    seed: int = knob(0, "seed of the prompts and of their order", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutConfig:
    """How answers are sampled."""

    engine: str = knob("builtin", "what samples", choices=("builtin",))
    prompts_per_step: int = knob(16, "prompts in one step", unit="prompts", least=1)
    samples_per_prompt: int = knob(16, "answers to each prompt: the group", unit="samples", least=2)
    max_new_tokens: int = knob(8, "longest answer", unit="tokens", least=1)
    temperature: float = knob(1.0, "sampling temperature; the loss uses the same", least=1e-3)
    stop_token_ids: tuple[int, ...] = knob((257,), "tokens that end an answer; bytes end with 257")
    max_concurrent: int = knob(512, "answers sampled at once on one rank", unit="samples", hot=True, least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """How answers are scored, in processes of their own."""

    function: str = knob(
        "match", "match (share of equal positions), exact, or module:function(prompt, answer, text)"
    )
    seconds: float = knob(
        5.0, "hard limit for one answer; then its sample is lost", unit="seconds", hot=True, least=0.01
    )
    workers: int = knob(1, "reward processes", unit="processes", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmConfig:
    """What is optimized."""

    advantage: str = knob(
        "group", "reward minus the group's mean, divided by a deviation", choices=("group", "batch", "none")
    )
    loss: str = knob(
        "dapo",
        "weights of tokens: dapo all alike, grpo alike in an answer, dr_grpo by the longest answer",
        choices=("dapo", "grpo", "dr_grpo"),
    )
    clip_low: float = knob(0.2, "importance ratios are clipped below 1 minus this", unit="ratio", least=0)
    clip_high: float = knob(0.2, "importance ratios are clipped above 1 plus this", unit="ratio", least=0)
    kl: float = knob(0.0, "weight of the KL to the start model; above 0 keeps a copy of it", least=0)
    entropy: float = knob(0.0, "weight of the entropy bonus", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How the model is updated. Loss is normalised over the global batch: sizes change nothing learned."""

    backend: str = knob("fsdp", "what trains", choices=("fsdp",))
    learning_rate: float = knob(1e-3, "AdamW's learning rate", hot=True, least=0)
    weight_decay: float = knob(0.0, "AdamW's weight decay", least=0)
    max_grad_norm: float = knob(1.0, "gradients are scaled down to this norm; 0 leaves them", least=0)
    packing: bool = knob(True, "pack answers into rows without padding, up to a budget of tokens")
    max_token_in_packing: int = knob(
        4096,
        "tokens of one packed row; a longer answer gets a row of its own",
        unit="tokens",
        hot=True,
        least=1,
    )
    micro_batch_size: int = knob(
        16, "answers of one padded micro-batch, without packing", unit="samples", hot=True, least=1
    )
    ulysses: int = knob(1, "ranks that share one row (sequence parallel)", unit="ranks", least=1)
    recompute: bool = knob(
        False, "compute activations again in the backward pass instead of keeping them", hot=True
    )
    logprob_chunk: int = knob(512, "tokens whose logits exist at once", unit="tokens", hot=True, least=1)
    dtype: str = knob("float32", "precision of forward and backward", choices=("float32", "bfloat16"))
    on_nan: str = knob(
        "stop",
        "what a loss that is not a number does: stop, or skip the update",
        hot=True,
        choices=("stop", "skip"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Where the ranks run."""

    kind: str = knob("local", "local: this process, or torchrun's; ray: actors", choices=("local", "ray"))
    workers: int | None = knob(None, "ranks; local takes what torchrun started", unit="ranks", least=1)
    device: str = knob("auto", "what the ranks compute on", choices=("auto", "cpu", "cuda"))
    threads: int | None = knob(
        None, "threads of one rank; by default its share of the cores", unit="threads", least=1
    )
    address: str | None = knob(None, "a running Ray cluster; by default one of its own")
    port: int | None = knob(None, "port of the ranks' meeting point; by default a free one", least=1)
    process_group_timeout_seconds: float = knob(
        300.0, "a collective that takes longer has failed", unit="seconds", least=1
    )
    worker_memory_limit_gib: float | None = knob(
        None,
        "memory of one rank above its start (CPU), or share of the device (CUDA)",
        unit="GiB",
        least=1e-3,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    """When the run is saved."""

    folder: str | None = knob(None, "by default checkpoints/ in the run folder")
    every: int = knob(
        20, "steps between checkpoints; the last step is always saved", unit="steps", hot=True, least=1
    )
    keep: int = knob(2, "newest checkpoints to keep", unit="checkpoints", hot=True, least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpsConfig:
    """What is recorded for the case that something goes wrong."""

    memory_snapshot: bool = knob(True, "record CUDA allocations for a memory snapshot")
    flight_recorder: bool = knob(True, "record collectives for the flight recorder")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """How long it goes, and where it writes."""

    folder: str = knob("runs/trainer", "the run folder")
    steps: int = knob(200, "updates in all", unit="steps", hot=True, least=1)
    stop_at_reward: float | None = knob(None, "end early at this mean reward", hot=True)
    stop_window: int = knob(5, "steps over which that mean is taken", unit="steps", hot=True, least=1)
    seed: int = knob(0, "seed of weights and samples", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a run depends on."""

    revision: int = knob(1, "counts the changes of this file", hot=True, least=0)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    dumps: DumpsConfig = field(default_factory=DumpsConfig)
    run: RunConfig = field(default_factory=RunConfig)
