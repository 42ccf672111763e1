"""Bases of rotary embeddings and epsilons: from a config.json, else of models as they were released."""

import json
from pathlib import Path

import pytest

from rldoctor.models.constants import Constants, constants


@pytest.mark.parametrize(
    ("name", "base", "eps"),
    [
        ("Qwen/Qwen3-8B", 1e6, 1e-6),
        ("/models/Qwen3-4B-Base_torch_dist", 1e6, 1e-6),
        ("Qwen/Qwen3-4B-Instruct-2507", 5e6, 1e-6),
        ("Qwen/Qwen3-30B-A3B-Thinking-2507", None, 1e-6),
        ("Qwen/Qwen2.5-32B-Instruct", 1e6, 1e-5),
        ("meta-llama/Meta-Llama-3-8B-Instruct", 5e5, 1e-5),
        ("/data/qwen3-4b-sft", None, None),
        ("Qwen/Qwen2.5-Math-7B", None, None),
        ("Qwen/Qwen2.5-1.5B", None, None),
        ("/models/mine", None, None),
    ],
)
def test_a_name_tells_only_what_was_released_so(name: str, base: float | None, eps: float | None) -> None:
    assert constants(name) == Constants(base, eps)


def test_a_config_json_stands_above_the_folders_name(tmp_path: Path) -> None:
    folder = tmp_path / "Qwen3-8B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"rope_theta": 5000000, "rms_norm_eps": 1e-5}))
    assert constants(str(folder)) == Constants(5e6, 1e-5)


def test_newer_files_keep_the_base_in_a_section(tmp_path: Path) -> None:
    text = {"text_config": {"rope_parameters": {"rope_theta": 10000000}, "rms_norm_eps": True}}
    (tmp_path / "config.json").write_text(json.dumps(text))
    assert constants(str(tmp_path)) == Constants(1e7, None)


def test_a_broken_file_falls_back_to_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "Qwen3-8B"
    folder.mkdir()
    (folder / "config.json").write_text("{")
    assert constants(str(folder)) == Constants(1e6, 1e-6)
