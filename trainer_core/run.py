"""A run under way: its steps and phases, what it tells, how it ends. The algorithm stands in ``loop``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import isfinite
from statistics import fmean, pstdev
from typing import Any

from trainer_core import checkpoint
from trainer_core.config import Config
from trainer_core.config.revision import LiveConfig
from trainer_core.data import PromptStream
from trainer_core.events import EventLog
from trainer_core.protocols import Scorer, Workers
from trainer_core.types import Failure, Memory, Phase, Rollout, RunFailed, Update, UserError

PRINT_SECONDS = 1.0
GIB = 1 << 30


@dataclass(slots=True)
class Control:
    """What was asked of the run from outside; ``stop`` names the signal."""

    stop: str | None = None


@dataclass(slots=True)
class Run:
    """One run, from its parts to its last step."""

    live: LiveConfig
    events: EventLog
    workers: Workers
    prompts: PromptStream
    scorer: Scorer
    decode: Callable[[Sequence[int]], str]
    control: Control
    step: int = 0
    phase_now: Phase = "start"
    ended: str | None = None
    started: float = field(default_factory=time.monotonic)
    _recent: deque[float] = field(default_factory=deque)
    _step_peak: tuple[int, Memory] = (0, Memory())
    _seconds: dict[str, float] = field(default_factory=dict)
    _step_start: float = 0.0
    _printed: float = 0.0

    @property
    def config(self) -> Config:
        """Return the configuration in force."""
        return self.live.config

    def steps(self) -> Iterator[int]:
        """Yield the number of each step to take; a new revision of the config comes into force before it."""
        self.ended = self._end()
        while self.ended is None:
            self._revise()
            self.step += 1
            self._step_start, self._seconds, self._step_peak = time.perf_counter(), {}, (0, Memory())
            yield self.step

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Record a phase: its beginning, its seconds, its highest peak of memory."""
        self.phase_now = name
        self.events.write("phase_started", phase=name, step=self.step)
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        peak = self.workers.memory()
        if peak[1].peak >= self._step_peak[1].peak:
            self._step_peak = peak
        self.events.write(
            "phase_finished", phase=name, step=self.step, seconds=round(seconds, 6), **_memory(*peak)
        )

    def note_lost(self, rollouts: Sequence[Rollout], lost: Sequence[tuple[Rollout, str]]) -> None:
        """Tell of samples without a score; a step without any score ends the run."""
        for rollout, reason in lost:
            self.events.write(
                "sample_lost",
                phase="reward",
                step=self.step,
                prompt=rollout.prompt.text,
                reason=reason,
                count=1,
            )
        if lost and len(lost) == len(rollouts):
            message = f"no reward for any of {len(lost)} samples: {lost[0][1]}"
            raise RunFailed(Failure("exception", message, {"type": "RewardsLost", "message": message}))

    def note_update(self, update: Update) -> None:
        """Tell of an update whose gradients are no numbers; the run ends unless it is to skip them."""
        if update.skipped:
            what = "loss" if not isfinite(update.loss) else "grad_norm"
            message = f"{what} is not a number at step {self.step}: learning rate, data or reward need a look"
            fields = {"what": what, "name": what}
            if self.config.train.on_nan == "stop":
                raise RunFailed(Failure("nan", message, fields))
            self.events.write("nan", phase="train", step=self.step, skipped=True, **fields)

    def finish_step(self, rollouts: Sequence[Rollout], update: Update) -> None:
        """Tell how the step went."""
        rewards = [r.reward for r in rollouts if r.reward is not None]
        self._recent.append(fmean(rewards))
        while len(self._recent) > self.config.run.stop_window:
            self._recent.popleft()
        seconds, tokens = time.perf_counter() - self._step_start, sum(r.length + 1 for r in rollouts)
        metrics = _metrics(rollouts, rewards, update) | {
            "learning_rate": self.config.train.learning_rate,
            "step_time": seconds,
            "tokens": tokens,
            "tokens_per_second": tokens / seconds / self.workers.size,
            "consumed_samples": self.prompts.position * self.config.rollout.samples_per_prompt,
            "micro_batch_tokens_max": update.micro_batch_tokens,
            **({"train_cpu_seconds": update.cpu_seconds} if update.cpu_seconds else {}),
            **{f"{name}_time": value for name, value in self._seconds.items()},
        }
        metrics = {name: float(f"{value:.9g}") for name, value in metrics.items()}
        self.events.write(
            "step_finished", step=self.step, seconds=round(seconds, 6), tokens=tokens, samples=len(rollouts),
            metrics=metrics, **_memory(*self._step_peak),
        )  # fmt: skip
        self.ended = self._end()
        self._print(metrics)

    def checkpoint_is_due(self) -> bool:
        """Return whether to save now: every so many steps, and at the end."""
        return self.ended is not None or self.step % self.config.checkpoint.every == 0

    def save(self) -> None:
        """Save a checkpoint, and remove those that are too old."""
        root, start = checkpoint.folder(self.config), time.perf_counter()
        state = {"position": self.prompts.position, "recent": list(self._recent), "model": self._shape()}
        self.events.write(
            "checkpoint_started", phase="checkpoint", step=self.step, path=root / f"step_{self.step}"
        )
        path = checkpoint.save(self.workers, root, self.step, state)
        checkpoint.prune(root, self.config.checkpoint.keep)
        self.events.write(
            "checkpoint_saved", phase="checkpoint", step=self.step, path=path, format="torch_dcp",
            seconds=round(time.perf_counter() - start, 6), bytes=checkpoint.size(path),
        )  # fmt: skip

    def begin(self, config: dict[str, Any]) -> None:
        """Go on from the newest checkpoint, give the engines their weights, and tell of it."""
        self._resume()
        self.workers.each("sync", [(self.step,)] * self.workers.size)
        seconds = round(time.monotonic() - self.started, 6)
        self.events.write(
            "phase_finished",
            phase="start",
            step=self.step,
            seconds=seconds,
            **_memory(*self.workers.memory()),
        )
        self.events.write(
            "run_started", phase="start", step=self.step, revision=self.config.revision,
            system="trainer_core", world_size=self.workers.size, resumed=self.step > 0, config=config,
        )  # fmt: skip

    def close(self) -> None:
        """End ranks and reward processes."""
        self.workers.close()
        self.scorer.close()

    def _resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        root = checkpoint.folder(self.config)
        saved, halves = checkpoint.newest(root)
        for half in halves:
            self._say(f"{half} is half a checkpoint (no file `complete`): ignored")
        if saved is None:
            return
        if saved.state["model"] != self._shape():
            raise UserError(
                f"{saved.path} holds another model than the configuration: choose another run.folder"
            )
        start = time.perf_counter()
        self.workers.each("load", [(saved.path,)] * self.workers.size)
        self.step, self.prompts.position = saved.step, saved.state["position"]
        self._recent.extend(saved.state["recent"])
        seconds = round(time.perf_counter() - start, 6)
        about = {"path": saved.path, "seconds": seconds, "format": "torch_dcp"}
        self.events.write("checkpoint_loaded", phase="start", step=self.step, **about)

    def _shape(self) -> dict[str, Any]:
        """Return what a checkpoint and a configuration must have in common."""
        about = asdict(self.config.model)
        return {name: value for name, value in about.items() if name not in ("path", "meta_init")}

    def _end(self) -> str | None:
        """Return why the run is over, if it is."""
        run = self.config.run
        if self.control.stop:
            return self.control.stop
        if self.step >= run.steps:
            return "steps"
        full = len(self._recent) >= run.stop_window
        if run.stop_at_reward is not None and full and fmean(self._recent) >= run.stop_at_reward:
            return "reward"
        return None

    def _revise(self) -> None:
        revision = self.live.poll()
        if revision is None:
            return
        kind = "config_refused" if revision.reason else "config_applied"
        self.events.write(
            kind,
            step=self.step,
            revision=revision.number,
            fields=revision.fields,
            reason=revision.reason or None,
        )
        changes = ", ".join(f"{path}={value}" for path, value in revision.fields.items()) or "nothing"
        print(f"config revision {revision.number}: {revision.reason or changes}", flush=True)

    def _say(self, message: str) -> None:
        print(message, flush=True)
        self.events.write("warning", phase=self.phase_now, step=self.step, message=message)

    def _print(self, metrics: dict[str, float]) -> None:
        now = time.monotonic()
        if self.ended is None and now - self._printed < PRINT_SECONDS:
            return
        self._printed = now
        peak = self._step_peak[1]
        limit = f" of {peak.total / GIB:.2f}" if peak.total else ""
        print(
            f"step {self.step}/{self.config.run.steps}  reward {metrics['reward_mean']:.3f}  "
            f"entropy {metrics['entropy']:.2f}  grad {metrics['grad_norm']:.2f}  "
            f"{metrics['tokens_per_second']:.0f} tokens/s  {metrics['step_time']:.2f} s  "
            f"memory {peak.peak / GIB:.2f}{limit} GiB",
            flush=True,
        )


