from pathlib import Path

import pytest

from rldoctor import check, diagnose, dialects, logs, sources
from rldoctor.dialects.areal import allocation, parts
from rldoctor.facts import ToldFacts, walk
from rldoctor.types import UNKNOWN, RLDoctorError

CONFIG = """\
experiment_name: math
trial_name: one
tokenizer_path: ${actor.path}
cluster:
  n_nodes: 2
  n_gpus_per_node: 8
  name_resolve: {type: nfs}
rollout:
  backend: "sglang:d4p1t2"   # half of the GPUs
  max_concurrent_rollouts: null
  consumer_batch_size: ${train_dataset.batch_size}
  max_head_offpolicyness: 2
gconfig:
  n_samples: 4
  max_new_tokens: 4096
actor:
  backend: "fsdp:d8p1t1"
  path: Qwen/Qwen2.5-7B-Instruct
  gradient_checkpointing: true
  mb_spec:
    max_tokens_per_mb: 16384
  kl_ctl: 0.01
  ppo_n_minibatches: 2
  reward_norm: {mean_level: group, std_level: group, group_size: "${gconfig.n_samples}"}
ref:
  backend: ${actor.backend}
  path: ${actor.path}
  mb_spec: {max_tokens_per_mb: 32768}
  scheduling_strategy: {type: colocation, target: actor}
sglang:
  mem_fraction_static: 0.8
train_dataset:
  batch_size: 64
  max_length: 1024
"""
OLD = """\
cluster: {n_nodes: 1, n_gpus_per_node: 8, name_resolve: {type: nfs}}
allocation_mode: sglang.d4t1+d2c2
async_training: true
rollout: {max_concurrent_rollouts: 64}
gconfig: {n_samples: 4, max_new_tokens: 1024}
actor:
  backend: fsdp
  path: Qwen/Qwen2.5-1.5B-Instruct
  mb_spec: {max_tokens_per_mb: 8192}
train_dataset: {batch_size: 32, max_length: 512}
"""
MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 9.27 GiB. GPU 1 has a total capacity of "
    "79.10 GiB of which 4.01 GiB is free.\n"
)


def facts(text, tmp_path, name="config.yaml"):
    path = tmp_path / name
    path.write_text(text)
    (found,) = walk(sources.read(str(path)), ToldFacts())
    assert found.system == "areal"
    return found


def values(found, *names):
    return {name: found.value(name) for name in names}


@pytest.mark.parametrize(
    ("text", "engine", "trainer", "gpus"),
    [
        ("sglang:d4t2+fsdp:d8", ("sglang", 8), ("fsdp", 8), 16),
        ("sglang.d4t1+d4", ("sglang", 4), ("fsdp", 4), 8),
        ("sglang:d4p1t1+d2p2t1", ("sglang", 4), ("megatron", 4), 8),
        ("vllm:d2t4|megatron:d2t4", ("vllm", 8), ("megatron", 8), 8),
        ("sglang[r]:d2 + fsdp[actor]:d4 | fsdp[critic]:d4", ("sglang", 2), ("fsdp", 4), 6),
        ("sglang:d4t4+megatron:(attn:d1p4t2c2|ffn:d1p4t1e4)", ("sglang", 16), ("megatron", 16), 32),
        ("sglang:d4+eval", ("sglang", 4), None, 4),
        ("archon:d8", None, ("archon", 8), 8),
        ("d4t2", None, ("fsdp", 8), 8),
    ],
)
def test_allocation_strings_of_every_release(text, engine, trainer, gpus):
    components = allocation.parse(text)
    engines = [(part.engine, part.world) for part in components if part.engine]
    trainers = [(part.trainer, part.world) for part in components if part.trainer]
    assert (engines or [None])[0] == engine
    assert (trainers or [None])[0] == trainer
    assert allocation.gpus(components) == gpus


@pytest.mark.parametrize(
    "text", ["", "sglang", "sglang:", "fsdp:d0", "sglang:d4&fsdp:d4", "x:d4", "+".join(["d1"] * 400)]
)
def test_a_text_that_is_no_allocation_is_unknown(text):
    assert allocation.parse(text) is None
    assert parts.read("tp", text) is UNKNOWN


