"""Words that bash or Hydra take for something else than they are meant for."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.check import check
from rldoctor.facts import ToldFacts

HEAD = """max_prompt_length=1024
max_response_length=2048
python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo \\
    actor_rollout_ref.actor.use_dynamic_bsz=True \\
    {words} \\
    trainer.nnodes=2
"""


def titles(tmp_path: Path, words: str, *rules: str) -> list[str]:
    script = tmp_path / "run.sh"
    script.write_text(HEAD.format(words=words))
    return [each.title for each in check([str(script)], ToldFacts()).report.findings if each.rule in rules]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("data.train_files=/d/{a,b}.parquet", "bash makes a word of each item"),
        ("data.train_files='[/d/a.parquet,/d/b.parquet]'", None),
        ("trainer.experiment_name=run-${USER}-{NAME}", None),
        ("data.max_prompt_length=$((max_response_length * 0.5))", "refuses a fraction"),
        ("data.max_prompt_length=$((max_prompt_len + 8))", "max_prompt_length is set"),
        ("data.max_prompt_length=$((max_prompt_length * 2))", None),
        ("data.max_prompt_length=$((GIVEN_OUTSIDE * 2))", None),
        ("""data.train_files="['/d/a.parquet' '/d/b.parquet']\"""", "no comma between them"),
        ("""data.train_files="['/d/a.parquet', '/d/b.parquet']\"""", None),
        ('actor_rollout_ref.model.path="Qwen/Qwen3-8B "', "a blank at an end"),
        ('trainer.experiment_name="two words"', None),
        ("--max-steps 100", "no such option"),
        ("--config-name ppo_trainer", None),
        (
            "data.truncation='error \\\n    data.val_batch_size=8 trainer.project_name='p",
            "not closed on its line",
        ),
    ],
)
def test_a_word_and_what_becomes_of_it(words: str, said: str | None, tmp_path: Path) -> None:
    found = titles(tmp_path, words, "override-torn-by-a-space")
    assert (len(found) == 1 and said in found[0]) if said is not None else not found


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("actor_rollout_ref.rollout.multi_turn=True", "multi_turn.enable"),
        ("actor_rollout_ref.actor.policy_loss=gspo", "policy_loss.loss_mode"),
        ("critic.optim=1e-5", "critic.optim.lr"),
        ("actor_rollout_ref.rollout.multi_turn.enable=True", None),
    ],
)
def test_a_word_for_a_whole_section(words: str, meant: str | None, tmp_path: Path) -> None:
    found = titles(tmp_path, words, "unknown-key")
    assert (len(found) == 1 and found[0].endswith(f"{meant}?")) if meant is not None else not found


def test_a_pipe_on_a_line_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(HEAD.format(words="trainer.test_freq=5") + "2>&1 | tee train.log\n")
    found = [each.title for each in check([str(script)], ToldFacts()).report.findings]
    assert any("stands alone in line 7" in title for title in found)
    script.write_text(
        HEAD.format(words="trainer.test_freq=5").rstrip("\n") + " \\\n    2>&1 | tee train.log\n"
    )
    found = [each.title for each in check([str(script)], ToldFacts()).report.findings]
    assert not any("stands alone" in title for title in found)


def test_a_list_that_a_variable_loses_at_its_blank(tmp_path: Path) -> None:
    words = "data.train_files=['$HOME/a.parquet', '$HOME/b.parquet']"
    assert "a space ends it" in titles(tmp_path, words, "override-torn-by-a-space")[0]