def _memory(rank: int, memory: Memory) -> dict[str, Any]:
    if not memory.peak:
        return {}
    return {
        "rank_of_max": rank,
        "bytes_allocated": memory.allocated,
        "bytes_peak": memory.peak,
        "bytes_reserved": memory.reserved,
        "bytes_total": memory.total or None,
    }


def _metrics(rollouts: Sequence[Rollout], rewards: Sequence[float], update: Update) -> dict[str, float]:
    lengths = [len(r.token_ids) for r in rollouts]
    advantages = [r.advantage for r in rollouts]
    answered = sum(lengths)
    return {
        "loss": update.loss,
        "grad_norm": update.grad_norm,
        "entropy": update.entropy / answered,
        "ref_kl": update.kl / answered,
        "clip_fraction": update.clipped / answered,
        "logprob_diff": update.logprob_diff / answered,
        "logprob_diff_max": update.logprob_diff_max,
        "reward_mean": fmean(rewards),
        "reward_std": pstdev(rewards),
        "reward_min": min(rewards),
        "reward_max": max(rewards),
        "advantage_max": max(advantages),
        "advantage_min": min(advantages),
        "response_length": fmean(lengths),
        "response_length_max": max(lengths),
        "prompt_length": fmean(len(r.prompt.token_ids) for r in rollouts),
        "response_clip_ratio": fmean(r.finish_reason == "length" for r in rollouts),
    }
