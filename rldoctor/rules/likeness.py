"""Which known failure an unknown one is most like: by the words of rules' titles, patterns and examples."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Final

from msgspec import Struct

from rldoctor.rules.schema import Rule

KEPT: Final = 60  # words that are kept of a rule, its most telling ones
FEWEST: Final = 4  # words that two texts share, below which it may be chance
TELLING: Final = 3.5  # what the most telling of them tells at least: a word of one rule in thirty
LONGEST: Final = 4000  # characters of a text that are compared
SATURATION: Final = 1.2  # how soon a word that is said again counts no more (BM25's k1)
LENGTHS: Final = 0.75  # how much a long text's words count less (BM25's b)
_WORD: Final = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}(?![a-z])|\d{3,}")
_NO_WORDS: Final = re.compile(
    r"\b(?:\d{4}[-/]\d\d[-/]\d\d|\d\d:\d\d:\d\d(?:[.,]\d+)?)|Traceback \(most recent call last\)"
)
_ENDINGS: Final = ("ing", "ed", "es", "s")
_SHORTEST_STEM: Final = 4


class Like(Struct, frozen=True):
    """A rule, and how much of what a text tells its words tell: 0 nothing, 1 about all."""

    rule: str
    share: float


class Likeness(Struct, frozen=True):
    """The telling words of each rule, and how telling each word is."""

    telling: Mapping[str, float]
    rules: Mapping[str, Mapping[str, float]]

    def nearest(self, text: str) -> Like | None:
        """Return the rule that a text is most like, None where there is none."""
        asked = set(words(text[:LONGEST]))
        strange = math.log(len(self.rules) + 1)  # what no rule says tells the most
        most = 1 + sum(self.telling.get(word, strange) for word in asked)
        found = (
            Like(name, sum(own[word] for word in asked & own.keys()) / most)
            for name, own in self.rules.items()
            if self._is_no_chance(asked & own.keys())
        )
        return max(found, key=lambda like: (like.share, like.rule), default=None)

    def _is_no_chance(self, shared: Set[str]) -> bool:
        """Say whether words that two texts share are enough of them, and one of them a rare one."""
        return len(shared) >= FEWEST and any(self.telling.get(word, 0.0) >= TELLING for word in shared)


def words(text: str) -> Iterator[str]:
    """Yield the words of a text by their stems, names of the code in parts; times and the like are none."""
    for match in _WORD.finditer(_NO_WORDS.sub(" ", text)):
        word = match[0].lower()
        if len(word) > 2:
            yield next((word[: -len(end)] for end in _ENDINGS if _ends(word, end)), word)


def _ends(word: str, ending: str) -> bool:
    return word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM


def build(rules: Iterable[Rule]) -> dict[str, Any]:
    """Return the telling words of rules that logs show, as plain data."""
    counts = {rule.id: Counter(words(" ".join(_texts(rule)))) for rule in rules if _is_seen_in_logs(rule)}
    spread = Counter(word for count in counts.values() for word in count)
    telling = {word: math.log(len(counts) / number) for word, number in spread.items()}
    usual = sum(count.total() for count in counts.values()) / max(1, len(counts))
    return {
        "telling": {word: round(weight, 2) for word, weight in telling.items()},
        "rules": {name: _weights(count, telling, count.total() / usual) for name, count in counts.items()},
    }


def _weights(count: Counter[str], telling: Mapping[str, float], length: float) -> dict[str, float]:
    """Return the weights of a rule's most telling words, as BM25 gives them."""
    slow = SATURATION * (1 - LENGTHS + LENGTHS * length)
    weights = {w: telling[w] * n * (SATURATION + 1) / (n + slow) for w, n in count.items()}
    kept = sorted(weights, key=lambda word: (-weights[word], word))[:KEPT]
    return {word: round(weights[word], 2) for word in kept}


def _is_seen_in_logs(rule: Rule) -> bool:
    told = rule.severity in ("error", "warning") and not rule.symptom
    return told and any(trigger.kind in ("log", "event") for trigger in rule.on)


def _texts(rule: Rule) -> Iterator[str]:
    yield rule.title
    for trigger in rule.on:
        yield from (*trigger.find, *trigger.near)
    yield from (test.log for test in rule.tests if test.log and test.expect != "none")
