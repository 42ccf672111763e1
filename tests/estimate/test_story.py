"""`rldoctor estimate` as a user sees it: the table, JSON, what fits, calibration, bad input."""

import json
from pathlib import Path
from typing import Any

import pytest

from rldoctor.estimate import Ask, estimate
from rldoctor.estimate.story import unknown
from rldoctor.facts import ToldFacts
from rldoctor.facts.memory_setup import Sized
from rldoctor.report.sizes import as_text
from rldoctor.report.structured import as_json
from rldoctor.types import Report, RLDoctorError

SCRIPT = """\
python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo \\
    data.train_batch_size=512 data.max_prompt_length=1024 data.max_response_length=7168 \\
    actor_rollout_ref.model.path=Qwen/Qwen3-8B actor_rollout_ref.actor.ppo_mini_batch_size=256 \\
    actor_rollout_ref.actor.use_dynamic_bsz=True actor_rollout_ref.actor.ppo_max_token_len_per_gpu=16384 \\
    actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.gpu_memory_utilization=0.6 \\
    actor_rollout_ref.rollout.n=8 trainer.n_gpus_per_node=8 trainer.nnodes=1 \\
    trainer.save_freq=20 trainer.default_local_dir=ckpt
"""
SLIME = """\
python3 train.py --actor-num-nodes 1 --actor-num-gpus-per-node 8 --rollout-num-gpus 8 \\
    --hf-checkpoint Qwen/Qwen3-4B --rollout-batch-size 32 --n-samples-per-prompt 8 --global-batch-size 256 \\
    --rollout-max-response-len 8192 --tensor-model-parallel-size 2 --sequence-parallel \\
    --rollout-num-gpus-per-engine 2 --sglang-mem-fraction-static 0.7
"""
GPU = {"cluster.gpu_memory_gib": "79.1"}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "run.sh"
    path.write_text(SCRIPT)
    return path


def of(path: Path, ask: Ask | None = None, **told: str) -> Report:
    return estimate([str(path)], ToldFacts(set={**GPU, **told}), ask)


def first(report: Report) -> dict[str, Any]:
    assert report.memory is not None
    found: dict[str, Any] = report.memory["estimates"][0]
    return found


def test_every_phase_has_terms_targets_and_an_interval(script: Path) -> None:
    found = first(of(script))
    assert [row["phase"] for row in found["phases"]] == ["train", "train.logprob", "rollout", "sync"]
    for row in found["phases"]:
        low, high = row["device_interval_gib"]
        assert low < row["device_gib"] < high
        assert row["allocated_gib"] <= row["reserved_gib"] <= row["device_gib"]
        assert row["fits"] is True
        assert row["margin_gib"] == pytest.approx(79.1 - row["device_gib"], abs=0.001)
        beside = sum(term["gib"] for term in row["beside"])
        assert row["device_gib"] == pytest.approx(row["reserved_gib"] + beside, abs=0.001)
        assert all(term["source"] for term in row["terms"])
    assert (found["system"], found["ranks"], found["model"]["parameters"]) == ("verl", 8, 8_190_735_360)


def test_host_and_disk_are_counted(script: Path) -> None:
    found = first(of(script, **{"cluster.host_memory_gib": "32"}))
    loading = found["host"][0]
    assert (loading["phase"], loading["fits"]) == ("start.load", False)
    assert found["disk"][0]["gib"] == pytest.approx(12 * 8_190_735_360 / 2**30, abs=0.01)


