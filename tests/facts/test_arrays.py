"""Arrays of arguments that no command gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.check import check
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

SCRIPT = """\
CKPT_ARGS=(
   --hf-checkpoint /models/Qwen3-4B
)
GRPO_ARGS=(
   --advantage-estimator grpo
   --eps-clip 0.2
)
EMPTY_ARGS=(
   # --use-wandb
)
python3 train.py --rm-type math --rollout-batch-size 32 --n-samples-per-prompt 8 \\
   {}
"""


def found(folder: Path, words: str) -> list[Finding]:
    path = folder / "run.sh"
    path.write_text(SCRIPT.format(words))
    findings = check([str(path)], ToldFacts()).report.findings
    return [each for each in findings if "GRPO_ARGS" in each.title or "EMPTY_ARGS" in each.title]


def test_arguments_that_no_command_gets_are_told(tmp_path: Path) -> None:
    (lost,) = found(tmp_path, "${CKPT_ARGS[@]}")
    assert (lost.severity, lost.evidence[0].line) == ("warning", 4)
    assert "--advantage-estimator" in lost.title


def test_arguments_under_a_misspelt_name_are_an_error(tmp_path: Path) -> None:
    (lost,) = found(tmp_path, "${CKPT_ARGS[@]} ${GPRO_ARGS[@]}")
    assert lost.severity == "error"
    assert "${GRPO_ARGS[@]} in place of ${GPRO_ARGS[@]}" in lost.remedies[0].title


@pytest.mark.parametrize("words", ["${GRPO_ARGS[@]}", "${GRPO_ARGS[*]}", "$(printf '%s ' ${GRPO_ARGS[@]:1})"])
def test_arguments_that_are_handed_over_are_not(tmp_path: Path, words: str) -> None:
    assert found(tmp_path, f"${{CKPT_ARGS[@]}} {words}") == []
