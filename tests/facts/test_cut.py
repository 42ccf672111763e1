"""Arguments that never reach a launch because a line does not go on."""

from __future__ import annotations

from pathlib import Path

from rldoctor.check import check
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

HEAD = "python3 -m verl.trainer.main_ppo actor_rollout_ref.actor.use_dynamic_bsz=True"


def cut(text: str, folder: Path) -> list[Finding]:
    path = folder / "run.sh"
    path.write_text(text)
    found = check([str(path)], ToldFacts()).report.findings
    return [finding for finding in found if finding.rule == "arguments-cut-off"]


def test_a_space_after_the_backslash_is_named_with_its_line(tmp_path: Path) -> None:
    text = f"set -x\n{HEAD} \\ \n    data.train_batch_size=64 \\\n    trainer.nnodes=2\n"
    (finding,) = cut(text, tmp_path)
    assert "line 2" in finding.title
    assert "something after its backslash" in finding.title
    assert "data.train_batch_size, trainer.nnodes" in finding.title
    assert finding.evidence[0].line == 3


def test_an_empty_line_and_a_missing_backslash_are_told_apart(tmp_path: Path) -> None:
    (empty,) = cut(f"{HEAD} \\\n\n    trainer.nnodes=2\n", tmp_path)
    (missing,) = cut(f"{HEAD}\n    trainer.nnodes=2\n", tmp_path)
    assert "an empty line or a comment follows" in empty.title
    assert "no backslash" in missing.title


def test_lost_words_are_no_launch_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(
        f"{HEAD}\n    actor_rollout_ref.rollout.n=8 actor_rollout_ref.rollout.tensor_model_parallel_size=3\n"
    )
    found = check([str(path)], ToldFacts()).report.findings
    assert all("tensor_model_parallel_size=3" not in finding.title for finding in found)


def test_the_next_command_is_one_of_its_own(tmp_path: Path) -> None:
    assert not cut(
        f"{HEAD} \\\n    trainer.nnodes=2\necho done\nTIMEOUT=3 python3 eval.py --lr 3\n", tmp_path
    )