def test_experts_of_a_hybrid_have_sizes_of_their_own():
    text = "megatron:(attn:d1p4t2c2|ffn:d2p4t1e2)"
    assert [parts.read(name, text) for name in ("tp", "pp", "cp", "ep", "etp", "world")] == [
        2,
        4,
        2,
        2,
        1,
        16,
    ]
    assert parts.read("gen.tp", text) is None


@pytest.mark.parametrize(
    ("part", "text", "size", "becomes"),
    [
        ("tp", "sglang:d4p1t1", 2, "sglang:d2p1t2"),
        ("tp", "sglang:d4", 4, "sglang:d1t4"),
        ("gen.tp", "sglang.d4t1+d4", 2, "sglang.d2t2+d4"),
        ("train.cp", "sglang:d4+fsdp:d4", 2, "sglang:d4+fsdp:d2c2"),
        ("cp", "fsdp:d2c2", 4, "fsdp:d1c4"),
        ("ep", "megatron:d8", 4, "megatron:d8e4"),
        ("ep", "megatron:(attn:d4t2|ffn:d8t1)", 4, "megatron:(attn:d4t2|ffn:d2t1e4)"),
        ("etp", "megatron:(attn:d4t2|ffn:e4)", 2, "megatron:(attn:d4t2|ffn:e4t2)"),
    ],
)
def test_a_new_size_is_written_inside_and_the_gpus_stay(part, text, size, becomes):
    written = parts.write(part, text, size)
    assert written == becomes
    assert allocation.gpus(allocation.parse(written)) == allocation.gpus(allocation.parse(text))
    assert parts.read(part, written) == size


def test_a_size_that_does_not_divide_the_gpus_is_refused():
    with pytest.raises(RLDoctorError, match="t4"):
        parts.write("tp", "sglang:d3", 4)
    with pytest.raises(RLDoctorError):
        parts.write("gen.tp", "fsdp:d4", 2)


def test_a1_a2_the_facts_of_the_guide(tmp_path):
    found = facts(CONFIG, tmp_path)
    assert values(
        found,
        "rollout.concurrency",
        "rollout.tp",
        "rollout.engines",
        "rollout.gpus",
        "rollout.mem_fraction",
        "batch.max_tokens_per_gpu",
        "batch.min_tokens_per_gpu",
        "train.ulysses_sp",
        "sync.mode",
        "sync.bucket",
    ) == {
        "rollout.concurrency": 64,  # as many as a step consumes
        "rollout.tp": 2,
        "rollout.engines": 4,
        "rollout.gpus": 8,
        "rollout.mem_fraction": 0.8,
        "batch.max_tokens_per_gpu": 16384,
        "batch.min_tokens_per_gpu": 5120,
        "train.ulysses_sp": 1,
        "sync.mode": "nccl",
        "sync.bucket": None,
    }


def test_sizes_batches_and_roles(tmp_path):
    found = facts(CONFIG, tmp_path)
    assert values(found, "train.backend", "train.gpus", "train.dp", "cluster.asked_gpus", "cluster.gpus") == {
        "train.backend": "fsdp",
        "train.gpus": 8,
        "train.dp": 8,
        "cluster.asked_gpus": 16,
        "cluster.gpus": 16,
    }
    assert values(
        found, "batch.samples_per_rollout", "batch.global", "algo.estimator", "model.num_layers"
    ) == {
        "batch.samples_per_rollout": 256,
        "batch.global": 128,
        "algo.estimator": "grpo",
        "model.num_layers": 28,
    }
    assert found.roles == ("policy", "ref", "eval")
    assert found.value("ref.batch.max_tokens_logprob") == 32768
    assert found.value("ref.train.tp") == 1
    assert found.value("version.areal") == "1.0.4"


def test_a3_a_change_keeps_the_gpus(tmp_path):
    changed = facts(CONFIG, tmp_path).changed({"train.ulysses_sp": 4, "rollout.tp": 4})
    assert values(changed, "train.gpus", "train.dp", "rollout.engines", "cluster.asked_gpus") == {
        "train.gpus": 8,
        "train.dp": 2,
        "rollout.engines": 2,
        "cluster.asked_gpus": 16,
    }
    assert changed.value("batch.min_tokens_per_gpu") == 5120  # the budget counts before the split


