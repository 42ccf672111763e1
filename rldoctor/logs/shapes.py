"""How logs look: step lines, metrics, phases and printed configurations of each system, from its dialect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, Final

from msgspec import Struct, field

from rldoctor import dialects
from rldoctor.logs.phases import Table, expression

GENERIC_KEYS: Final[Mapping[str, str]] = {
    "loss": "loss",
    "train_loss": "loss",
    "train/loss": "loss",
    "lm loss": "loss",
    "policy_loss": "policy_loss",
    "pg_loss": "policy_loss",
    "actor/pg_loss": "policy_loss",
    "value_loss": "value_loss",
    "vf_loss": "value_loss",
    "grad_norm": "grad_norm",
    "train/grad_norm": "grad_norm",
    "actor/grad_norm": "grad_norm",
    "grad norm": "grad_norm",
    "learning_rate": "learning_rate",
    "lr": "learning_rate",
    "kl": "ref_kl",
    "kl_loss": "ref_kl",
    "entropy": "entropy",
    "reward": "reward_mean",
    "reward_mean": "reward_mean",
    "reward/mean": "reward_mean",
    "rewards/mean": "reward_mean",
    "mean_reward": "reward_mean",
    "reward_std": "reward_std",
    "reward/std": "reward_std",
    "adv_max": "advantage_max",
    "adv_min": "advantage_min",
    "completions/mean_length": "response_length",
    "completion_length": "response_length",
    "response_length": "response_length",
    "response_length/mean": "response_length",
    "completions/max_length": "response_length_max",
    "completions/clipped_ratio": "response_clip_ratio",
    "clip_ratio/region_mean": "clip_fraction",
    "clip_fraction": "clip_fraction",
    "step_time": "step_time",
    "tok/s": "tokens_per_second",
}


class Shape(Struct, frozen=True, dict=True):
    """How one system prints its steps; expressions are compiled at need: a log is of one or two systems."""

    system: str
    step_line: str | None
    pair: str
    keys: Mapping[str, tuple[str, float]]
    phase_rows: tuple[tuple[str, str], ...] = ()
    configs: tuple[tuple[str, str], ...] = ()
    count: str | None = None
    line_phases: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def pairs(self) -> re.Pattern[str]:
        """Return the expression of a metric and its value."""
        return re.compile(self.pair)

    @cached_property
    def counter(self) -> re.Pattern[str] | None:
        """Return the expression of a step's number."""
        return re.compile(self.count) if self.count else None

    @cached_property
    def phases(self) -> Table:
        """Return what tells a phase in a stack."""
        return tuple((re.compile(expression(match)), phase) for match, phase in self.phase_rows)

    @property
    def key(self) -> str | None:
        """Return the pattern key of the step lines."""
        return f"/{self.step_line}/" if self.step_line else None


ROUNDED: Final = re.compile(r"0\.0{2,5}")
NUMBER: Final = r"[-+]?(?:\d[\d.eE+-]*|nan|inf)"
PAIRS: Final = (
    r"""(?i)['"]?(?P<key>[A-Za-z][\w/@.-]{0,80})['"]?(?:\s{0,2}[=:]\s{0,8}| )['"]?"""
    rf"(?P<value>{NUMBER})"
)
KEYS: Final = {key: (metric, 1.0) for key, metric in GENERIC_KEYS.items()}
COUNTER: Final = r"\b(?:global[_ ]?)?(?:step|update|iteration|iter)(?:=|: ?|#| )(?P<step>\d{1,12})\b"
VALUE: Final = r"\b(?:loss|reward|grad_norm)(?:[/_]\w{1,20})?['\x22]?(?:=|: ?| )['\x22]?-?(?:\d|nan|inf)"
GENERIC: Final = (
    Shape("", r"\{'(?:loss|train_loss|policy_loss)': '?-?(?:\d|nan|inf)", PAIRS, KEYS),
    Shape("", COUNTER + r".{0,300}" + VALUE, PAIRS, KEYS, count=COUNTER),
)


@cache
def load() -> tuple[Shape, ...]:
    """Return the shapes of all dialects, then the ones that any trainer may print."""
    known = (_shape(system, dialects.log_shape(system)) for system in dialects.NAMES)
    return (*(shape for shape in known if shape is not None), *GENERIC)


def is_rounded_off(metric: str, text: str) -> bool:
    """Say whether a learning rate was printed with too few digits to be told from zero."""
    return metric == "learning_rate" and ROUNDED.fullmatch(text) is not None


def number(text: str) -> float | None:
    """Return a printed number; NaN and infinities are kept, anything else is None."""
    try:
        return float(text)
    except ValueError:
        return None


def _shape(system: str, raw: Mapping[str, Any]) -> Shape | None:
    if not raw:
        return None
    step_line = raw.get("step_line")
    bare = None if step_line is None else _bare(step_line)
    return Shape(
        system,
        bare,
        _bare(raw["pairs"]) if raw.get("pairs") else PAIRS,
        {row["key"]: (row["metric"], float(row.get("scale", 1))) for row in raw.get("metrics") or ()},
        tuple((row["match"], row["phase"]) for row in raw.get("phases") or ()),
        tuple((row["find"], row["format"]) for row in raw.get("configs") or ()),
        bare if bare and "(?P<step>" in bare else None,
        {row["match"]: row["phase"] for row in raw.get("phases") or () if _is_of_lines(row["match"])},
    )


def _is_of_lines(match: str) -> bool:
    """Say whether a phase row speaks of a line of the log, not of a frame."""
    return not match.startswith("in ") and not match.endswith(" (") and "/" not in match and " " in match


def _bare(text: str) -> str:
    return text[1:-1] if len(text) > 2 and text.startswith("/") and text.endswith("/") else text
