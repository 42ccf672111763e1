"""What memory follows from: a frozen setup of plain values. Whoever knows facts builds one."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct, field

from rldoctor.models import Shape

GIB: Final = 2**30

Scheme = Literal["fsdp", "megatron", "megatron_fsdp", "ddp", "zero1", "zero2", "zero3"]
Granularity = Literal["none", "selective", "full"]
HeadKind = Literal["full", "fused", "chunked_tokens", "chunked_vocab", "value", "none"]
Stack = Literal["te", "eager", "compiled"]


class Parallel(Struct, frozen=True):
    """How the ranks share a model. ``pieces`` are the layers of each virtual stage where they are uneven.

    ``all_forward``: a stage runs all micro-batches forward before any goes back (GPipe).
    """

    world: int = 1
    tp: int = 1
    pp: int = 1
    vpp: int = 1
    cp: int = 1
    ulysses: int = 1
    ep: int = 1
    etp: int = 1
    sequence_parallel: bool = False
    shard: int = 0
    group: int = 0
    pieces: tuple[int, ...] = ()
    instances: int = 1
    all_forward: bool = False

    @property
    def dp(self) -> int:
        """Return the data parallel size: ranks that see different samples."""
        return max(1, self.world // (self.tp * self.pp * self.cp * self.ulysses))

    @property
    def edp(self) -> int:
        """Return how many ranks hold the same experts."""
        return max(1, self.world // (self.etp * self.ep * self.pp))

    @property
    def replicas(self) -> int:
        """Return over how many ranks sharded states are spread: data, context and Ulysses ranks."""
        return self.shard or max(1, self.dp * self.cp * self.ulysses // self.instances)

    @property
    def expert_replicas(self) -> int:
        """Return over how many ranks an expert's sharded states are spread."""
        return min(self.edp, self.shard) if self.shard else self.edp


class States(Struct, frozen=True):
    """How parameters, gradients and optimizer state are kept; bytes a parameter.

    ``weight`` is a copy to compute with that is held beside the master copy (Megatron); 0 where
    the master copy is gathered and cast (FSDP). ``gathered`` and ``reduce`` are what a gathered
    parameter and a gradient on the wire take. ``grad_buffer``: gradients are there from the start
    (Megatron); else they grow while the first micro-batch's backward pass runs. ``root_ends``: untied
    embedding and head are both in the root unit, which stays gathered from first to last layer.
    ``away``: shards of all three live on the host, also while a step runs (FSDP's CPU offload).
    """

    scheme: Scheme = "fsdp"
    weight: float = 0.0
    master: float = 4.0
    grad: float = 4.0
    moments: float = 8.0
    gathered: float = 2.0
    reduce: float = 4.0
    shard_optimizer: bool = True
    foreach: bool = False
    reshard: bool = True
    grad_in_backward: bool = False
    grad_buffer: bool = False
    quantized: bool = False
    fused_wgrad: bool = True
    double_buffer: bool = False
    root_ends: bool = False
    on_host: float = 0.0
    away: bool = False


class Batch(Struct, frozen=True):
    """One micro-batch of a data parallel rank, before context and Ulysses parallelism split it."""

    tokens: int
    seq_len: int
    micro_batches: int = 2


class Recompute(Struct, frozen=True):
    """What is computed again in the backward pass. ``layers`` None: all that ``kind`` reaches."""

    kind: Granularity = "none"
    modules: frozenset[str] = frozenset()
    layers: int | None = None
    offload: bool = False
    alternate_matmuls: bool = False


class Head(Struct, frozen=True):
    """How logits become a loss. ``kept``: the full-precision logits stay referenced in the backward pass.

    ``deferred`` micro-batches keep input and gradient of the head until its weight gradient is computed.
    ``per_entry`` and ``reading`` are bytes a logit with and without gradients where a system's own
    code decides them, and ``source`` is that code.
    """

    kind: HeadKind = "full"
    chunk: int = 0
    kept: bool = False
    entropy: bool = False
    fused_loss: bool = False
    upcast: bool = True
    deferred: int = 0
    per_entry: float | None = None
    reading: float | None = None
    source: str = ""


