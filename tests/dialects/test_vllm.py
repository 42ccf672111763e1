"""vLLM servers, from their command lines and from what they print of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor import dialects, logs
from rldoctor.dialects.rows import Embed
from rldoctor.facts import Facts, ToldFacts, walk
from rldoctor.sources import read_text
from rldoctor.types import UNKNOWN

PRINTED = (
    "(EngineCore_DP0 pid=99) INFO 11-20 10:00:02 [core.py:77] "
    "Initializing a V1 LLM engine (v0.11.0) with config: model='Qwen/Qwen3-8B', "
    "speculative_config=None, tokenizer='Qwen/Qwen3-8B', dtype=torch.bfloat16, "
    "max_seq_len=16384, load_format=auto, tensor_parallel_size=4, pipeline_parallel_size=1, "
    "data_parallel_size=1, "
    "enforce_eager=True, kv_cache_dtype=auto, seed=0, enable_prefix_caching=False, "
    'compilation_config={"level":3,"debug_dump_path":""}\n'
)
ARGUMENTS = (
    "INFO 11-20 10:00:00 [utils.py:253] non-default args: {'model': 'Qwen/Qwen3-8B', "
    "'tensor_parallel_size': 4, "
    "'gpu_memory_utilization': 0.95, 'max_num_seqs': 512, 'compilation_config': {'level': 3}}\n"
)


def server(command: str) -> Facts:
    (found,) = walk(read_text(command + "\n", "serve.sh", "shell"), ToldFacts())
    assert found.system == "vllm"
    return found


@pytest.mark.parametrize(
    "command",
    [
        "vllm serve Qwen/Qwen3-30B-A3B -tp 4 -dp 2 --gpu-memory-utilization=0.85 --max-num-seqs 64",
        "python3 -m vllm.entrypoints.openai.api_server --model Qwen/Qwen3-30B-A3B --tensor-parallel-size 4 "
        "--data-parallel-size 2 --gpu-memory-utilization 0.85 --max-num-seqs 64",
    ],
)
def test_a_server_of_its_own(command: str) -> None:
    found = server(command)
    assert [found.value(f"rollout.{name}") for name in ("engine", "tp", "dp", "gpus", "mem_fraction")] == [
        "vllm",
        4,
        2,
        8,
        0.85,
    ]
    assert found.value("rollout.max_seqs") == 64
    assert found.value("model.num_experts") == 128
    assert found.value("cluster.asked_gpus") == 8
    assert found.value("train.gpus") is None


def test_switches_have_two_words_and_experts_use_all_ranks() -> None:
    found = server("vllm serve Qwen/Qwen3-30B-A3B -tp 8 --no-enable-prefix-caching --enable-expert-parallel")
    assert found.value("rollout.prefix_cache") is False
    assert found.value("rollout.chunked_prefill") is True
    assert found.value("rollout.ep") == 8
    assert server("vllm serve x --enforce-eager").value("rollout.eager") is True


def test_the_default_share_of_memory_is_of_the_release() -> None:
    document = read_text("vllm serve x\n", "serve.sh", "shell")
    shares = {
        release: walk(document, ToldFacts(versions={"vllm": release}))[0].value("rollout.mem_fraction")
        for release in ("0.8.5", "0.19.1", "0.33.0")
    }
    assert shares == {"0.8.5": 0.9, "0.19.1": 0.9, "0.33.0": 0.92}


def test_a_model_in_a_variable_is_not_guessed() -> None:
    found = server("vllm serve $MODEL --max-num-seqs 64")
    assert found.fact("model.path").state != "known"
    assert found.value("model.num_layers") in (None, UNKNOWN)


def test_a_config_file_is_read_below_the_words(tmp_path: Path) -> None:
    (tmp_path / "serve.yaml").write_text("tensor-parallel-size: 4\nmax_num_seqs: 32\nenforce-eager: true\n")
    script = tmp_path / "serve.sh"
    script.write_text("vllm serve Qwen/Qwen3-8B --config serve.yaml --max-num-seqs 64\n")
    (found,) = walk(read_text(script.read_text(), str(script), "shell"), ToldFacts())
    assert [found.value(f"rollout.{name}") for name in ("tp", "max_seqs", "eager")] == [4, 64, True]


def test_the_log_of_an_engine_gives_its_config(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(PRINTED)
    (printed,) = logs.read([str(log)], []).configs
    (found,) = walk(printed.document, ToldFacts())
    assert found.value("model.path") == "Qwen/Qwen3-8B"
    names = ("tp", "eager", "prefix_cache", "max_model_len")
    assert [found.value(f"rollout.{name}") for name in names] == [4, True, False, 16384]


def test_printed_arguments_say_more_than_the_engine(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(ARGUMENTS + PRINTED)
    reading = logs.read([str(log)], [])
    assert [printed.form for printed in reading.configs] == ["engine_args", "engine_config"]
    (found,) = walk(reading.configs[0].document, ToldFacts())
    assert [found.value(f"rollout.{name}") for name in ("tp", "mem_fraction", "max_seqs")] == [4, 0.95, 512]


def test_what_started_the_run_counts_before_what_its_engines_print(tmp_path: Path) -> None:
    from rldoctor.logs.configs import config_for

    log = tmp_path / "run.log"
    log.write_text(
        "+ python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo data.train_batch_size=8\n"
        + PRINTED
        + "RuntimeError: x\n"
    )
    reading = logs.read([str(log)], ["RuntimeError: x"])
    chosen = config_for(reading.configs, reading.hits["RuntimeError: x"][0])
    assert chosen is not None
    assert [found.system for found in walk(chosen.document, ToldFacts())] == ["verl"]


def test_behind_a_prefix_the_other_system_tells_model_and_sizes() -> None:
    from rldoctor.dialects.rows import Dialect, embedded

    host = Dialect("host", (), embeds=(Embed("vllm", "engine.vllm."),))
    rows = embedded(host, {"vllm": dialects.load("vllm")}).rows
    keys = {row.key for row in rows if row.when is None}
    assert "engine.vllm.gpu_memory_utilization" in keys
    assert "engine.vllm.tensor_parallel_size" not in keys


@pytest.mark.parametrize(
    ("functions", "phase"),
    [
        (["run_busy_loop", "collective_rpc", "update_weights_from_ipc"], "sync"),
        (["run_busy_loop", "execute_model", "compute_logits"], "rollout.generate"),
        (["__init__", "_initialize_kv_caches", "determine_available_memory"], "rollout.start"),
        (["capture_model", "_dummy_run"], "rollout.graph_capture"),
    ],
)
def test_frames_of_an_engine_tell_what_it_did(functions: list[str], phase: str) -> None:
    from rldoctor.logs.failures import Frame
    from rldoctor.logs.phases import of_frames
    from rldoctor.logs.shapes import load

    table = tuple(row for shape in load() for row in shape.phases)
    frames = [Frame("/opt/vllm/v1/engine/core.py", 77, name) for name in functions]
    assert of_frames(frames, table) == phase


@pytest.mark.parametrize("flag", ["--enable-prefix-caching", "--no-enable-prefix-caching"])
def test_a_switch_that_is_added_with_a_default_of_its_own_keeps_its_type(flag: str) -> None:
    from rldoctor.dialects import catalogue

    known = catalogue.load("vllm").find(flag, "0.33.0", ("serve",))
    assert known is not None and known.kind == "flag"
