"""Which of the user's settings an unknown failure speaks of, and which way to turn them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from rldoctor import wording
from rldoctor.causes import demands, named, schema
from rldoctor.causes.demands import Demand
from rldoctor.causes.named import Name
from rldoctor.dialects import catalogue
from rldoctor.dialects import named as keys
from rldoctor.facts import standing
from rldoctor.facts.spoken import number
from rldoctor.facts.standing import Standing
from rldoctor.types import UNKNOWN

if TYPE_CHECKING:
    from rldoctor.facts import Facts
    from rldoctor.logs.failures import Failure, Frame

MOST_CHOICES: Final = 8
MOST_SHOWN: Final = 3
LONGEST_VALUE: Final = 80
_ENGINES: Final = (
    ("vllm", re.compile(r"/vllm/")),
    ("sglang", re.compile(r"sglang/srt/|/sglang/")),
    ("megatron", re.compile(r"megatron/(?:core|training|legacy|bridge)/")),
)
_LISTED: Final = ("trl", "vllm", "sglang")  # whose arguments others take over by their names
_ARGUMENTS: Final = r"(?:\w+_)?args?"
_TIMES: Final = r" ?\* ?|\btimes\b|×"
_JOINT: Final = re.compile(r"\W*(?:\b(?:and|or|nor|times|args|config)\b\W*)*")
_JOINT_OF_CODE: Final = re.compile(
    r"\W*(?:\b(?:and|self|args|config)\b\W*)*"
)  # not A or B == 1: that is of B
_NO_SETTING: Final = (
    r"has no attribute|No module named|cannot import name|unrecognized argument|^name '\w+' is not defined"
)
_QUOTED: Final = r"[`'\"]([^`'\"\s]{4,200})[`'\"]|(?<![\w:/])(/[\w./-]{4,200}\w)"

_SENTENCES: Final = {
    ("divisible", True): "Make {one} a multiple of {other}",
    ("divisible", False): "Make {one} a number that divides evenly",
    ("at most", True): "Lower {one}, or raise {other}",
    ("at most", False): "Lower {one}{bound}",
    ("at least", True): "Raise {one}, or lower {other}",
    ("at least", False): "Raise {one}{bound}",
    ("equal", False): "Give {one} the same value on both sides",
    ("value", True): "Set {one} to {value}, or change {other}",
    ("value", False): "Set {one} to {value}",
    ("equal", True): "Give {one} and {other} the same value",
    ("off", False): "Do without {one}",
    ("off", True): "Do without {one}, or change {other}",
    ("unset", False): "Leave {one} out",
    ("unset", True): "Leave {one} out, or change {other}",
    ("given", True): "Set {one}{choices}, as {other} asks for it",
    ("given", False): "Set {one}{choices}",
    ("needs", True): "Set {other}, or leave out {one}, which asks for it",
    ("needs", False): "Give {one} what it asks for, or leave it out",
    ("refused", True): "Give {one} another value{choices}, or do without {other}",
    ("refused", False): "Give {one} another value{choices}, or leave it out",
}
_SEEN_FROM_BEHIND: Final = {"at most": "at least", "at least": "at most", "needs": "given"}
"""What is asked of the one setting that a text names behind what must be larger, smaller or there."""
_REFUSED_VARIABLE: Final = (
    r"\b(?P<name>[A-Z][A-Z0-9]*_[A-Z0-9_]+)=(?P<value>[\w'\"-]{1,40}) (?:is|are|does|do|cannot|can)\b"
    r".{0,20}?(?:not|n't|unsupported|invalid|incompatible)\b"
)
_SWITCHES: Final = {"1": "0", "0": "1", "true": "false", "false": "true"}
_FLAG: Final = r"--[a-z][\w-]+\w"
_NOT_OF_VARIABLES: Final = ("refused", "needs", "unexpected", "one")  # there they are named as examples


class Subject(Struct, frozen=True):
    """A name of the text and the settings that it stands for."""

    name: Name
    settings: tuple[Standing, ...]

    @property
    def number(self) -> float | None:
        """Return the number that the text gives, else that of the one setting."""
        value = self.settings[0].value if len(self.settings) == 1 else UNKNOWN
        return self.name.number if self.name.number is not None else number(value)


class Told(Struct, frozen=True):
    """What a failure says of the user's settings: a sentence, words to set, whether it says which way."""

    sentence: str
    command: str | None = None
    turns: bool = False
    adds: bool = True  # it tells more than the message's own words
    names: tuple[str, ...] = ()


