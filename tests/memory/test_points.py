"""The benchmark over measured points must take any folder, whatever its settings leave out."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

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