def test_the_json_holds_the_schema(script: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(__file__).parents[2] / "docs/contracts/schemas/report.schema.json"
    told = json.loads(as_json(of(script)))
    jsonschema.validate(told, json.loads(schema.read_text()))
    assert told["command"] == "estimate"


def test_the_largest_that_fits_is_solved(script: Path) -> None:
    asks = ("batch.max_tokens_per_gpu", "rollout.mem_fraction", "train.ulysses_sp")
    tokens, share, size = first(of(script, Ask(solve=asks)))["solved"]
    assert tokens["value"] > tokens["now"] == 16384
    assert 0 <= tokens["room_gib"] < 2
    assert 0.6 <= share["value"] <= 0.95
    assert size["value"] == 1


def test_another_value_stands_beside(script: Path) -> None:
    (other,) = first(of(script, Ask(what_if=("batch.max_tokens_per_gpu=131072",))))["what_if"]
    assert other["fits"] is False
    assert other["phases"][0]["device_gib"] > 79.1


def test_all_ranks_show_every_stage(script: Path) -> None:
    megatron = "actor_rollout_ref.actor.strategy=megatron"
    text = SCRIPT.replace("trainer.nnodes=1", f"trainer.nnodes=1 {megatron}").replace(
        "main_ppo", "main_ppo actor_rollout_ref.actor.megatron.pipeline_model_parallel_size=4"
    )
    script.write_text(text)
    rows = first(of(script, Ask(all_ranks=True)))["phases"]
    assert {row["stage"] for row in rows} == {0, 1, 2, 3}
    assert {row["stage"] for row in first(of(script))["phases"]} <= {0, 3}


def test_peaks_calibrate_and_are_stored_beside_the_run(script: Path, tmp_path: Path) -> None:
    cold = first(of(script))["phases"][0]
    peak = int((cold["allocated_gib"] + 3) * 2**30)
    run = tmp_path / "run"
    run.mkdir()
    sizes = [peak // 2, peak, peak + 1000, peak - 1000]
    rows = [
        {"v": 1, "kind": "step_finished", "bytes_allocated": peak // 2, "bytes_peak": size} for size in sizes
    ]
    for row in rows:
        row["metrics"] = {"micro_batch_tokens_max": 16384}
    (run / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "step_fin')
    found = first(of(script, Ask(peaks=(str(run),))))
    assert found["calibration"]["says"].startswith("calibrated on 3 steps, ±")
    assert found["phases"][0]["allocated_gib"] == pytest.approx(peak / 2**30, rel=0.005)
    stored = json.loads((run / "memory.json").read_text())
    assert stored["points"] == 3
    assert (
        max(abs(error) for error in stored["residuals"]) < 0.001 < max(map(abs, stored["residuals_before"]))
    )


def test_a_told_peak_calibrates_too(script: Path) -> None:
    cold = first(of(script))["phases"][0]["reserved_gib"]
    told = f"reserved={cold * 1.1:.3f},tokens=16384"
    found = first(of(script, Ask(peaks=(told,))))
    assert found["phases"][0]["reserved_gib"] == pytest.approx(cold * 1.1, rel=0.005)


def test_what_nobody_told_is_named_with_what_it_would_change(script: Path) -> None:
    found = first(estimate([str(script)], ToldFacts()))
    assert found["fits"] is None
    assert {"concept": "cluster.gpu_memory_gib", "changes": "whether it fits, and the KV cache"} in found[
        "unknown"
    ]


def test_an_unknown_architecture_is_said(script: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    sizes = {"model_type": "qwen9", "num_hidden_layers": 4, "hidden_size": 256, "intermediate_size": 512}
    sizes |= {"num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": 1000}
    (folder / "config.json").write_text(json.dumps(sizes))
    script.write_text(SCRIPT.replace("Qwen/Qwen3-8B", str(folder)))
    report = of(script)
    assert any("qwen9 is counted as a plain transformer" in note for note in report.notes)


@pytest.mark.parametrize(
    ("ask", "told", "says"),
    [
        (Ask(), {"train.ulysses_sp": "5"}, "no run can be like this"),
        (Ask(), {"train.gpus_per_node": "0"}, "no run can be like this"),
        (Ask(), {"model.num_layers": "1000000000"}, "no run can be like this"),
        (Ask(solve=("optim.lr",)), {}, "nothing is known about how memory follows"),
        (Ask(solve=("batch.max_tokens",)), {}, "unknown concept"),
        (Ask(what_if=("batch.micro",)), {}, "not CONCEPT=VALUE"),
        (Ask(what_if=("train.ulysses_sp=7",)), {}, "no run can be like this"),
        (Ask(peaks=("nowhere",)), {}, "no such run folder or log"),
        (Ask(peaks=("reserved=nan",)), {}, "above 0"),
        (Ask(peaks=("reserved=x",)), {}, "no peak"),
    ],
)
def test_bad_input_is_one_clear_message(script: Path, ask: Ask, told: dict[str, str], says: str) -> None:
    with pytest.raises(RLDoctorError, match=says):
        of(script, ask, **told)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("ourlab/Zebra-9B", "nobody here knows the sizes of ourlab/Zebra-9B"),
        ("${HOME_OF_MODELS}/Zebra-9B", "nobody here knows the sizes of .*Zebra-9B"),
    ],
)
def test_a_model_that_nobody_knows_is_refused_by_its_name(script: Path, path: str, says: str) -> None:
    script.write_text(SCRIPT.replace("Qwen/Qwen3-8B", path))
    with pytest.raises(RLDoctorError, match=says):
        of(script)


def test_a_launch_of_megatron_lacks_the_size_that_is_missing(script: Path) -> None:
    sizes = (
        "--num-layers 24 --hidden-size 1024 --num-attention-heads 16 --seq-length 2048 --micro-batch-size 1"
    )
    script.write_text(f"torchrun --nproc_per_node 8 pretrain_gpt.py {sizes} --tokenizer-model $TOKENIZER\n")
    with pytest.raises(RLDoctorError, match=r"model\.vocab_size is not known"):
        of(script)


def test_a_solution_needs_a_gpu(script: Path) -> None:
    with pytest.raises(RLDoctorError, match="the GPU's size is not known"):
        estimate([str(script)], ToldFacts(), Ask(solve=("batch.micro",)))


def test_the_table_shows_terms_bars_and_margins(script: Path) -> None:
    text = as_text(
        of(script, Ask(solve=("rollout.mem_fraction",), what_if=("batch.max_tokens_per_gpu=65536",)))
    )
    lines = text.splitlines()
    assert lines[0].endswith("8.19B parameters (bundled: Qwen3-8B), 8 ranks")
    head = next(line for line in lines if line.startswith("GiB"))
    assert head.split() == ["GiB", "train", "train.logprob", "rollout", "sync"]
    total = next(line for line in lines if line.startswith("= device total"))
    assert len(total.split()) == 7
    assert sum("of 79.1 GiB" in line and "█" in line for line in lines) == 4
    assert any(line.startswith("rollout.mem_fraction=") for line in lines)
    assert any("→" in line for line in lines)


def test_small_runs_are_shown_in_mib(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "train: {max_token_in_packing: 512}\nrun: {steps: 3}\ncluster: {worker_memory_limit_gib: 0.5}\n"
    )
    report = estimate([str(config)], ToldFacts(system="trainer_core"))
    assert "MiB" in as_text(report)
    assert "of 512.0 MiB" in as_text(report)


@pytest.mark.parametrize(
    ("concept", "changes"),
    [
        ("train.fsdp_size", "over how many ranks states are spread"),
        ("train.cp", "what a rank holds of the model"),
        ("mem.offload_param", "what stays on the GPU while others work"),
    ],
)
def test_each_unknown_input_says_what_hangs_on_it(concept: str, changes: str) -> None:
    (told,) = unknown(Sized(None, unknown=(concept,)))
    assert told == {"concept": concept, "changes": changes}


def test_what_nothing_grows_with_has_no_largest_value(script: Path) -> None:
    report = of(script, Ask(solve=("rollout.concurrency",)), **{"cluster.colocate": "false"})
    (found,) = first(report)["solved"]
    assert (found["value"], found["grows"]) == (None, False)
    assert "no phase on a GPU grows with rollout.concurrency" in as_text(report)


@pytest.mark.parametrize(
    "command",
    [
        "vllm serve Qwen/Qwen3-8B --tensor-parallel-size 2 --max-model-len 16384",
        "python3 -m sglang.launch_server --model-path Qwen/Qwen3-8B --tp 2",
    ],
)
def test_a_server_has_no_trainer_beside_it(tmp_path: Path, command: str) -> None:
    path = tmp_path / "serve.sh"
    path.write_text(command + "\n")
    found = first(of(path, Ask(what_if=("rollout.tp=4",))))
    assert {phase["phase"] for phase in found["phases"]} == {"rollout"}
    assert {phase["phase"] for phase in found["what_if"][0]["phases"]} == {"rollout"}
    assert found["host"] == found["disk"] == []
    assert not any(each["concept"].startswith(("batch.", "train.")) for each in found["unknown"])


def test_a_training_that_cannot_be_sized_is_said_and_never_fits(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(SLIME)
    report = of(path)
    found, shown = first(report), as_text(report)
    assert (found["unsized"], found["fits"]) == (["train"], None)
    assert "train could not be sized; of the rest rollout holds most" in report.summary
    assert "not known: batch.longest_sample; it would change" in shown
    assert "(--set batch.longest_sample=…)" in shown
    told = first(of(path, **{"batch.longest_sample": "9216"}))
    assert told["unsized"] == []
    assert told["phases"][0]["phase"] == "train"


@pytest.mark.parametrize(("number", "says"), [(8.19e9, "8.19B"), (494e6, "494.00M"), (115_488, "115488")])
def test_small_models_are_counted_in_their_own_unit(script: Path, number: float, says: str) -> None:
    report = of(script)
    first(report)["model"]["parameters"] = number
    assert f"verl, {says} parameters" in as_text(report)
