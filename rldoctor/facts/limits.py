"""The settings of a launch that its own system refuses together, as events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from rldoctor import dialects, expr
from rldoctor.dialects import catalogue, grammar, limits, nearby, patterns, release, suggest
from rldoctor.dialects.borrowed import of_own_default
from rldoctor.dialects.catalogue import Known
from rldoctor.dialects.limits import Limit
from rldoctor.dialects.values import FALSE, NOTHING, TRUE, unquoted
from rldoctor.dialects.versions import version_key
from rldoctor.facts.table import Table
from rldoctor.facts.told import split
from rldoctor.facts.walk import Facts
from rldoctor.types import UNKNOWN, Event, LogLine, Setting

_DEEPEST: Final = 4
_REFERENCE: Final = re.compile(r"\$\{(?P<select>oc\.select:)?(?P<name>\.?[\w.]+)(,(?P<other>[^${}]*))?\}")
_VARIABLE: Final = r"[^\w/]*\$\{?\w+[^/]*|.*(?:\$\(|`).*"
_PATTERNS: Final[Mapping[str, Callable[[Any], list[Any] | None]]] = {
    "pattern": patterns.entries,
    "stages": patterns.stages,
    "decoders": patterns.decoders,
}
_FUNCTIONS: Final = ("written", "words", "count", "given", "text", *_PATTERNS)
_ENGLISH: Final = {True: "true", False: "false", None: "null"}


def refused(facts: Facts) -> Iterator[Event]:
    """Yield what the system of a launch refuses among its settings; nothing where nobody can tell."""
    table = facts.table
    if table is None or table.version is None or facts.start.command is None:
        return
    limited = limits.has_any(table.system) and not release.is_before(table.system, table.version)
    refuse = dialects.refusals(table.dialect)
    if not limited and refuse is None:
        return
    keys = Keys(facts, table)
    if refuse is not None:
        yield from (_event(limit, keys) for limit in refuse(keys.settings, table.version))
    for limit in limits.reading(table.system, keys.settings) if limited else ():
        if not _is_past(limit, table.version):
            continue
        if limit.choices:
            yield from _chosen(limit, keys)
        elif _holds(limit, keys):
            yield _event(limit, keys)


def _is_past(limit: Limit, version: str) -> bool:
    late = limit.since is not None and version_key(version) < version_key(limit.since)
    return not late and (limit.until is None or version_key(version) < version_key(limit.until))


def _holds(limit: Limit, keys: Keys) -> bool:
    value = expr.evaluate(limit.refuses, keys) if limit.refuses is not None else UNKNOWN
    return value is not UNKNOWN and bool(value)


class Keys:
    """The scope of a limit: a system's own keys with their defaults, and concepts behind them."""

    def __init__(self, facts: Facts, table: Table) -> None:
        self.facts, self.table = facts, table
        self.settings = _by_every_name(table)
        releases = catalogue.load(table.system).nearby(str(table.version))
        built = [grammar.of(table.system, each, facts.start.command, facts.start.below) for each in releases]  # type: ignore[arg-type]
        self.grammar = next((each for each in reversed(built) if each is not None), None)

    def lookup(self, name: str) -> Any:
        """Return the value of a key or concept, UNKNOWN where it hangs on what nobody told."""
        if name == "system" or name.startswith(("env.", "version.")):
            return self.facts.value(name)
        key = limits.spelled(name, self.table.system)
        if key in self.settings or self._known(key) is not None:
            return self.of_key(key)
        if of_own_default(self.table.system, key):
            return UNKNOWN
        return self.facts.value(name) if split(name) is not None else None

    def call(self, function: str, args: Sequence[expr.Node], keywords: Mapping[str, expr.Node]) -> Any:
        """Return what was written (`written`, `text`), a list's words (`words`, `count`) or a pattern."""
        if function not in _FUNCTIONS or len(args) != 1 or args[0][0] != "name":
            return UNKNOWN
        key = limits.spelled(args[0][1], self.table.system)
        if function in _PATTERNS:
            return self._entries(_PATTERNS[function], key)
        if function == "given":  # also where nobody can tell the value
            return key in self.settings
        if function == "text":  # as it is spelled: the same unknown variable is the same folder
            return str(self.settings[key].value).rstrip("/") if key in self.settings else None
        if function == "count":  # also where nobody can tell what the words become
            return _count(self.settings.get(key))
        if function == "words":
            value = self.of_key(key)
            return value if value is UNKNOWN else [] if value is None else _words(value)
        return self.of_key(key) if key in self.settings else None

    def is_given(self, name: str) -> bool:
        """Say whether the value of a key, which nobody knows, is surely something."""
        setting = self.settings.get(limits.spelled(name, self.table.system))
        return setting is not None and setting.is_filled

    def _entries(self, read: Callable[[Any], list[Any] | None], key: str) -> Any:
        """Return what a pattern of layers says of each, UNKNOWN where nobody can tell."""
        setting, value = self.settings.get(key), self.of_key(key)
        if value is UNKNOWN:
            return UNKNOWN
        found = read(setting.value if setting is not None else value)
        return UNKNOWN if found is None else found

    def of_key(self, key: str, depth: int = 0) -> Any:
        """Return the value of a key as the system would see it."""
        setting, known = self.settings.get(key), self._known(key)
        if setting is not None and setting.form != "delete":
            value = UNKNOWN if setting.state == "unknown" else _typed(setting.value, known)
        else:
            value = self._default(known)
        if isinstance(value, str) and "${" in value:
            return self._referred(key, value, depth) if depth < _DEEPEST else UNKNOWN
        return value

    def _referred(self, key: str, text: str, depth: int) -> Any:
        """Return what an interpolation refers to: a key, or another value where nobody gives that key."""
        found = _REFERENCE.fullmatch(text)
        if found is None:
            return UNKNOWN
        name = found["name"]
        target = f"{key.rpartition('.')[0]}{name}" if name.startswith(".") else name
        if found["select"] and target not in self.settings and self._known(target) is None:
            return _typed(found["other"], self._known(key))
        return self.of_key(target, depth + 1)

    def _default(self, known: Known | None) -> Any:
        if known is None:
            return None if self.table.complete else UNKNOWN
        if not self.table.complete or known.default is UNKNOWN:
            return UNKNOWN
        if self.table.hidden and (known.default is None or known.kind == "flag"):
            return UNKNOWN  # what nobody could read may well give it
        return False if known.kind == "flag" and known.default is None else _typed(known.default, known)

    @lru_cache(maxsize=512)  # noqa: B019 (a scope lives as long as one launch is looked at)
    def _known(self, key: str) -> Known | None:
        return self.grammar.find(key) if self.grammar is not None else None