class Kernels(Struct, frozen=True):
    """What the layers are made of, as far as memory notices. ``width`` is bytes of an activation.

    ``fp32_combine``: experts' outputs are weighted in fp32 (torchtitan's MoE and what descends from it).
    ``fp32_norm``: an eager norm casts its output alone back to half precision (torchtune, Gemma).
    ``fused_swiglu``: one kernel splits, activates and weights, and keeps its input alone.
    ``capacity``: an expert takes at most so many times the mean of rows, exactly so many if ``padded``.
    ``gathers_tokens``: all tokens of an expert parallel group come to every rank (allgather dispatcher).
    ``graphed`` modules are captured in CUDA graphs: their memory is the graphs', reserved but not counted
    as allocated once they are captured.
    """

    stack: Stack = "eager"
    width: float = 2.0
    flash: bool = True
    dropout: bool = False
    fp8: bool = False
    fp32_combine: bool = False
    fp32_norm: bool = False
    fused_swiglu: bool = True
    capacity: float | None = None
    padded: bool = False
    gathers_tokens: bool = False
    graphed: frozenset[str] = frozenset()


class Lora(Struct, frozen=True):
    """Adapters on the linear layers. ``slots`` are held at once, one has optimizer state.

    ``experts``: they are on experts too. ``base`` is bytes of a frozen parameter.
    """

    rank: int
    slots: int = 1
    experts: bool = True
    attention_only: bool = False
    base: float = 4.0


class Rollout(Struct, frozen=True):
    """An engine on a rank's GPU. ``fraction`` is the share of the GPU that it is given.

    ``etp`` 0: experts go over ``ep`` ranks, or are cut over ``tp``, as vLLM and SGLang do.
    ``weight_bytes`` and ``kv_bytes`` are those of a layer's parameter and of an entry of the KV cache.
    ``dp_attention``: attention is split over ``tp / dp`` ranks, over none where ``dp`` is 1.
    """

    engine: str
    tp: int = 1
    ep: int = 1
    etp: int = 0
    pp: int = 1
    dp: int = 1
    dp_attention: bool = False
    fraction: float | None = None
    weight_bytes: float = 2.0
    kv_bytes: float = 2.0
    kv_tokens: int | None = None
    kv_gib: float | None = None
    max_seqs: int = 256
    batched_tokens: int = 8192
    max_model_len: int | None = None
    eager: bool = False
    colocated: bool = False
    sleeps: bool = False
    drops_weights: bool = False
    graphs: int = 35


class Offload(Struct, frozen=True):
    """What the trainer moves to the host while others work, phase by phase."""

    params: bool = False
    grads: bool = False
    optimizer: bool = False


class Others(Struct, frozen=True):
    """The models beside the policy: a frozen reference (its bytes a parameter), and a critic."""

    ref: bool = False
    ref_offload: bool = False
    ref_bytes: float | None = None
    critic: Setup | None = None


class Free(Struct, frozen=True):
    """What counting cannot give, few terms, each with its reason; a run's own peaks calibrate them.

    ``workspace``: GiB of cuBLAS and Transformer Engine workspaces. ``fragments``: reserved beyond
    allocated bytes, as a share of all that comes and goes; ``expandable``: the same with expandable
    segments. ``compiled``: what a compiled layer's backward graph holds over what is counted for a
    recomputed layer. ``imbalance``: rows on the fullest rank's experts over the mean.
    ``scale`` and ``offset`` (GiB) are what a calibration found; ``points`` it rests on, ``spread`` the
    relative error that it left.
    """

    workspace: float = 0.11
    fragments: float = 0.12
    expandable: float = 0.02
    compiled: float = 1.4
    imbalance: float = 1.3
    scale: float = 1.0
    offset: float = 0.0
    points: int = 0
    spread: float = 0.0


class Setup(Struct, frozen=True):
    """Everything that a rank's memory follows from. ``stage`` picks a pipeline stage; None is the fullest.

    ``on_cpu``: a limit on the process's data stands in for the GPU, and there is no CUDA.
    """

    shape: Shape
    parallel: Parallel = Parallel()
    states: States = States()
    batch: Batch | None = None
    logprob_tokens: int | None = None
    recompute: Recompute = Recompute()
    head: Head = Head()
    kernels: Kernels = Kernels()
    lora: Lora | None = None
    rollout: Rollout | None = None
    offload: Offload = Offload()
    others: Others = field(default_factory=Others)
    sync_bucket: int | None = None
    gpu: str = ""
    on_cpu: bool = False
    gpu_gib: float | None = None
    expandable: bool = False
    stage: int | None = None
    free: Free = Free()
    unknown: tuple[str, ...] = ()


class Term(Struct, frozen=True):
    """One part of a phase's memory: bytes on one rank, the arithmetic, and where the formula is from."""

    name: str
    bytes: float
    formula: str = ""
    source: str = ""

    @property
    def gib(self) -> float:
        """Return the term in GiB."""
        return self.bytes / GIB
