"""Time of one estimate and of one --solve, without torch (budgets: 20 ms and 100 ms).

    python benchmarks/estimate.py [FILE] [RUNS]

Both start from facts that are walked: reading a script and starting Python are `rldoctor check`'s
(startup.py). The whole command is shown as well.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rldoctor import facts, sources
from rldoctor.estimate import described
from rldoctor.facts import ToldFacts
from rldoctor.facts.memory_fit import acting, largest_that_fits
from rldoctor.facts.memory_setup import sized
from rldoctor.memory.phases import fullest, phases

SCRIPT = """\
python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo \\
    data.train_batch_size=512 data.max_prompt_length=2048 data.max_response_length=8192 \\
    actor_rollout_ref.model.path=deepseek-ai/DeepSeek-V3 actor_rollout_ref.actor.strategy=megatron \\
    actor_rollout_ref.actor.ppo_mini_batch_size=256 actor_rollout_ref.actor.use_dynamic_bsz=True \\
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu=10240 actor_rollout_ref.rollout.n=8 \\
    actor_rollout_ref.actor.megatron.tensor_model_parallel_size=8 \\
    actor_rollout_ref.actor.megatron.pipeline_model_parallel_size=16 \\
    actor_rollout_ref.actor.megatron.expert_model_parallel_size=16 \\
    actor_rollout_ref.actor.megatron.expert_tensor_parallel_size=1 \\
    actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.tensor_model_parallel_size=16 \\
    trainer.n_gpus_per_node=8 trainer.nnodes=32
"""
CONCEPT = "batch.max_tokens_per_gpu"


def main() -> None:
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "run.sh"
        if not path.exists():
            path.write_text(SCRIPT)
        measure(path, runs)


def measure(path: Path, runs: int) -> None:
    told = ToldFacts(set={"cluster.gpu_memory_gib": "139.8"})
    (world, *_) = facts.walk_known(sources.read(str(path), sources.Told({}, ())), told)
    setup = sized(world).setup
    if setup is None:
        sys.exit(f"{path}: memory cannot be estimated")

    def estimate() -> None:
        found = sized(world).setup
        if found is not None:
            [described.phase(found, row) for row in phases(found, fullest(found))]

    def solve() -> None:
        largest_that_fits(setup, acting(world, CONCEPT, setup))

    for name, call in (("one estimate", estimate), (f"--solve {CONCEPT}", solve)):
        print(f"{name:40s} median {1e3 * _median(call, runs):6.1f} ms")
    command = [sys.executable, "-m", "rldoctor", "estimate", str(path), "--solve", CONCEPT]
    command += ["--set", "cluster.gpu_memory_gib=139.8"]
    whole = _median(lambda: subprocess.run(command, check=False, capture_output=True), max(3, runs // 4))
    print(f"{'rldoctor estimate FILE --solve, process':40s} median {1e3 * whole:6.1f} ms")
    heavy = [name for name in ("torch", "numpy", "transformers") if name in sys.modules]
    print(f"heavy modules loaded: {', '.join(heavy) or 'none'}")


def _median(call: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
