"""A script over a template: AReaL's and ChatLearn's files with references, below what the command says."""

from pathlib import Path

from rldoctor import sources
from rldoctor.facts import Facts, ToldFacts, walk_known

AREAL = """\
experiment_name: gsm8k
cluster: {n_nodes: 1, n_gpus_per_node: 8, fileroot: /tmp/areal}
allocation_mode: sglang:d4p1t1+fsdp:d4p1t1
actor:
  path: Qwen/Qwen3-4B
  dtype: bfloat16
  optimizer: {lr: 1.0e-5}
  kl_ctl: 0.1
ref: {path: "${actor.path}", dtype: "${actor.dtype}"}
train_dataset: {batch_size: 256}
gconfig: {n_samples: 4, max_new_tokens: 1024}
sglang: {model_path: "${actor.path}", mem_fraction_static: 0.8}
"""
AREAL_RUN = """\
python3 -m areal.launcher.local examples/gsm8k_grpo.py --config grpo.yaml \\
  actor.path=Qwen/Qwen3-8B cluster.n_nodes=2 gconfig.n_samples=8
"""
CHATLEARN = """\
runtime_args:
  train_backend: megatron
  rollout_backend: vllm
  sample_per_episode: 512
  train_global_batch_size: ${runtime_args.sample_per_episode}
models:
  policy_trainer:
    num_gpu: 8
    tensor_model_parallel_size: 2
    optimizer: {lr: 2e-6}
    load: ${models.policy.load}
  policy:
    load: Qwen/Qwen3-8B
    num_gpu: ${models.policy_trainer.num_gpu}
    num_inference_per_prompt: 32
"""
CHATLEARN_RUN = """\
num_device=$(python -c "import torch; print(torch.cuda.device_count())")
python chatlearn/entrypoint.py grpo --config-file template/grpo_megatron.yaml \\
    runtime_args.sample_per_episode=1024 models.policy_trainer.num_gpu=${num_device} \\
    models.policy.load=/models/Qwen3-30B-A3B models.policy.num_inference_per_prompt=16
"""


def walked(folder: Path, script: str, name: str, text: str, gpus: int | None = None) -> Facts:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    (folder / "run.sh").write_text(script)
    document = sources.read(str(folder / "run.sh"), sources.Told(gpus=gpus))
    (found,) = walk_known(document, ToldFacts())
    return found


def test_areals_references_follow_the_command(tmp_path: Path) -> None:
    found = walked(tmp_path, AREAL_RUN, "grpo.yaml", AREAL)
    assert (found.fact("model.path").value, found.fact("model.path", "ref").value) == ("Qwen/Qwen3-8B",) * 2
    assert (found.fact("batch.n_samples").value, found.fact("cluster.nodes").value) == (8, 2)
    assert (found.fact("train.dp").value, found.fact("rollout.mem_fraction").value) == (4, 0.8)


def test_a_key_of_the_file_below_tells_the_release(tmp_path: Path) -> None:
    release = walked(tmp_path, AREAL_RUN, "grpo.yaml", AREAL).start.release
    assert release is not None and release.version == "1.0.2"  # the last that has one string for all
    newer = AREAL.replace("allocation_mode: sglang:d4p1t1+fsdp:d4p1t1", "rollout: {backend: 'sglang:d4p1t1'}")
    release = walked(tmp_path, AREAL_RUN, "grpo.yaml", newer).start.release
    assert release is not None and release.version == "1.0.4"


def test_chatlearns_template_below_its_dotlist(tmp_path: Path) -> None:
    found = walked(tmp_path, CHATLEARN_RUN, "template/grpo_megatron.yaml", CHATLEARN, gpus=8)
    assert found.fact("model.path").value == "/models/Qwen3-30B-A3B"
    assert (found.fact("batch.global").value, found.fact("batch.n_samples").value) == (1024, 16)
    assert (found.fact("train.gpus").value, found.fact("rollout.gpus").value) == (8, 8)
    assert (found.fact("train.tp").value, found.fact("optim.lr").value) == (2, 2e-6)
    unknown = walked(tmp_path, CHATLEARN_RUN, "template/grpo_megatron.yaml", CHATLEARN)
    assert unknown.fact("train.gpus").state == "unknown"