def speaks_of(failure: Failure, frame: Frame | None, facts: Facts | None) -> Told | None:
    """Return what message and innermost line say of the user's settings, None where they name none."""
    if facts is None or re.search(_NO_SETTING, failure.message):
        return None
    if (asked := schema.refused(failure.message)) is not None:
        return Told(asked, None, True)
    if (unset := _refused_variable(failure.message)) is not None:
        return unset
    reader = _Reader(facts, _engine(frame), keys.trainer_of(each.file for each in failure.frames))
    message = failure.message[: named.LONGEST]
    spoken = reader.of_message(message)
    code = frame.code if frame is not None else ""
    written = reader.of_code(code)
    demand = demands.of_message(message)
    found = _turned(message, spoken, demand, facts) if demand is not None else None
    if found is None and (demand := demands.of_code(code)) is not None:
        found = _turned(code, written, demand, facts)
    if found is not None:
        return found
    looked_up = failure.exception.endswith("KeyError")  # its line tells where, and not which
    if (found := _of_values(message, facts) or _about(spoken, message, facts, "It speaks of")) is not None:
        return found
    return None if looked_up else _about(written, message, facts, "Its line takes")


def _refused_variable(message: str) -> Told | None:
    """Return what to do about the value of an environment variable that a message refuses."""
    found = re.search(_REFUSED_VARIABLE, message[: named.LONGEST])
    if found is None:
        return None
    flag = re.compile(_FLAG).search(message[: named.LONGEST], found.end())
    other = f", or do without {flag[0]}" if flag else ""
    name, value = found["name"], found["value"]
    if (instead := _SWITCHES.get(value.lower())) is not None:
        title = f"Set {name}={instead} (where it is left out, a default may choose {value}){other}"
        return Told(title, f"export {name}={instead}", True)
    return Told(f"Unset {name}, or give it another value than {value}{other}", None, True)


class _Reader(Struct, frozen=True):
    """Looks names up for one failure: in the user's system, as the engine on top of the stack calls them."""

    facts: Facts
    engine: str | None
    trainer: str | None = None

    def of_message(self, message: str) -> tuple[Subject, ...]:
        return self._subjects(named.in_message(message, self._is_known))

    def of_code(self, code: str) -> tuple[Subject, ...]:
        return self._subjects(named.in_code(code))

    def _subjects(self, names: Sequence[Name]) -> tuple[Subject, ...]:
        pairs = ((name, self._settings(name)) for name in names)
        found: dict[tuple[str, ...], Subject] = {}
        for name, settings in pairs:
            if settings:
                found.setdefault(tuple(each.key for each in settings), Subject(name, settings))
        return tuple(found.values())

    def _settings(self, name: Name) -> tuple[Standing, ...]:
        if name.path[0].isupper():
            return (standing.of_environment(self.facts, name.path[0]),)
        plain = len(name.path) == 1 and "_" not in name.path[0]
        if not plain or name.sure:
            found = standing.of_name(self.facts, name.path, self.engine, self.trainer)
            if found and not (len(name.path) > 1 and "_" not in name.path[-1] and not _agrees(name, found)):
                return found
        off = None if plain or self.engine is None else keys.off_switch(self.engine, name.path[-1])
        if off is not None:
            return (Standing(f"{name.path[-1]} ({off} switches it off)"),)
        return self._as_said(name)

    def _as_said(self, name: Name) -> tuple[Standing, ...]:
        """Return an argument of a system whose keys nobody lists under the name that the text has for it."""
        sure = name.sure and (len(name.path) == 1 or re.fullmatch(_ARGUMENTS, name.path[0]) is not None)
        bare = len(name.path) == 1 and any(name.path[0] in keys.tails(each) for each in _LISTED)
        return () if _is_listed(self.facts) or not (sure or bare) else (Standing(name.path[-1]),)

    def _is_known(self, name: str) -> bool:
        system = self.facts.system
        if self.engine is not None and keys.concepts_of(self.engine, name):
            return True
        if not _is_listed(self.facts) and name.count("_") == 1:  # as common a word as *batch size*
            return False
        found = keys.keys_of(system or self.trainer or keys.ANY, (name,))
        return 0 < len(found) <= (1 if name.count("_") == 1 else standing.MOST)


