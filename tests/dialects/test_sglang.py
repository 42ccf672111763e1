"""SGLang servers of their own, and what slime's arguments leave to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor import logs
from rldoctor.facts import ToldFacts, walk
from rldoctor.sources import read_text


@pytest.mark.parametrize(
    "command",
    [
        "python3 -m sglang.launch_server --model-path Qwen/Qwen3-8B --tp 4 --mem-fraction-static 0.8",
        "sglang serve --model Qwen/Qwen3-8B --tp-size 4 --mem-fraction-static=0.8",
    ],
)
def test_a_server_of_its_own(command: str) -> None:
    (found,) = walk(read_text(command + "\n", "serve.sh", "shell"), ToldFacts())
    assert found.system == "sglang"
    assert [found.value(f"rollout.{name}") for name in ("engine", "tp", "gpus", "mem_fraction")] == [
        "sglang",
        4,
        4,
        0.8,
    ]
    assert found.value("model.num_layers") == 36
    assert found.value("rollout.max_model_len") == 40960


def test_attention_replicas_share_the_ranks_of_the_rest() -> None:
    command = "python3 -m sglang.launch_server --model-path x --tp 8 --dp 8"
    apart, shared = (
        walk(read_text(text + "\n", "serve.sh", "shell"), ToldFacts())[0].value("rollout.gpus")
        for text in (command, command + " --enable-dp-attention")
    )
    assert (apart, shared) == (64, 8)


def test_behind_slimes_prefix_the_sizes_are_slimes() -> None:
    text = (
        "python3 train.py --hf-checkpoint x --rollout-batch-size 8 --rollout-num-gpus-per-engine 2 "
        "--sglang-tp-size 8 --sglang-mem-fraction-static 0.7\n"
    )
    (found,) = walk(read_text(text, "run.sh", "shell"), ToldFacts())
    assert found.system == "slime"
    assert found.value("rollout.tp") == 2
    assert found.value("rollout.mem_fraction") == 0.7


@pytest.mark.parametrize(
    "printed",
    [
        "server_args=ServerArgs(model_path='x/y', tp_size=2, mem_fraction_static=0.88, "
        "disable_radix_cache=True)",
        "server_args={'model_path': 'x/y', 'tp_size': 2, 'mem_fraction_static': 0.88, "
        "'disable_radix_cache': True, 'cuda_graph_config': {'decode': None}}",
    ],
)
def test_the_log_of_a_server_gives_its_arguments(tmp_path: Path, printed: str) -> None:
    log = tmp_path / "sglang.log"
    log.write_text(f"[2026-01-02 10:00:00] {printed}\n")
    (config,) = logs.read([str(log)], []).configs
    (found,) = walk(config.document, ToldFacts())
    assert found.system == "sglang"
    assert [found.value(f"rollout.{name}") for name in ("tp", "mem_fraction", "prefix_cache")] == [
        2,
        0.88,
        False,
    ]
