"""How long `rldoctor check FILE` takes, whole process, in units of a bare `python -c pass` (budget: 12).

python benchmarks/startup.py [FILE] [RUNS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

SCRIPT = """\
set -ex
export CUDA_DEVICE_MAX_CONNECTIONS=1
NODES=${NNODES:-4}
EP=${EP:-2}
python3 -m verl.trainer.main_ppo --config-path=config --config-name='ppo_megatron_trainer.yaml' \\
    algorithm.adv_estimator=grpo \\
    data.train_batch_size=512 \\
    data.max_prompt_length=2048 \\
    data.max_response_length=8192 \\
    actor_rollout_ref.model.path=Qwen/Qwen3-30B-A3B \\
    actor_rollout_ref.actor.strategy=megatron \\
    actor_rollout_ref.actor.ppo_mini_batch_size=128 \\
    actor_rollout_ref.actor.use_dynamic_bsz=True \\
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu=10240 \\
    actor_rollout_ref.actor.megatron.tensor_model_parallel_size=4 \\
    actor_rollout_ref.actor.megatron.expert_model_parallel_size=$EP \\
    actor_rollout_ref.actor.megatron.use_dist_checkpointing=True \\
    actor_rollout_ref.rollout.name=vllm \\
    actor_rollout_ref.rollout.tensor_model_parallel_size=4 \\
    actor_rollout_ref.rollout.gpu_memory_utilization=0.7 \\
    trainer.n_gpus_per_node=8 \\
    trainer.nnodes=$NODES \\
    trainer.save_freq=20
"""


ENVIRONMENT = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Cost(NamedTuple):
    """What one process took, in seconds; on a busy machine the processor's time tells more."""

    wall: float
    cpu: float


def cost(command: list[str], environment: dict[str, str] = ENVIRONMENT) -> Cost:
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            said.seek(0)
            raise SystemExit(said.read().decode() or f"{command} ended with {process.returncode}")
    return Cost(wall, used.ru_utime + used.ru_stime)


def main() -> None:
    """Print the medians of interleaved runs and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "launch.sh")
        script.write_text(SCRIPT)
        file = sys.argv[1] if len(sys.argv) > 1 else str(script)
        runs = int(sys.argv[2]) if len(sys.argv) > 2 else 15
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "rldoctor check": [sys.executable, "-m", "rldoctor", "check", file],
        }
        for command in commands.values():
            cost(command)
        measured = [{name: cost(command) for name, command in commands.items()} for _ in range(runs)]
    for clock in Cost._fields:
        medians = [statistics.median(getattr(run[name], clock) for run in measured) for name in commands]
        told = ", ".join(
            f"{name} {median * 1000:.1f} ms" for name, median in zip(commands, medians, strict=True)
        )
        print(f"{clock}: {told}; ratio {medians[1] / medians[0]:.2f} (medians of {runs}; budget: 12)")


if __name__ == "__main__":
    main()