def _is_listed(facts: Facts) -> bool:
    """Say whether all keys of the user's system are known."""
    return facts.system is not None and catalogue.has(facts.system)


def _agrees(name: Name, found: Sequence[Standing]) -> bool:
    """Say whether a common word such as ``n`` or ``lr`` is told by what stands before it, too."""
    before = name.path[-2]
    return all(before in keys.parts_of(each.key)[:-1] for each in found) or (
        re.fullmatch(_ARGUMENTS, before) is not None and all(each.key.startswith("-") for each in found)
    )


def _turned(text: str, subjects: Sequence[Subject], demand: Demand, facts: Facts) -> Told | None:
    """Return which way to turn the settings on both sides of what is demanded, None where that is open."""
    if demand.relation in _NOT_OF_VARIABLES:
        subjects = [each for each in subjects if not each.name.path[0].isupper()]
    sign = demand.end if demand.relation == "value" else demand.start  # "needs a == 1" holds the name
    left = [each for each in subjects if each.name.start < sign]
    right = [each for each in subjects if each not in left]
    if demand.relation == "unexpected":
        return _taken_out(right, facts)
    if demand.relation == "one":
        return _one_of(subjects, facts)
    bound = demands.bound(text, demand) if left and not right else ""
    sides = (text[: demand.start], left), (text[demand.end :], right)
    if demand.relation in ("divisible", "equal") and not all(_is_whole(*side) for side in sides):
        return None
    relation = demand.relation if left else _SEEN_FROM_BEHIND.get(demand.relation, demand.relation)
    if not left:
        when = demands.condition(text, demand.end)
        left = [each for each in right if when < 0 or each.name.start < when]
        right = [each for each in right if each not in left]
    if not left:
        return None
    if demand.relation in ("value", "given"):
        left, before = _in_one_breath(left, text)
        right = [*before, *right]
    one, other = _spelled(left, text, facts), _spelled(right, text, facts)
    key = ("unset" if demand.value == "None" else relation, bool(other))
    sentence = _SENTENCES[key].format(
        one=one, other=other, choices=_choices(left, facts), value=demand.value, bound=bound
    )
    adds = any(_is_new(setting, text) for each in subjects for setting in each.settings)
    names = tuple(keys.parts_of(setting.key)[-1] for each in subjects for setting in each.settings)
    if demand.relation != "divisible":
        return Told(sentence, None, True, adds, names)
    return Told(sentence + _numbers(left, right), _command(left, right), True, adds, names)


def _in_one_breath(subjects: list[Subject], text: str) -> tuple[list[Subject], list[Subject]]:
    """Return the last settings that one list names, of which a demand speaks, and those named before them."""
    joint = _JOINT_OF_CODE if text.startswith("assert") else _JOINT
    first = len(subjects) - 1
    while first and joint.fullmatch(text[subjects[first - 1].name.end : subjects[first].name.start]):
        first -= 1
    return subjects[first:], subjects[:first]


def _is_whole(text: str, subjects: Sequence[Subject]) -> bool:
    """Say whether a side of an equation is a setting, or a product of settings that are all known."""
    factors = 1 + len(re.findall(_TIMES, text))
    return factors == 1 or factors == len(subjects)


def _one_of(subjects: Sequence[Subject], facts: Facts) -> Told | None:
    """Return that only one of some settings may be set."""
    if len(subjects) == 1:
        return None
    return Told(f"Leave out all but one of {_spelled(subjects, '', facts)}", None, True)


def _taken_out(subjects: Sequence[Subject], facts: Facts) -> Told | None:
    """Return that a setting is to be left out which the one that is called does not know."""
    written = [each for each in subjects if any(setting.written for setting in each.settings)]
    if not written:
        return None
    spelled = _spelled(written, "", facts)
    return Told(f"Leave {spelled} out: what is called in this release does not know it", None, True)


