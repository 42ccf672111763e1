import json
from pathlib import Path
from typing import Any

import pytest

from rldoctor.models import Shape, shape
from rldoctor.types import RLDoctorError

# Parameters that the published checkpoints hold. DeepSeek-V3's and Moonlight's further count the
# 256 (64) routing corrections of each MoE layer, which are buffers and no parameters.
TOTALS = {
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768,
    "Qwen/Qwen2.5-Math-7B": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-4B-Instruct-2507": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-235B-A22B": 235_093_634_560,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Meta-Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.3-70B-Instruct": 70_553_706_496,
    "meta-llama/Llama-3.1-405B": 405_853_388_800,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 46_702_792_704,
    "deepseek-ai/DeepSeek-V3": 671_026_419_200 - 58 * 256,
    "deepseek-ai/DeepSeek-V2-Lite-Chat": 15_706_484_224,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": 1_777_088_000,
    "zai-org/GLM-Z1-9B-0414": 9_400_279_040,
    "zai-org/GLM-4.5-Air": 106_852_245_504,
    "Qwen/Qwen3-VL-8B-Instruct": 8_767_123_696,
    "Qwen/Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "openai/gpt-oss-20b": 20_914_757_184,
    "openai/gpt-oss-120b": 116_829_156_672,
    "google/gemma-3-4b-it": 4_300_079_472,
    "google/gemma-3-27b-it": 27_432_406_640,
    "mistralai/Mistral-Nemo-Instruct-2407": 12_247_782_400,
    "mistralai/Mixtral-8x22B-v0.1": 140_620_634_112,
    "microsoft/phi-4": 14_659_507_200,
    "microsoft/Phi-4-mini-instruct": 3_836_021_760,
    "internlm/internlm3-8b-instruct": 8_804_241_408,
}


@pytest.mark.parametrize(("name", "total"), TOTALS.items())
def test_parameters_add_up_to_the_published_total(name: str, total: int) -> None:
    found = shape(name)
    assert found is not None
    assert found.num_params() == total


def test_active_parameters_are_what_the_name_says() -> None:
    for name, billions in (("Qwen3-30B-A3B", 3.3), ("Qwen3-235B-A22B", 22), ("DeepSeek-R1", 37)):
        found = shape(name)
        assert found is not None
        assert (found.num_active_params() or 0) / 1e9 == pytest.approx(billions, rel=0.03)


def test_a_bundled_shape_says_so_and_has_every_size() -> None:
    found = shape("/data/models/Qwen3-30B-A3B-Instruct-2507/")
    assert found == Shape(
        architecture="qwen3_moe",
        source="bundled: Qwen3-30B-A3B",
        num_layers=48,
        hidden_size=2048,
        ffn_hidden_size=6144,
        num_heads=32,
        num_kv_heads=4,
        head_dim=128,
        vocab_size=151936,
        max_positions=262144,
        num_experts=128,
        moe_ffn=768,
        moe_topk=8,
        qk_norm=True,
    )


@pytest.mark.parametrize(
    ("name", "known", "max_positions"),
    [
        ("/root/Qwen3-4B_torch_dist", "Qwen3-4B", 40960),
        ("Qwen/Qwen3-4B-Base", "Qwen3-4B", 32768),
        ("Qwen2.5-7B", "Qwen2.5-7B", 131072),
        ("Qwen2.5-7B-Instruct", "Qwen2.5-7B", 32768),
        ("Qwen2.5-Math-7B-Instruct", "Qwen2.5-Math-7B", 4096),
        ("QWEN3-30B-A3B-to-mcore", "Qwen3-30B-A3B", 40960),
        ("deepseek-ai/DeepSeek-R1-0528", "DeepSeek-R1", 163840),
        ("moonshotai/Moonlight-16B-A3B-Instruct", "Moonlight-16B-A3B", 8192),
    ],
)
def test_names_are_found_through_paths_variants_and_formats(
    name: str, known: str, max_positions: int
) -> None:
    found = shape(name)
    assert found is not None
    assert found.source == f"bundled: {known}"
    assert found.max_positions == max_positions


