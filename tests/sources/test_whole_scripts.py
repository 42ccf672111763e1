# ruff: noqa: E501 - launch scripts have long lines
"""Whole launch scripts as people write them: batch lines, guards, functions, jobs, sourced models, worlds."""

from pathlib import Path
from typing import Any

from rldoctor import sources
from rldoctor.check import check
from rldoctor.facts import ToldFacts, walk_known
from rldoctor.sources import Told
from rldoctor.types import Command, Document

MODEL = """\
MODEL_ARGS=(
   --num-layers 36
   --hidden-size 2560
   --ffn-hidden-size 9728
   --num-attention-heads 32
   --group-query-attention
   --num-query-groups 8
   --vocab-size 151936
   --rotary-base "${MODEL_ARGS_ROTARY_BASE:-1000000}"
)
"""
SLURM = r"""#!/bin/bash
#SBATCH --job-name=grpo
#SBATCH --nodes=4
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=1
set -euo pipefail
usage() { echo "usage: $0 MODEL"; exit 1; }
[[ $# -ge 1 ]] || usage
MODEL=$1; shift
: "${RUN_NAME:=grpo-$(date +%Y%m%d)}"
SCRIPT_DIR="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" &>/dev/null && pwd)"
source "${SCRIPT_DIR}/models/qwen3-4B.sh"
case "$MODEL" in
  *30B-A3B*) TP=4; EP=8;;
  *4B*|*8B*) TP=2; EP=1;;
  *) echo "unknown model" >&2; exit 2;;
esac
declare -A BUDGET=([2]=9216 [4]=16384)
nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
head_node=${nodes[0]}
head_ip=$(srun --nodes=1 --ntasks=1 -w "$head_node" hostname --ip-address)
export MASTER_ADDR=$head_ip NCCL_DEBUG=WARN
srun --nodes=1 --ntasks=1 -w "$head_node" bash -c "ray start --head --node-ip-address=$head_ip --port=6379 --num-gpus ${SLURM_GPUS_PER_NODE} --block" &
for i in $(seq 1 $((SLURM_NNODES - 1))); do
  srun --nodes=1 --ntasks=1 -w "${nodes[$i]}" bash -c "ray start --address=$head_ip:6379 --num-gpus 8 --block" &
  sleep 1
done
PERF=()
for kv in tensor-model-parallel-size:$TP expert-model-parallel-size:$EP context-parallel-size:1; do
  PERF+=("--${kv%%:*}" "${kv##*:}")
done
PERF+=(--use-dynamic-batch-size --max-tokens-per-gpu "${BUDGET[$TP]}")
RUNTIME_ENV_JSON=$(cat <<JSON
{"env_vars": {"PYTHONPATH": "/root/Megatron-LM", "CUDA_DEVICE_MAX_CONNECTIONS": "1", "NCCL_NVLS_ENABLE": "${HAS_NVLINK:-0}"}}
JSON
)
launch() {
  local entry=$1; shift
  ray job submit --address="http://127.0.0.1:8265" \
    --runtime-env-json="$RUNTIME_ENV_JSON" \
    -- python3 "$entry" --actor-num-nodes "$SLURM_NNODES" --actor-num-gpus-per-node 8 --colocate \
    "${MODEL_ARGS[@]}" "${PERF[@]}" "$@"
}
launch train.py --hf-checkpoint "/models/$MODEL" --save "/ckpt/${RUN_NAME}" --rollout-batch-size 32 --n-samples-per-prompt 8 --global-batch-size 256 --num-rollout 3000 "$@"
"""
WORLDS = r"""set -xeuo pipefail
NNODES=${NNODES:-2}
if nvidia-smi --query-gpu=name --format=csv | grep -q H100; then
  STRATEGY=(actor_rollout_ref.actor.strategy=megatron actor_rollout_ref.actor.megatron.tensor_model_parallel_size=4)
  CFG=ppo_megatron_trainer.yaml
else
  STRATEGY=(actor_rollout_ref.actor.strategy=fsdp)
  CFG=ppo_trainer.yaml
fi
uv run --frozen python -m verl.trainer.main_ppo --config-path=config --config-name="$CFG" \
  algorithm.adv_estimator=grpo data.train_batch_size=$((NNODES * 256)) \
  actor_rollout_ref.model.path=Qwen/Qwen3-8B actor_rollout_ref.rollout.name=vllm "${STRATEGY[@]}" \
  trainer.n_gpus_per_node=8 trainer.nnodes=$NNODES $@
"""


def read(folder: Path, text: str, told: Told | None = None) -> Document:
    (folder / "scripts/models").mkdir(parents=True)
    (folder / "scripts/models/qwen3-4B.sh").write_text(MODEL)
    (folder / "scripts/launch.sh").write_text(text)
    return sources.read(str(folder / "scripts/launch.sh"), told)


def one(document: Document, program: str, world: int = 0) -> Command:
    (found,) = [each for each in document.worlds[world] if each.program == program]
    return found


def spoken(command: Command) -> dict[str, Any]:
    return {each.key: each.value for each in command.settings if each.state == "known"}


def test_a_batch_script_with_functions_loops_and_a_job(tmp_path: Path) -> None:
    document = read(tmp_path, SLURM, Told(args=("Qwen3-4B", "--lr", "1e-6")))
    assert document.problems == () and len(document.worlds) == 1
    command = one(document, "train.py")
    told = spoken(command)
    assert command.wrapped_by == ("ray job submit",)
    expected = {
        "--actor-num-nodes": "4", "--num-layers": "36", "--tensor-model-parallel-size": "2",
        "--max-tokens-per-gpu": "9216", "--rotary-base": "1000000", "--hf-checkpoint": "/models/Qwen3-4B",
        "--use-dynamic-batch-size": True, "--colocate": True, "--lr": "1e-6",
    }  # fmt: skip
    assert {key: told[key] for key in expected} == expected
    assert "--save" not in told  # its name has the date in it
    assert {each.key: each.value for each in command.env}["CUDA_DEVICE_MAX_CONNECTIONS"] == "1"
    heads = [each for each in document.worlds[0] if each.program == "ray start"]
    assert spoken(heads[0])["--num-gpus"] == "8" and heads[0].wrapped_by == ("srun",)


def test_a_model_that_no_arm_knows_leaves_its_sizes_unknown(tmp_path: Path) -> None:
    document = read(tmp_path, SLURM, Told(args=("Llama-70B",)))
    assert "--tensor-model-parallel-size" not in spoken(one(document, "train.py"))


def test_what_the_machine_decides_gives_two_worlds_that_say_what_they_assume(tmp_path: Path) -> None:
    document = read(tmp_path, WORLDS, Told(env={"NNODES": "4"}, args=("trainer.save_freq=10",)))
    told = [spoken(one(document, "verl.trainer.main_ppo", world)) for world in (0, 1)]
    assert {each["actor_rollout_ref.actor.strategy"] for each in told} == {"megatron", "fsdp"}
    assert all(each["data.train_batch_size"] == "1024" and each["trainer.save_freq"] == "10" for each in told)
    facts = walk_known(document, ToldFacts())
    assert {each.fact("train.backend").value for each in facts} == {"megatron", "fsdp"}
    report = check([document.path], ToldFacts(env={"NNODES": "4"})).report
    sometimes = [each for each in report.findings if each.confidence == "possible"]
    assert all("the branch of the script in which it holds" in each.assumes for each in sometimes)