def test_one_string_for_all_engines_is_of_an_older_release(tmp_path):
    found = facts(OLD, tmp_path)
    assert found.value("version.areal") == "0.4.0"
    assert values(
        found, "train.backend", "train.ulysses_sp", "train.dp", "rollout.tp", "rollout.engines"
    ) == {
        "train.backend": "fsdp",
        "train.ulysses_sp": 2,
        "train.dp": 2,
        "rollout.tp": 1,
        "rollout.engines": 4,
    }
    assert values(found, "cluster.asked_gpus", "sync.mode", "mem.recompute") == {
        "cluster.asked_gpus": 8,
        "sync.mode": "disk",
        "mem.recompute": "none",
    }


def test_training_without_rollout_has_no_answers(tmp_path):
    text = (
        'actor: {backend: "fsdp:d8", path: Qwen/Qwen3-1.7B, mb_spec: {max_tokens_per_mb: 4096}}\n'
        "train_dataset: {batch_size: 128}\n"
    )
    found = facts(text, tmp_path)
    assert values(found, "rollout.engine", "batch.max_response_len", "batch.n_samples", "rollout.gpus") == {
        "rollout.engine": None,
        "batch.max_response_len": None,
        "batch.n_samples": None,
        "rollout.gpus": None,
    }
    assert found.value("batch.min_tokens_per_gpu") is UNKNOWN
    assert found.value("cluster.asked_gpus") == 8


def test_a_critic_makes_gae_and_takes_gpus(tmp_path):
    text = (
        CONFIG + 'critic: {path: "${actor.path}", backend: "fsdp:d8", mb_spec: {max_tokens_per_mb: 8192}}\n'
    )
    found = facts(text, tmp_path)
    assert values(found, "algo.estimator", "critic.batch.max_tokens_per_gpu", "cluster.asked_gpus") == {
        "algo.estimator": "gae",
        "critic.batch.max_tokens_per_gpu": 8192,
        "cluster.asked_gpus": 24,
    }


@pytest.mark.parametrize(
    "command",
    [
        "python3 examples/math/gsm8k_rl.py --config config.yaml",
        "python3 -m areal.infra.launcher.ray my_training.py --config config.yaml",
        "python3 -m areal.launcher.local my_training.py --config config.yaml",
        "python3 my_training.py --config config.yaml",
    ],
)
def test_the_config_below_a_command_tells_whose_it_is(tmp_path, command):
    (tmp_path / "config.yaml").write_text(CONFIG)
    found = facts(f"{command} actor.backend=fsdp:d4c2 gconfig.n_samples=8\n", tmp_path, "launch.sh")
    assert values(found, "train.ulysses_sp", "batch.n_samples", "rollout.tp", "batch.max_tokens_per_gpu") == {
        "train.ulysses_sp": 2,
        "batch.n_samples": 8,
        "rollout.tp": 2,
        "batch.max_tokens_per_gpu": 16384,
    }
    assert (
        found.value("ref.train.ulysses_sp") == 2
    )  # what follows actor.backend in the file follows the command


def ladder(tmp_path, frames, config=CONFIG):
    log, path = tmp_path / "run.log", tmp_path / "config.yaml"
    log.write_text("Traceback (most recent call last):\n" + frames + MEMORY)
    path.write_text(config)
    report = diagnose.diagnose([str(log)], str(path), ToldFacts())
    return [(finding.rule, remedy) for finding in report.findings for remedy in finding.remedies]


ENGINE = '  File "/opt/sglang/srt/managers/scheduler.py", line 1020, in run_batch\n    x\n'
TRAINER = '  File "/app/areal/engine/fsdp_engine.py", line 795, in train_batch\n    x\n'
UPDATE = '  File "/app/areal/engine/fsdp_engine.py", line 1561, in _update_weights_from_distributed\n    x\n'


