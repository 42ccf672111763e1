"""How the processes of a launch are to meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.check import check
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

RUN = "pretrain_gpt.py --num-layers 24"
JOB = "python3 train.py --hf-checkpoint /models/Qwen3-4B --lr 1e-6"
SUBMIT = 'ray job submit --address="http://127.0.0.1:8265"'


def found(text: str, folder: Path) -> list[Finding]:
    path = folder / "run.sh"
    path.write_text(text)
    findings = check([str(path)], ToldFacts()).report.findings
    return [each for each in findings if each.rule == "script-does-something-else"]


@pytest.mark.parametrize(
    ("text", "severity", "cure"),
    [
        (
            f"torchrun --nproc_per_node 8 --master_addr http://10.0.0.1:6000 {RUN}\n",
            "error",
            "--master_addr 10.0.0.1",
        ),
        (f"torchrun --nproc_per_node 8 --master_port 295000 {RUN}\n", "error", "--master_port 29500"),
        (
            f"torchrun --nnodes 2 --nproc_per_node 8 --rdzv_endpoint localhost:29500 {RUN}\n",
            "warning",
            "--rdzv_endpoint HOST:PORT with the address of the first node",
        ),
        (
            f"torchrun --standalone --nnodes=2 --nproc_per_node 8 {RUN}\n",
            "warning",
            "--standalone out, --rdzv-backend c10d --rdzv-endpoint HOST:PORT in its place",
        ),
        (
            f"torchrun --nnodes 2 --nproc_per_node 8 --master_addr 10.0.0.1 {RUN}\n",
            "warning",
            "--node_rank $NODE_RANK, another on each node (with Slurm $SLURM_NODEID inside of srun)",
        ),
        (
            f"#SBATCH --ntasks-per-node=8\nsrun torchrun --nproc_per_node 8 {RUN}\n",
            "error",
            "--ntasks-per-node=1",
        ),
        (
            f'srun bash -c "torchrun --nnodes 2 --node_rank $SLURM_NODEID --nproc_per_node 8 {RUN}"\n',
            "warning",
            "Write \\$SLURM_NODEID, or the text of bash -c in single quotes",
        ),
        (f"{SUBMIT} {JOB}\n", "error", "-- python3 …"),
        (f"ray start --head --block\n{SUBMIT} -- {JOB}\n", "error", "--block out, or & behind it"),
        (
            "MINE=1\nray start --head\n"
            f'{SUBMIT} --runtime-env-json=\'{{"env_vars": {{"A": "${{MINE}}"}}}}\' -- {JOB}\n',
            "warning",
            'export MINE above ray start, or the JSON in double quotes with \\" inside',
        ),
    ],
)
def test_processes_do_not_meet(text: str, severity: str, cure: str, tmp_path: Path) -> None:
    (finding,) = found(text, tmp_path)
    assert finding.severity == severity
    assert [each.title for each in finding.remedies] == [cure]


@pytest.mark.parametrize(
    "text",
    [
        f"torchrun --nproc_per_node 8 --master_addr 10.0.0.1 --master_port 29500 {RUN}\n",
        f"torchrun --nnodes 1 --nproc_per_node 8 {RUN}\n",
        f"torchrun --nnodes $N --nproc_per_node 8 --master_addr $A {RUN}\n",
        f"torchrun --nnodes 2 --nproc_per_node 8 --node_rank $R --master_addr 10.0.0.1 {RUN}\n",
        f"torchrun --nnodes 2 --nproc_per_node 8 --rdzv_backend c10d --rdzv_endpoint $H:29500 {RUN}\n",
        f"#SBATCH --ntasks-per-node=1\nsrun torchrun --nproc_per_node 8 {RUN}\n",
        f"#SBATCH --ntasks-per-node=8\nsrun --ntasks-per-node=1 torchrun --nproc_per_node 8 {RUN}\n",
        f"srun bash -c 'torchrun --nnodes 2 --node_rank $SLURM_NODEID --nproc_per_node 8 {RUN}'\n",
        f'srun bash -c "torchrun --nnodes 2 --node_rank \\$SLURM_NODEID --nproc_per_node 8 {RUN}"\n',
        f"{SUBMIT} -- {JOB}\n",
        f"{SUBMIT} \\\n  -- \\\n  {JOB}\n",
        f"ray start --head --block &\n{SUBMIT} -- {JOB}\n",
        "export MINE=1\nray start --head\n"
        f'{SUBMIT} --runtime-env-json=\'{{"env_vars": {{"A": "${{MINE}}"}}}}\' -- {JOB}\n',
    ],
)
def test_processes_meet(text: str, tmp_path: Path) -> None:
    assert found(text, tmp_path) == []
