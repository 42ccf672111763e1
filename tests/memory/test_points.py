"""The benchmark over measured points must take any folder, whatever its settings leave out."""

from __future__ import annotations

import importlib
import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from rldoctor.models.megatron import shape_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LAYOUT = {
    "num-layers": 24,
    "hidden-size": 2048,
    "num-attention-heads": 16,
    "seq-length": 2048,
    "micro-batch-size": 1,
    "global-batch-size": 512,
    "tensor-model-parallel-size": 8,
    "pipeline-model-parallel-size": 2,
    "use-distributed-optimizer": True,
    "merge-file": "gpt2-merges.txt",
    "bf16": True,
}
TRAINED = {
    "model": "Llama-3.1-8B",
    "engine": "torchtitan",
    "hardware": "H100 80GB",
    "n_gpus": 8,
    "dp": 8,
    "seq_len": 8192,
    "local_batch": 1,
    "recompute": "full",
}


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("memory_points")


def written(folder: Path, name: str, kind: str, settings: object, value: object, unit: str = "GiB") -> None:
    measured = {"value": value, "unit": unit, "what": "max_memory_allocated"}
    told = {"id": name, "kind": kind, "settings": settings, "measured": measured}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(told))


def test_a_folder_of_other_settings_is_read_and_what_it_lacks_is_said(
    tmp_path: Path, points: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "counted", "train", TRAINED, 60.0)
    written(tmp_path, "nobody-knows", "train", {**TRAINED, "model": "Foo-9B"}, 60.0)
    written(tmp_path, "no-size", "train", {**TRAINED, "tp": -1}, 60.0)
    written(tmp_path, "any-world", "train", {"engine": "megatron-lm", "megatron_args": LAYOUT}, 3.0)
    written(tmp_path, "held", "weights", {"model": "Qwen3-8B", "engine": "vllm", "dtype": "bf16"}, 15.26)
    written(tmp_path, "furlongs", "weights", {"model": "Qwen3-8B", "engine": "vllm"}, 15.3, "furlong")
    written(tmp_path, "on-host", "host", {"model": "Qwen3-8B"}, 15.3)
    written(tmp_path, "too-much", "train", {**TRAINED, "local_batch": 8}, None)
    (tmp_path / "broken.yaml").write_text("a: [1")
    monkeypatch.setattr("sys.argv", ["memory_points.py", str(tmp_path), "--each"])
    points.main()  # type: ignore[attr-defined]
    out = capsys.readouterr().out
    apart = out.split("incomplete settings")[1].split("\ncounted")[0]
    for name, why in (
        ("nobody-knows", "model Foo-9B"),
        ("no-size", "tp -1"),
        ("any-world", "n_gpus"),
        ("furlongs", "unit furlong"),
        ("on-host", "a model of host"),
        ("broken", "settings"),
    ):
        assert f"  {name}: " in apart
        assert why in apart
    assert "too-much: does not surely fit" in out
    assert "held: 15.26 of 15.26 GiB" in out
    assert "family left out" in out


def test_a_launch_of_unknown_size_is_one_node_where_the_layout_fits(points: object) -> None:
    reading = importlib.import_module("memory_reading")
    small = {**LAYOUT, "tensor-model-parallel-size": 2}
    told = {"id": "a", "kind": "train", "settings": {"engine": "megatron-lm", "megatron_args": small}}
    found = reading.point_of({**told, "measured": {"value": 3.0, "unit": "GiB"}})
    assert found.setup.parallel.world == 8
    assert found.lacks == ()
    low, high = reading.bounds(found.settings)
    assert low < high


ALLOWED: dict[str, tuple[Any, ...]] = {
    "engine": (
        "prime-rl",
        "torchtitan",
        "torchtune",
        "verl+fsdp2",
        "trl+deepspeed",
        "megatron-bridge",
        "slime",
    ),
    "hardware": ("H100 80GB", "A100 40GB", "NVIDIA RTX A6000", "B200", "MI300X 192GB", None),
    "n_gpus": (64, 512, None),
    "tp": (1, 2, 8),
    "pp": (1, 4),
    "cp": (1, 4),
    "ep": (1, 8),
    "sp": (True, False),
    "dp": (None, 8),
    "zero_stage": (None, 0, 1, 2, 3),
    "seq_len": (512, 8192, 131072),
    "micro_batch": (None, 1, 8),
    "local_batch": (None, 16),
    "tokens_per_microbatch": (None, 65536),
    "grad_accum": (None, 1, 16),
    "master_dtype": (None, "fp32", "bf16", "nf4 base", "int8"),
    "compute_dtype": (None, "bf16", "fp32", "bf16+fp8 linears"),
    "reduce_dtype": (None, "bf16"),
    "grad_dtype": (None, "fp32", "bf16"),
    "optimizer": (
        None,
        "AdamW",
        "PagedAdamW8bit",
        "SGD",
        "Muon",
        "Adafactor",
        "AdamW fp32 fused",
        "CPU Adam",
    ),
    "recompute": (
        None,
        "full per block",
        "selective [core_attn]",
        "selective (every 2nd matmul)",
        "selective []",
    ),
    "activation_offload": (None, True),
    "offload": (None, "none", "optimizer", "params+optim"),
    "lora": (None, {"rank": 16, "alpha": 32}, {"rank": "config default"}, "r=64", True),
    "lm_head": (None, "full logits", "chunked CE", "chunks of 2048 VOCAB rows", "Liger fused linear CE"),
    "compile": (None, True, "max-autotune"),
    "schedule": (None, "1F1B", "Interleaved1F1B", "GPipe", "ZBVZeroBubble"),
    "attention": (None, "flash_attention_3", "eager"),
    "ref_model": (None, True),
    "distributed_optimizer": (None, True, False),
}
MODELS = (
    "Qwen3-8B",
    "Qwen3-235B-A22B",
    "Llama-3.1-70B",
    "DeepSeek-V3",
    "Gemma-3-27b",
    "Qwen3-Next-80B-A3B",
    "gpt-oss-20b",
)


