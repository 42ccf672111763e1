"""Settings that are each fine and do not fit together."""

from __future__ import annotations

from collections.abc import Iterator

from trainer_core.config import Config

BYTE_VOCABULARY = 259


def contradictions(config: Config, written: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield the path of the setting to blame and what is wrong with it."""
    yield from _of_model(config, written)
    yield from _of_data(config, written)
    yield from _of_sizes(config)
    yield from _of_cluster(config, written)


def _of_model(config: Config, written: frozenset[str]) -> Iterator[tuple[str, str]]:
    model = config.model
    if model.path:
        shape = sorted(path for path in written if path.startswith("model.") and path not in KEPT_WITH_PATH)
        for path in shape:
            yield path, f"{path} does nothing beside model.path: the folder's config.json gives the shape"
        return
    if model.heads % model.kv_heads:
        yield "model.kv_heads", f"model.kv_heads={model.kv_heads} must divide model.heads={model.heads}"
    if model.head_dim % 2:
        yield "model.head_dim", f"model.head_dim={model.head_dim} must be even: rotary positions turn pairs"
    if model.vocab_size < BYTE_VOCABULARY:
        yield (
            "model.vocab_size",
            f"model.vocab_size={model.vocab_size} must be at least {BYTE_VOCABULARY}: prompts are bytes",
        )
    for token in config.rollout.stop_token_ids:
        if not 0 <= token < model.vocab_size:
            yield (
                "rollout.stop_token_ids",
                f"stop token {token} is not in the vocabulary of {model.vocab_size}",
            )


KEPT_WITH_PATH = ("model.path", "model.meta_init")


def _of_data(config: Config, written: frozenset[str]) -> Iterator[tuple[str, str]]:
    data = config.data
    if data.path:
        for name in ("task", "prompts", "prompt_length", "alphabet"):
            if f"data.{name}" in written:
                yield f"data.{name}", f"data.{name} belongs to a generated task and contradicts data.path"
    elif not data.alphabet:
        yield "data.alphabet", "data.alphabet is empty: there is no letter to make prompts of"
    elif config.rollout.prompts_per_step > data.prompts:
        yield (
            "rollout.prompts_per_step",
            (f"rollout.prompts_per_step={config.rollout.prompts_per_step} > data.prompts={data.prompts}"),
        )


def _of_sizes(config: Config) -> Iterator[tuple[str, str]]:
    train, model = config.train, config.model
    if train.ulysses > 1 and not train.packing:
        yield "train.ulysses", f"train.ulysses={train.ulysses} needs train.packing: true"
    if train.ulysses > 1 and not model.path and model.heads % train.ulysses:
        yield "train.ulysses", f"train.ulysses={train.ulysses} must divide model.heads={model.heads}"


def _of_cluster(config: Config, written: frozenset[str]) -> Iterator[tuple[str, str]]:
    cluster, workers = config.cluster, config.cluster.workers
    if cluster.kind == "ray" and workers is None:
        yield "cluster.kind", "cluster.kind: ray needs cluster.workers"
    if cluster.kind == "local" and cluster.address:
        yield "cluster.address", "cluster.address needs cluster.kind: ray"
    if workers and workers % config.train.ulysses:
        yield "train.ulysses", f"train.ulysses={config.train.ulysses} must divide cluster.workers={workers}"
