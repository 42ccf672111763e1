"""Bytes a parameter of quantized weights: by method, by a checkpoint's config.json, by its name."""

import pytest

from rldoctor.models import Stored, shape
from rldoctor.models.quantized import of_config, of_method


@pytest.mark.parametrize(
    ("method", "size", "experts"),
    [
        ("fp8", 1.0, False),
        ("w8a8_int8", 1.0, False),
        ("modelopt", 1.0, False),
        ("awq_marlin", 0.5 + 2.5 / 128, False),
        ("gptq", 0.5 + 2.5 / 128, False),
        ("mxfp4", 0.53125, True),
        ("petit_nvfp4", 0.5625, False),
        ("moe_wna16", 0.5 + 2.5 / 128, True),
        ("bitsandbytes", 0.515625, False),
    ],
)
def test_a_method_says_how_a_matrix_is_kept(method: str, size: float, experts: bool) -> None:
    assert of_method(method) == Stored(size, experts)


def test_a_method_that_nobody_knows_is_no_guess() -> None:
    assert of_method("my-own") is None
    assert of_config({"quantization_config": "fp8"}) is None
    assert of_config({}) is None


def test_a_checkpoints_config_tells_bits_and_what_stays() -> None:
    int4 = {"quant_method": "compressed-tensors", "ignore": ["lm_head", "re:.*self_attn.*"]}
    int4["config_groups"] = {"group_0": {"weights": {"num_bits": 4}}}  # type: ignore[assignment]
    assert of_config({"quantization_config": int4}) == Stored(0.5 + 2.5 / 128, experts_only=True)
    assert of_config({"quantization_config": {"quant_method": "gptq", "bits": 8}}) == Stored(1.0)
    assert of_config({"quantization_config": {"quant_method": "fp8"}}) == Stored(1.0)


def test_a_name_tells_its_format() -> None:
    for name, size in (("Qwen3-30B-A3B-FP8", 1.0), ("Qwen2.5-7B-Instruct-AWQ", 0.5 + 2.5 / 128)):
        found = shape(name)
        assert found is not None
        assert found.stored == Stored(size)
    plain = shape("Qwen3-30B-A3B")
    assert plain is not None
    assert plain.stored is None
