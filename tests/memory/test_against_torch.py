"""Tensors counted by formula against those that torch really holds: models of transformers on CPU."""

import weakref
from typing import Any

import pytest

from rldoctor.memory import activations, logits, training
from rldoctor.memory.layout import Batch, Free, Parallel, Recompute, Setup, States
from rldoctor.models import Shape
from rldoctor.models.shapes import from_config

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
modes = pytest.importorskip("torch.utils._python_dispatch")
pytree = pytest.importorskip("torch.utils._pytree")

SIZES = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "vocab_size": 64,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 192}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": EXPERTS,
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
}


class Live(modes.TorchDispatchMode):  # type: ignore[misc, name-defined]
    """Counts the bytes of all storages that operators make while they live, those of ``held`` left out."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.keep = [tensor.untyped_storage() for tensor in held]
        self.seen = {storage._cdata for storage in self.keep}
        self.now = self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.count(leaf.untyped_storage())
        self.peak = max(self.peak, self.now)
        return out

    def count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.seen:
            self.seen.add(key)
            self.now += size
            weakref.finalize(storage, self.gone, key, size)

    def gone(self, key: int, size: int) -> None:
        self.now -= size
        self.seen.discard(key)


def config_of(kind: str, layers: int) -> dict[str, Any]:
    return {**SIZES, **MODELS[kind], "model_type": kind, "num_hidden_layers": layers}


def shape_of(kind: str, layers: int = 4) -> Shape:
    return from_config(config_of(kind, layers), "made", "")


def built(kind: str, layers: int) -> Any:
    told = {key: value for key, value in config_of(kind, layers).items() if key != "model_type"}
    config = transformers.AutoConfig.for_model(kind, **told)
    config._attn_implementation = "sdpa"
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).train()


def kept(kind: str, layers: int, tokens: int) -> int:
    """Return the bytes that a forward pass keeps for the backward pass."""
    model, rows = built(kind, layers), torch.zeros(1, tokens, dtype=torch.long)
    with Live([*model.parameters(), *model.buffers()]) as live:
        found = model.model(input_ids=rows, use_cache=False).last_hidden_state
        assert found is not None
        return int(live.now)


@pytest.mark.parametrize("kind", MODELS)
def test_a_layer_keeps_the_tensors_that_are_counted(kind: str) -> None:
    tokens = 64
    seen = (kept(kind, 3, tokens) - kept(kind, 2, tokens)) / tokens
    setup = Setup(shape_of(kind), Parallel(), States(master=2.0), Batch(tokens, tokens, 1))
    assert activations.total(activations.parts(setup, 1)) == pytest.approx(seen, rel=0.01)


@pytest.mark.parametrize(("again", "within"), [(False, 0.03), (True, 0.05)])
def test_a_step_without_optimizer_peaks_where_the_formulas_say(again: bool, within: float) -> None:
    kind, tokens, layers = "qwen3", 640, 3
    model, rows = built(kind, layers), torch.zeros(1, tokens, dtype=torch.long)
    if again:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with Live([*model.parameters(), *model.buffers()]) as live:
        model(input_ids=rows, use_cache=False).logits.float().mean().backward()
    setup = Setup(
        shape_of(kind, layers),
        Parallel(),
        States("ddp", master=2.0, grad=2.0, moments=0.0),
        Batch(tokens, tokens, 1),
        recompute=Recompute("full" if again else "none"),
        free=Free(workspace=0.0),
    )
    weights = 2 * sum(each.numel() for each in model.parameters())
    told = max(moment.bytes for moment in training.moments(setup, 0)) - weights
    assert told == pytest.approx(live.peak, rel=within)


@pytest.mark.parametrize("entries", [4096, 12288])
def test_logits_and_torchs_cross_entropy_take_twelve_bytes_an_entry(entries: int) -> None:
    tokens, width = 512, 64
    hidden = torch.randn(tokens, width, dtype=torch.bfloat16, requires_grad=True)
    head = torch.randn(entries, width, dtype=torch.bfloat16)
    with Live([hidden, head]) as live:
        scores = (hidden @ head.t()).float()
        loss = torch.nn.functional.cross_entropy(scores, torch.zeros(tokens, dtype=torch.long))
        del scores
        loss.backward()
    own = from_config({**config_of("llama", 1), "vocab_size": entries}, "", "")
    told = logits.term(Setup(own, batch=Batch(tokens, tokens, 1))).bytes
    assert told == pytest.approx(live.peak, rel=0.02)


@pytest.mark.parametrize(("foreach", "each"), [(True, 12.0), (False, 8.0)])
def test_the_first_step_of_adam_makes_its_states_and_a_foreach_one_a_copy_more(
    foreach: bool, each: float
) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1 << 18))
    parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.AdamW([parameter], foreach=foreach, fused=not foreach)
    with Live([parameter, parameter.grad]) as live:
        optimizer.step()
    assert live.peak / parameter.numel() == pytest.approx(each, rel=0.02)
    kept_states = States(foreach=foreach)
    assert kept_states.moments + (kept_states.moments / 2 if foreach else 0) == each