def _by_every_name(table: Table) -> dict[str, Setting]:
    """Return the settings of a command; a flag of several spellings stands under each."""
    settings = dict(table.spoken.settings)
    if table.system in limits.FLAGS:
        for row in table.dialect.rows:
            said = next((settings[name] for name in row.keys if name in settings), None)
            if said is not None and row.aliases:
                settings.update({name: said for name in row.keys if name not in settings})
    return settings


def _count(setting: Setting | None) -> Any:
    """Return how many words an argument has; a variable alone may be any number of them."""
    words = setting.value if setting is not None else []
    words = words if isinstance(words, list) else [words]
    alone = any(re.fullmatch(_VARIABLE, str(word)) for word in words)
    return UNKNOWN if setting is not None and setting.state == "unknown" and alone else len(words)


def _typed(value: Any, known: Known | None) -> Any:
    """Return a written value in the type that its key has: words of a shell are texts."""
    plain = unquoted(value)
    kind = known.kind if known is not None else "any"
    if not isinstance(plain, str):
        return plain
    word = plain.strip()
    if word[:1] == "[" and word[-1:] == "]" and kind != "str":
        return [_typed(item.strip().strip("'\""), None) for item in word[1:-1].split(",") if item.strip()]
    if word.lower() in NOTHING and kind != "flag":
        return None
    if kind in ("bool", "any") and word.lower() in ("true", "false"):
        return word.lower() == "true"
    if kind == "bool" and word.lower() in TRUE | FALSE:
        return word.lower() in TRUE
    return plain if kind in ("str", "path") else _number(plain)