@pytest.mark.parametrize(
    ("frames", "rule"),
    [
        (ENGINE, "out-of-memory-in-generation"),
        (TRAINER, "out-of-memory-in-training"),
        (UPDATE, "out-of-memory-in-weight-update"),
    ],
)
def test_a6_diagnose_tells_the_stages_apart_and_a4_diagnose_never_proposes_the_batch_size(
    tmp_path, frames, rule
):
    offered = ladder(tmp_path, frames)
    assert {name for name, _ in offered} == {rule}
    assert not any("batch.prompts_per_step" in remedy.set for _, remedy in offered)
    assert not any("batch_size" in edit.new for _, remedy in offered for edit in remedy.edits)


def test_a1_diagnose_an_edit_changes_the_string_inside(tmp_path):
    offered = [remedy for _, remedy in ladder(tmp_path, ENGINE) if "rollout.tp" in remedy.set]
    (edit,) = offered[0].edits
    assert (edit.old, edit.new) == ('backend: "sglang:d4p1t2"', 'backend: "sglang:d2p1t4"')


def test_a1_diagnose_an_override_above_the_config_carries_the_whole_string(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    script, log = tmp_path / "launch.sh", tmp_path / "run.log"
    script.write_text("python3 my_training.py --config config.yaml \\\n    seed=3\n")
    log.write_text("Traceback (most recent call last):\n" + ENGINE + MEMORY)
    report = diagnose.diagnose([str(log)], str(script), ToldFacts())
    texts = [edit.new for finding in report.findings for remedy in finding.remedies for edit in remedy.edits]
    assert any("rollout.backend=sglang:d2p1t4" in text for text in texts)
    assert any("+actor.weight_update_mode" not in text for text in texts)


def test_a4_check_says_nothing_of_the_batch_size(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("batch_size: 64", "batch_size: 4096"))
    findings = check.check([str(path)], ToldFacts()).report.findings
    assert not any(finding.family == "oom" for finding in findings)


def test_a_key_that_the_config_lacks_is_appended(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    script, log = tmp_path / "launch.sh", tmp_path / "run.log"
    script.write_text("python3 my_training.py --config config.yaml seed=3\n")
    log.write_text("Traceback (most recent call last):\n" + UPDATE + MEMORY)
    report = diagnose.diagnose([str(log)], str(script), ToldFacts())
    texts = [edit.new for finding in report.findings for remedy in finding.remedies for edit in remedy.edits]
    assert any("+actor.weight_update_mode=disk" in text for text in texts)


def test_step_tables_are_read(tmp_path):
    log = tmp_path / "run.log"
    log.write_text(
        "(AReaL) 20260301-10:00:00.123 StatsLogger INFO: Epoch 1/10 Step 1/29 Train step 7/290 done.\n"
        "(AReaL) 20260301-10:00:00.125 StatsLogger INFO: \n"
        "╒════════════════════════════╤════════════╤═════════════════════════╤════════════╕\n"
        "│ ppo_actor/update/grad_norm │ 1.2000e+00 │ timeperf/update_weights │ 2.5000e+00 │\n"
        "├────────────────────────────┼────────────┼─────────────────────────┼────────────┤\n"
        "│ ppo_actor/task_reward/avg  │ nan        │                         │            │\n"
        "╘════════════════════════════╧════════════╧═════════════════════════╧════════════╛\n"
    )
    reading = logs.read([str(log)], [])
    read = {sample.metric: (sample.step, sample.value) for sample in reading.samples}
    assert read["grad_norm"] == (7, 1.2)
    assert read["sync_time"] == (7, 2.5)
    assert read["reward_mean"][0] == 7
    assert read["reward_mean"][1] != read["reward_mean"][1]
    assert reading.systems == ("areal",)
    assert [line.text.split()[-1] for line in reading.progress] == ["done."]


def test_every_row_with_a_part_is_read_and_written():
    rows = [row for row in dialects.load("areal").rows if row.part is not None]
    assert len(rows) > 30
    for row in rows:
        module, _, name = row.part.partition(":")
        assert Path(module.replace(".", "/")).name == "parts"
        text = (
            "sglang:d4t1+fsdp:d4"
            if "." in name
            else "megatron:d4"
            if row.key != "rollout.backend"
            else "sglang:d4"
        )
        assert dialects.decode(row, text) is not UNKNOWN
