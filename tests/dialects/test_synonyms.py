"""Names that other systems have for a setting, and what a system calls it."""

from __future__ import annotations

import pytest

from rldoctor.dialects import catalogue, synonyms

VERL = "verl/trainer/config/ppo_trainer"


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("trainer.save_total_limit", "trainer.max_actor_ckpt_to_keep"),
        ("data.max_new_tokens", "data.max_response_length"),
        ("actor_rollout_ref.actor.eps_clip", "actor_rollout_ref.actor.clip_ratio_low"),
        ("actor_rollout_ref.actor.epochs", "actor_rollout_ref.actor.ppo_epochs"),
        ("trainer.num_epochs", "trainer.total_epochs"),
        ("actor_rollout_ref.rollout.tp_size", "actor_rollout_ref.rollout.tensor_model_parallel_size"),
        ("actor_rollout_ref.rollout.group_size", "actor_rollout_ref.rollout.n"),
        ("critic.learning_rate", "critic.optim.lr"),
        ("reward_fn.path", "reward.custom_reward_function.path"),
        ("data.num_workers", "data.dataloader_num_workers"),
        ("algorithm.use_kl_loss", "actor_rollout_ref.actor.use_kl_loss"),
    ],
)
def test_what_verl_calls_it(key: str, meant: str) -> None:
    known = list(catalogue.load("verl").keys("0.9", (VERL,)))
    found = synonyms.nearest("verl", key, known, ())
    assert found is not None
    assert found.key == meant


def test_a_slip_stays_a_slip() -> None:
    known = list(catalogue.load("verl").keys("0.9", (VERL,)))
    found = synonyms.nearest("verl", "trainer.total_epoch", known, ())
    assert found == synonyms.Suggestion("trainer.total_epochs", typo=True)


def test_a_word_that_nobody_uses() -> None:
    known = list(catalogue.load("verl").keys("0.9", (VERL,)))
    assert synonyms.nearest("verl", "trainer.quux_blorb", known, ()) is None
