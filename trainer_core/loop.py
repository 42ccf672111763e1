"""The training loop. It reads in the order the data flows."""

from __future__ import annotations

from trainer_core import advantage, reward, rollout, sync, train
from trainer_core.run import Run


def learn(run: Run) -> None:
    """Sample, score, credit, update, and sample from what was learned: group-relative policy optimization."""
    for step in run.steps():
        config = run.config
        with run.phase("data"):
            prompts = run.prompts.take(config.rollout.prompts_per_step)
        with run.phase("rollout"):
            rollouts = rollout.collect(run.workers, prompts, config, step)
            rollouts = rollout.read(rollouts, run.decode)
        with run.phase("reward"):
            rollouts, lost = reward.score(run.scorer, rollouts, config.reward.seconds)
            run.note_lost(rollouts, lost)
        with run.phase("advantage"):
            rollouts = advantage.credit(rollouts, config.algorithm.advantage)
        with run.phase("train"):
            update = train.update(run.workers, rollouts, config, step)
            run.note_update(update)
        with run.phase("sync"):
            sync.push(run.workers, version=step)
        run.finish_step(rollouts, update)
        if run.checkpoint_is_due():
            with run.phase("checkpoint"):
                run.save()
