"""The machine that a script tells in a comment or to Slurm, where its variables do not."""

from pathlib import Path

import pytest

from rldoctor.estimate import estimate
from rldoctor.estimate.machine import told_in
from rldoctor.facts import ToldFacts
from rldoctor.types import RLDoctorError


@pytest.mark.parametrize(
    ("text", "gpus", "nodes"),
    [
        ("#!/bin/bash\n\n# Tested on 8xH20-3e with 140G VRAM\n", 8, 1),
        ("# Tested on 8x8xH20-3e with 140G VRAM\n", 8, 8),
        ("# test env: 4 * A100\n", 4, 1),
        ("# 2 nodes x 8 GPUs\n", 8, 2),
        ("# needs 32xH100\n", 8, 4),
        ("#SBATCH --nodes=4\n#SBATCH --gres=gpu:h100:8\n# 2 * H20\n", 8, 4),
        ("#SBATCH -N 2\n#SBATCH --gpus-per-node=4\n", 4, 2),
    ],
)
def test_what_tells_a_machine(text: str, gpus: int, nodes: int) -> None:
    found = told_in(text.encode())
    assert found is not None
    assert (found.gpus, found.nodes) == (gpus, nodes)


@pytest.mark.parametrize(
    "text",
    [
        "# 64 × 80 GiB of GPU memory\n",
        "echo 8xH20\n",
        "# 8xH20\n# or 4xA100\n",
        "# 12xH100\n",
        "# 0xH100\n",
        "# GPU vllm==0.18.0\n",
    ],
)
def test_what_tells_none(text: str) -> None:
    assert told_in(text.encode()) is None


SCRIPT = """\
#!/bin/bash
{comment}
export num_device=$(($WORLD_SIZE * $GPUS_PER_NODE))
python chatlearn/entrypoint.py grpo --config-file grpo.yaml \\
    models.policy_trainer.num_gpu=$num_device models.policy_trainer.load=/m/Qwen3-8B {words}
"""
CONFIG = """\
runtime_args: {train_backend: fsdp, sample_per_episode: 512, train_global_batch_size: 512}
models:
  policy_trainer: {num_gpu: 8, load: Qwen3-8B, packing: true, max_token_in_packing: 8192}
  policy: {prompt_max_tokens_length: 1024, max_response_tokens_length: 2048, num_inference_per_prompt: 8}
"""


def estimated(folder: Path, comment: str, words: str = "") -> dict[str, object]:
    (folder / "grpo.yaml").write_text(CONFIG)
    (folder / "run.sh").write_text(SCRIPT.format(comment=comment, words=words))
    memory = estimate([str(folder / "run.sh")], ToldFacts(env={"GPUS_PER_NODE": "8"})).memory
    assert memory is not None
    return memory["estimates"][0]


def test_an_estimate_takes_the_nodes_of_a_comment_and_says_so(tmp_path: Path) -> None:
    found = estimated(tmp_path, "# Tested on 2x8xH20")
    assert found["ranks"] == 16
    assert "2 × 8 GPUs, as line 2 says: # Tested on 2x8xH20" in found["assumes"]


def test_without_it_the_ranks_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(RLDoctorError, match="world_size is not known"):
        estimated(tmp_path, "# Tested well")


def test_a_machine_that_the_layout_contradicts_is_not_taken(tmp_path: Path) -> None:
    wide = "models.policy_trainer.ulysses_sequence_parallel_size=16"
    with pytest.raises(RLDoctorError, match="world_size is not known"):
        estimated(tmp_path, "# Tested on 8xH20", wide)
