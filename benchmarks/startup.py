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


def seconds(command: list[str], environment: dict[str, str] = ENVIRONMENT) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr or f"{command} ended with {done.returncode}")
    return time.perf_counter() - began


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
            seconds(command)
        measured = [{name: seconds(command) for name, command in commands.items()} for _ in range(runs)]
    medians = {name: statistics.median(run[name] for run in measured) for name in commands}
    for name, median in medians.items():
        print(f"{name}: {median * 1000:.1f} ms (median of {runs})")
    print(f"ratio: {medians['rldoctor check'] / medians['python -c pass']:.2f} (budget: 12)")


if __name__ == "__main__":
    main()