@pytest.mark.parametrize(
    "name",
    ["", "/", "Qwen3-8B-pruned", "DeepSeek-R1-Distill-Gemma-9B", "qwen3", "${MODEL}", "a\0b", "x" * 5000],
)
def test_an_unknown_name_is_never_guessed(name: str) -> None:
    assert shape(name) is None


def test_a_vision_model_counts_its_tower() -> None:
    found = shape("Qwen/Qwen2.5-VL-7B-Instruct")
    assert found is not None
    assert (found.num_heads, found.num_kv_heads, found.max_positions) == (28, 4, 128000)
    assert (found.num_params(), found.vision_params) == (8_292_166_656, 676_550_144)


TINY: dict[str, Any] = {
    "model_type": "qwen3",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 1000,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}


def folder(tmp_path: Path, config: Any) -> Path:
    (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return tmp_path


def test_a_folder_wins_over_its_name(tmp_path: Path) -> None:
    model = tmp_path / "Qwen3-8B"
    model.mkdir()
    folder(model, TINY)
    found = shape("Qwen3-8B", base=tmp_path)
    assert found is not None
    assert (found.num_layers, found.source) == (2, f"config.json of {model}")
    layer = 64 * (64 + 2 * 32) + 64 * 64 + 2 * 16 + 2 * 64 + 3 * 64 * 128
    assert found.num_params() == 1000 * 64 + 64 + 2 * layer


def test_a_nested_text_config_is_read(tmp_path: Path) -> None:
    text = {key: value for key, value in TINY.items() if key != "tie_word_embeddings"}
    config = {"model_type": "qwen3_vl", "tie_word_embeddings": True, "text_config": text}
    found = shape(str(folder(tmp_path, config)))
    assert found is not None
    assert (found.hidden_size, found.tie_embeddings, found.num_params()) == (64, True, None)


def test_an_unknown_architecture_has_sizes_but_no_total(tmp_path: Path) -> None:
    found = shape(str(folder(tmp_path, TINY | {"model_type": "qwen9_hybrid"})))
    assert found is not None
    assert (found.architecture, found.num_heads, found.num_params()) == ("qwen9_hybrid", 4, None)


def test_every_second_layer_may_be_sparse(tmp_path: Path) -> None:
    config = TINY | {"model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 2}
    config |= {"moe_intermediate_size": 32, "decoder_sparse_step": 2, "num_hidden_layers": 5}
    found = shape(str(folder(tmp_path, config)))
    assert found is not None
    assert found.moe_layers == 2


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"num_hidden_layers": 2,', "not valid JSON"),
        ("[]", "not a JSON object"),
        ("[" * 100_000, "not valid JSON"),
        (TINY | {"hidden_size": "64"}, "hidden_size is '64'"),
        (TINY | {"num_attention_heads": 0}, "num_attention_heads is 0"),
        (TINY | {"num_hidden_layers": 10**30}, "num_hidden_layers is 1"),
        (TINY | {"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'"),
        (TINY | {"head_dim": None, "num_attention_heads": 7}, "hidden_size 64 is no multiple"),
        ({"model_type": "qwen3"}, "num_attention_heads is missing"),
    ],
)
def test_a_broken_or_lying_config_is_told(tmp_path: Path, config: Any, message: str) -> None:
    with pytest.raises(RLDoctorError, match=message) as caught:
        shape(str(folder(tmp_path, config)))
    assert str(caught.value.file).endswith("config.json")


@pytest.mark.parametrize(
    "name", ["Qwen2.5-7B", "Qwen3-4B", "Qwen3-30B-A3B", "Llama-3.2-1B", "Moonlight-16B-A3B", "GLM-4-9B-0414"]
)
def test_transformers_counts_the_same_parameters(name: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from rldoctor.models.names import bundled

    row = bundled(name)
    found = shape(name)
    assert row is not None
    assert found is not None
    config = transformers.AutoConfig.for_model(
        row[1]["model_type"], **{key: value for key, value in row[1].items() if key != "model_type"}
    )
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    assert found.num_params() == sum(parameter.numel() for parameter in model.parameters())


def test_the_length_of_a_context_leaves_the_shape_alone() -> None:
    short, long = shape("Phi-3-mini-4k-instruct"), shape("microsoft/Phi-3-mini-128k-instruct")
    assert short is not None
    assert long is not None
    assert (short.source, short.num_params()) == (long.source, long.num_params())
