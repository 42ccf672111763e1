"""Variables and arrays that expand to something else than is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.check import check
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

RUN = "torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 24"


def found(text: str, folder: Path, rule: str = "script-does-something-else") -> list[Finding]:
    path = folder / "run.sh"
    path.write_text(text)
    return [each for each in check([str(path)], ToldFacts()).report.findings if each.rule == rule]


@pytest.mark.parametrize(
    ("text", "severity", "cure"),
    [
        (
            f"A=(--bf16\n--lr 1e-4\n\nB=(--seed 1)\n{RUN} ${{A[@]}} ${{B[@]}}\n",
            "error",
            "A line with ) before line 4",
        ),
        (f'A=(--bf16 --lr 1e-4)\n{RUN} "${{A[*]}}"\n', "error", "${A[@]}"),
        (f"A=(--bf16 --lr 1e-4)\n{RUN} $A --seed 1\n", "error", "${A[@]}"),
        (f"$CKPT=/c\n{RUN} --save $CKPT\n", "error", "CKPT=…"),
        (f"LR=1e-4\n{RUN} --lr $(LR)\n", "error", "${LR}"),
        (f"LR=1e-4 {RUN} --lr $LR\n", "warning", "LR=… in a line of its own, above"),
        (f"BASE=/root\n{RUN} --save '${{BASE}}/c'\n", "warning", "Write double quotes"),
        (f"{RUN} --lr 1e-4--train-iters 5\n", "error", "--lr 1e-4 --train-iters"),
    ],
)
def test_what_expands_to_something_else(text: str, severity: str, cure: str, tmp_path: Path) -> None:
    (finding,) = found(text, tmp_path)
    assert finding.remedies[0].title == cure
    assert finding.severity in (severity, "error")


@pytest.mark.parametrize(
    "text",
    [
        f"A=()\nB=(--seed 1 --bf16)\n{RUN} ${{A[@]}} ${{B[@]}}\n",
        f'A=(1 2)\nB="$(IFS=,; echo "${{A[*]}}")"\n{RUN} --save "$B"\n',
        f"A=(--bf16 --lr 1e-4)\n{RUN} ${{A[@]}}\n",
        f"A=(/ckpt)\n{RUN} --save $A\n",
        f"LR() {{ echo 1e-4; }}\n{RUN} --lr $(LR)\n",
        f"LR=1e-4\nLR=2e-4 {RUN} --lr $LR\n",
        f"NCCL_DEBUG=INFO {RUN} --lr 1e-4\n",
        f"{RUN} --save '/c/${{NOBODY}}'\n",
        f"{RUN} --save /c--d\n",
    ],
)
def test_what_expands_as_it_is_meant(text: str, tmp_path: Path) -> None:
    assert found(text, tmp_path) == []


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        (
            "torchrun --nproc_per_nodes 8 pretrain_gpt.py --num-layers 24\n",
            "--nproc_per_node in place of --nproc_per_nodes",
        ),
        (f"ray start --head --num-gpu-cards 8\n{RUN}\n", None),
        (f"export NCCL_IB_DISABLE=true\n{RUN}\n", "NCCL_IB_DISABLE=1"),
    ],
)
def test_a_starter_is_told_what_it_does_not_know(text: str, cure: str | None, tmp_path: Path) -> None:
    (finding,) = found(text, tmp_path, "refused-setting")
    assert cure is None or finding.remedies[-1].title == cure


def test_a_starter_knows_its_options(tmp_path: Path) -> None:
    text = "torchrun --nproc-per-node 8 --standalone pretrain_gpt.py --num-layers 24\n"
    assert found(text, tmp_path, "refused-setting") == []
    assert found(f"export NCCL_IB_DISABLE=1\n{RUN}\n", tmp_path, "refused-setting") == []