def _numbers(left: Sequence[Subject], right: Sequence[Subject]) -> str:
    if len(left) != 1 or len(right) != 1 or left[0].number is None or right[0].number is None:
        return ""
    have, of = left[0].number, right[0].number
    near = " or ".join(map(str, demands.multiples(have, of)))
    return f": {have:g} is no multiple of {of:g}, {near} would be" if near else ""


def _command(left: Sequence[Subject], right: Sequence[Subject]) -> str | None:
    """Return the words that set the one setting to the nearest multiple, where it is what the text counts."""
    if len(left) != 1 or len(right) != 1 or len(left[0].settings) != 1:
        return None
    setting, have, of = left[0].settings[0], left[0].number, right[0].number
    if have is None or of is None or not setting.written or str(setting.value) != f"{have:g}":
        return None
    near = demands.multiples(have, of)
    return wording.pair(setting.key, near[0]) if near else None


def _choices(subjects: Sequence[Subject], facts: Facts) -> str:
    """Return the words that a setting may be, where the catalogue lists a few."""
    if facts.system is None or not catalogue.has(facts.system) or len(subjects) != 1:
        return ""
    known = catalogue.load(facts.system)
    for setting in subjects[0].settings:
        said = known.find(setting.key, known.releases[-1], known.roots) if setting.key in known else None
        if said is not None and 0 < len(said.choices) <= MOST_CHOICES:
            return f" (one of {', '.join(str(word) for word in said.choices if word is not None)})"
    return ""


def _of_values(message: str, facts: Facts) -> Told | None:
    """Return the settings whose values the message quotes: a path, a model, a column."""
    for match in re.finditer(_QUOTED, message):
        for text in _upwards(match[1] or match[2]):
            found = standing.of_value(facts, text)
            if found:
                spelled = " or ".join(_spell(each, facts) for each in found)
                return Told(f"{text[:LONGEST_VALUE]} stands in {spelled}")
    return None


def _upwards(text: str) -> Iterator[str]:
    yield text
    for _ in range(3 if text.startswith("/") else 0):
        text = text.rpartition("/")[0]
        if text.count("/") > 1:
            yield text


def _about(subjects: Sequence[Subject], message: str, facts: Facts, says: str) -> Told | None:
    """Return the settings of which a text speaks without a demand, where they tell more than the text."""
    sure = (each for each in subjects if _is_listed(facts) or each.name.sure or "_" in each.name.path[-1])
    new = [each for each in sure if any(_is_new(setting, message) for setting in each.settings)]
    if not new or len(new) > MOST_SHOWN:
        return None
    return Told(f"{says} {_spelled(new, '', facts)}")


def _is_new(setting: Standing, text: str) -> bool:
    """Say whether a setting tells more than the name that stands in a text already."""
    return setting.value is not UNKNOWN or setting.key.lstrip("-").replace("-", "_") not in text.replace(
        "-", "_"
    )


def _spelled(subjects: Sequence[Subject], text: str, facts: Facts) -> str:
    """Return settings as the user would write them, with their places; a product as such."""
    each = [_spell_all(subject, facts) for subject in subjects]
    between = text[subjects[0].name.end : subjects[-1].name.start] if len(subjects) > 1 else ""
    return (" × " if re.search(_TIMES, between) else ", ").join(each[:MOST_SHOWN])


def _spell_all(subject: Subject, facts: Facts) -> str:
    """Return what a name stands for; a default counts only where the text does not give another number."""
    told = subject.name.number
    other = [not each.written and told is not None and each.value != told for each in subject.settings]
    pairs = zip(subject.settings, other, strict=True)
    return " or ".join(setting.key if is_other else _spell(setting, facts) for setting, is_other in pairs)


def _spell(setting: Standing, facts: Facts) -> str:
    if setting.value is UNKNOWN or len(str(setting.value)) > LONGEST_VALUE:
        return setting.key
    is_yaml = facts.document is not None and facts.document.kind == "yaml"
    spelled = wording.pair(setting.key, setting.value, yaml=is_yaml)
    place = setting.place
    named_place = f" ({Path(place.file).name}:{place.line})" if place is not None else ""
    where = named_place if setting.written else " (default)"
    return spelled + where


def _engine(frame: Frame | None) -> str | None:
    """Return the engine whose code is on top of the stack."""
    file = frame.file if frame is not None else ""
    return next((engine for engine, pattern in _ENGINES if pattern.search(file)), None)