def _number(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _chosen(limit: Limit, keys: Keys) -> Iterator[Event]:
    """Yield a word that is none of those that the code of a system takes."""
    setting = keys.settings.get(limit.reads[0])
    value = keys.of_key(limit.reads[0])
    if setting is None or value in (None, UNKNOWN) or (limit.refuses is not None and not _holds(limit, keys)):
        return
    strange = next((word for word in _words(value) if _is_strange(word, limit.choices)), None)
    if strange is not None:
        nearest = limit.means.get(strange) or suggest.word(strange, list(limit.choices))
        said = str(value).replace(strange, nearest) if nearest and not isinstance(value, list) else nearest
        known = keys._known(setting.key)
        usual = known.default if known is not None and known.default in limit.choices else None
        about = {"nearest": None if isinstance(value, list) else said, "choices": list(limit.choices)}
        about["usual"] = usual
        slip = nearest is not None and (strange in limit.means or _is_slip(strange, nearest))
        somebodys = keys.facts.unproven is not None
        if limit.open and somebodys:
            return
        if (limit.open or somebodys or not slip) and _is_registered(strange, keys.facts):
            return
        fate = "unclear" if limit.open and not slip else "refused"
        fields = {**_fields(setting.key, value, keys), "consequence": fate, **about}
        yield Event("unknown_choice", fields, lines=_lines([setting]))


def _is_registered(word: str, facts: Facts) -> bool:
    """Say whether the tree that the launch stands in registers a word."""
    command, document = facts.start.command, facts.document
    if command is None or document is None or document.kind == "log":
        return False
    return nearby.registers(command.program, document.path, word)


def _is_slip(word: str, other: str) -> bool:
    return suggest.distance(word.lower(), other.lower()) <= suggest.TYPO


def _words(value: Any) -> list[str]:
    """Return the words of a value: one, a list, or several with commas."""
    if isinstance(value, list | tuple):
        return [str(word).strip("'\" ") for word in value]
    return [word.strip() for word in str(value).split(",")]


def _is_strange(word: str, choices: Sequence[str]) -> bool:
    """Say whether a word is neither a choice nor the name of somebody's own class or repository."""
    return bool(word) and word not in choices and not {".", "/"} & set(word)


def _event(limit: Limit, keys: Keys) -> Event:
    written = [keys.settings[name] for name in limit.reads if name in keys.settings]
    named = [name for name in limit.shows if name in keys.settings or keys._known(name) is not None]
    shown = [_pair(name, keys) for name in named if keys.of_key(name) is not UNKNOWN]
    fields = {
        **_fields(written[0].key, keys.of_key(written[0].key), keys),
        "says": limit.says,
        "where": limit.where,
        "severity": limit.severity,
        "shown": ", ".join(shown),
        "advice": limit.advice or None,
        "safety": limit.safety,
        **_cures(limit, keys),
    }
    if keys.table.hidden and any(name not in keys.settings for name in limit.reads):
        fields["certain"] = False
    del fields["at"]
    return Event("refused_setting", fields, lines=_lines(written))


def _cures(limit: Limit, keys: Keys) -> dict[str, Any]:
    """Return up to two cures as fields of the event: a key with its new value, or one to take out."""
    about: dict[str, Any] = {}
    for number, cure in zip(("first", "second"), _open(limit, keys), strict=False):
        about[f"{number}_key"] = cure[0]
        about[f"{number}_value"] = cure[1]
        about[f"{number}_says"] = f"{cure[0]} out" if cure[1] is None else f"{cure[0]} {_said(cure[1])}"
        about[f"{number}_drops"] = cure[1] is None
    return about


def _open(limit: Limit, keys: Keys) -> Iterator[tuple[str, Any]]:
    for cure in limit.cures:
        switched_off = cure.value is not None and cure.value[0] == "const" and cure.value[1] is False
        if cure.value is None or (switched_off and cure.key.startswith("--")):
            if cure.key in keys.settings:
                yield cure.key, None
            continue
        value = expr.evaluate(cure.value, keys)
        flag = value is True and cure.key.startswith("--") and cure.key not in keys.settings
        if value is not UNKNOWN and value is not None and (flag or value != keys.of_key(cure.key)):
            yield cure.key, value


def _said(value: Any) -> str:
    return _ENGLISH[value] if value is None or isinstance(value, bool) else str(value)


def _pair(name: str, keys: Keys) -> str:
    value = keys.of_key(name)
    if name.startswith("-"):
        return (
            name if value is True else f"no {name}" if value is None or value is False else f"{name} {value}"
        )
    yaml = keys.facts.document is not None and keys.facts.document.kind == "yaml"
    return f"{name}{': ' if yaml else '='}{_said(value)}"


def _fields(key: str, value: Any, keys: Keys) -> dict[str, Any]:
    setting = keys.settings[key]
    place = setting.place or setting.defined_at
    return {
        "key": key,
        "written": key,
        "value": None if value is None else str(value),
        "system": keys.table.system,
        "release": str(keys.table.version),
        "root": keys.grammar.name if keys.grammar is not None else dialects.load(keys.table.system).system,
        "at": place.line if place is not None else None,
        "certain": True,
    }


def _lines(written: Sequence[Setting]) -> tuple[LogLine, ...]:
    places = [setting.place or setting.defined_at for setting in written]
    return tuple(LogLine(place.file, place.line, "") for place in places if place is not None)
