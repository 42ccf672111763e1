"""Parameters counted here against the model that transformers builds, tensor by tensor, for every family."""

import json
from importlib import resources
from typing import Any

import pytest

from rldoctor.models import Shape, parameters
from rldoctor.models.names import bundled
from rldoctor.models.shapes import from_config

LAYERS = 4
# kinds that transformers knows under another name, with the same modules
ALIASES = {"kimi_k2": "deepseek_v3", "mimo": "qwen2", "internlm2": "llama"}
OUTER = ("model_type", "vision_config", "tie_word_embeddings")

ROWS: list[dict[str, Any]] = json.loads(
    resources.files("rldoctor.models").joinpath("families.json").read_text("utf-8")
)


def config_of(name: str) -> dict[str, Any]:
    found = bundled(name)
    assert found is not None
    return found[1] | {"num_hidden_layers": LAYERS}


def built(config: dict[str, Any]) -> int:
    """Return the parameters of the model that transformers builds without memory."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    kind = ALIASES.get(config["model_type"], config["model_type"])
    if "vision_config" in config:
        text = {key: value for key, value in config.items() if key not in OUTER}
        inner = {**text, "model_type": "gemma3_text" if kind == "gemma3" else f"{kind}_text"}
        outer = {key: config[key] for key in OUTER if key != "model_type"}
        about = transformers.AutoConfig.for_model(
            kind, text_config=inner | {OUTER[2]: config[OUTER[2]]}, **outer
        )
        maker = transformers.AutoModelForImageTextToText
    else:
        about = transformers.AutoConfig.for_model(
            kind, **{k: v for k, v in config.items() if k != "model_type"}
        )
        maker = transformers.AutoModelForCausalLM
    with torch.device("meta"):
        model = maker.from_config(about)
    model.tie_weights()
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", [row["name"] for row in ROWS if "like" not in row])
def test_parameters_equal_those_that_transformers_builds(name: str) -> None:
    config = config_of(name)
    assert from_config(config, "", "").num_params() == built(config)


def test_layers_of_a_kind_are_counted_together() -> None:
    shape = from_config(config_of("DeepSeek-V3"), "", "")
    assert parameters.kinds(shape, range(LAYERS)) == ((0, 3), (3, 1))
    whole = sum(parameters.layer(shape, index) for index in range(LAYERS))
    ends = 2 * parameters.embedding(shape) + parameters.norm(shape)
    assert shape.num_params() == whole + ends


def test_a_hybrid_keeps_keys_and_values_in_every_fourth_layer_alone() -> None:
    found = bundled("Qwen3-Next-80B-A3B-Instruct")
    assert found is not None
    shape = from_config(found[1], "", "")
    assert (shape.cached_layers, shape.num_layers) == (12, 48)


def test_a_plain_mlp_with_biases_and_learned_positions() -> None:
    gpt = Shape("gpt", "", 2, 64, 256, 4, 4, 16, 1000, qkv_bias=True, out_bias=True, mlp_bias=True)
    gpt3 = Shape(
        "gpt", "", 2, 64, 256, 4, 4, 16, 1000, True, None, None,
        qkv_bias=True, out_bias=True, mlp_bias=True, gated_mlp=False, norm_bias=True, positions=128,
    )  # fmt: skip
    layer = 12 * 64**2 + 13 * 64
    assert gpt3.num_params() == 2 * layer + 1000 * 64 + 128 * 64 + 2 * 64
    assert (gpt.num_params() or 0) > (gpt3.num_params() or 0)