def drawn(count: int) -> list[dict[str, Any]]:
    """Return settings in every combination of two values at least a few times, the same at each call."""
    random.seed(6)
    found = []
    for _, model in zip(range(count), itertools.cycle(MODELS)):
        told = {name: random.choice(values) for name, values in ALLOWED.items()}
        found.append({"model": model, **{name: value for name, value in told.items() if value is not None}})
    return found


def sized_as(reading: Any, settings: dict[str, Any], what: str = "peak memory active") -> Any:
    measured = {"value": 10.0, "unit": "GiB", "what": what}
    return reading.point_of({"id": "a", "kind": "train", "settings": settings, "measured": measured})


def test_whatever_the_format_allows_is_estimated_and_more_tokens_never_take_less(points: object) -> None:
    reading = importlib.import_module("memory_reading")
    for settings in drawn(300):
        point = sized_as(reading, settings)
        assert point.unread == (), settings
        if point.setup is None:
            assert point.lacks, settings  # a layout or a size that nothing can have, and it is said which
            continue
        longer = sized_as(reading, {**settings, "seq_len": 2 * settings["seq_len"]})
        assert longer.setup is None or reading.predicted(longer) >= reading.predicted(point), settings
        if settings.get("n_gpus") and settings.get("zero_stage") in (None, 3):
            wider = sized_as(reading, {**settings, "n_gpus": 2 * settings["n_gpus"]})
            assert reading.predicted(wider) <= reading.predicted(point) * 1.0001, settings


def test_a_setting_that_nobody_reads_is_said(
    tmp_path: Path, points: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "one", "train", {**TRAINED, "paged_kernels": True}, 60.0)
    written(tmp_path, "two", "train", {**TRAINED, "config": {"wings": 2}}, 60.0)
    args = {**LAYOUT, "tensor-model-parallel-size": 2, "moe-latent-size": 64}
    written(tmp_path, "three", "train", {"engine": "megatron-lm", "megatron_args": args}, 3.0)
    mamba = {**args, "hybrid-layer-pattern": "M-M*"}
    written(tmp_path, "four", "train", {"engine": "megatron-lm", "megatron_args": mamba}, 3.0)
    monkeypatch.setattr("sys.argv", ["memory_points.py", str(tmp_path)])
    points.main()  # type: ignore[attr-defined]
    out = capsys.readouterr().out
    said = out.split("settings that are not read")[1]
    for name in ("paged_kernels: one", "config.wings: two", "moe-latent-size: four, three"):
        assert f"  {name}" in said
    assert "four: hybrid-layer-pattern" in out.split("incomplete settings")[1]


@pytest.mark.parametrize(
    ("what", "target"),
    [
        ("torch.cuda.max_memory_reserved (rank 0)", "reserved"),
        ("peak memory as reported (allocated vs reserved not stated)", "allocated"),
        ("peak memory active", "allocated"),
        ("nvidia-smi, peak", "device"),
    ],
)
def test_the_target_is_what_the_words_say(points: object, what: str, target: str) -> None:
    reading = importlib.import_module("memory_reading")
    assert sized_as(reading, TRAINED, what).target == target


@pytest.mark.parametrize(
    ("told", "weights", "cache"),
    [
        ({"dtype": "bf16"}, 2.0, 2.0),
        ({"quantization": "awq"}, 0.5 + 2.5 / 128, 2.0),
        ({"dtype": "fp8", "kv_dtype": "fp8_e5m2"}, 1.0, 1.0),
        ({"kv_dtype": "fp4_e2m1"}, 2.0, 0.5625),
    ],
)
def test_engines_of_any_dtype_are_read(
    points: object, told: dict[str, Any], weights: float, cache: float
) -> None:
    setups = importlib.import_module("point_setups")
    shape = {"shape": importlib.import_module("rldoctor.models").shape("Qwen3-8B")}
    engine = setups.rollout_of({"engine": "sglang", "config": shape, "dp_attention": 4, "tp": 8, **told})
    assert (engine.weight_bytes, engine.kv_bytes, engine.dp) == (pytest.approx(weights), cache, 4)


@pytest.mark.parametrize(
    ("pattern", "dense", "every"),
    [("([0]*3+[1]*58)", 3, 1), ("[0,1,1,1]", 1, 1), ("([0]*1+[1]*1)*12", 0, 2), ("2", 0, 2), (1, 0, 1)],
)
def test_patterns_of_dense_and_expert_layers_are_read(pattern: Any, dense: int, every: int) -> None:
    found = shape_of({**LAYOUT, "num-experts": 8, "moe-layer-freq": pattern}, tp=8)
    assert (found.first_dense_layers, found.moe_layer_freq) == (dense, every)


def test_a_measurement_before_any_step_is_of_the_parameters_alone(points: object) -> None:
    reading = importlib.import_module("memory_reading")
    told = {"model": "Qwen3-8B", "engine": "verl+fsdp2", "n_gpus": 8, "seq_len": 4096, "master_dtype": "fp32"}
    found = sized_as(reading, told, "After FSDP init, memory allocated")
    assert (found.kind, found.lacks) == ("states", ())
    assert reading.predicted(found) == pytest.approx(8_190_735_360 * 4 / 8 / 2**30, rel=1e-6)
