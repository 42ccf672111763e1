"""The strict loader: a rule file is read whole, and all that is wrong with it is told at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from msgspec import Struct

from rldoctor import dialects, vocabulary
from rldoctor.rules import marked, places
from rldoctor.rules.conditions import Words
from rldoctor.rules.examples import examples, row
from rldoctor.rules.expressions import condition, template
from rldoctor.rules.ladder import rung
from rldoctor.rules.reader import Fields, Reader, unknown
from rldoctor.rules.schema import Rule
from rldoctor.rules.triggers import SEVERITIES, bound, trigger
from rldoctor.types import ROLES, RLDoctorError, Verdict

KEYS: Final = (
    "severity",
    "title",
    "explanation",
    "references",
    "rows",
    "family",
    "symptom",
    "verdict",
    "roles",
    "since",
    "until",
    "on",
    "when",
    "explains",
    "remedies",
    "tests",
)
REQUIRED: Final = ("severity", "title", "explanation", "references", "family", "verdict", "on", "tests")
VERDICTS: Final[tuple[str, ...]] = get_args(Verdict)
FURTHER_FOLDERS: Final = ("cluster",)
_ID: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class RuleFileErrors(RLDoctorError):
    """Every mistake of some rule files, in their order."""

    def __init__(self, mistakes: Sequence[RLDoctorError]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


class _Read(Struct, frozen=True):
    """A rule as far as it could be read, and where it says what it explains."""

    rule: Rule | None
    reader: Reader
    explains: tuple[tuple[str, marked.Node], ...] = ()


def load_all(folder: Path | None = None) -> tuple[Rule, ...]:
    """Return the rules of a folder (the program's own by default), or raise RuleFileErrors."""
    return load_folders([folder or places.own_folder()])


def load_folders(folders: Sequence[Path]) -> tuple[Rule, ...]:
    """Return the rules of some folders, ordered by id, or raise RuleFileErrors with all mistakes of all."""
    read = [_read_file(path) for path in places.files(folders)]
    rules: dict[str, Rule] = {}
    for item in read:
        if item.rule and item.rule.id in rules:
            message = f"{rules[item.rule.id].path} has the same name"
            item.reader.mistakes.append(RLDoctorError(message, file=item.reader.file))
        elif item.rule:
            rules[item.rule.id] = item.rule
    _check_explained(read, rules)
    mistakes = [mistake for item in read for mistake in item.reader.in_place()]
    if mistakes:
        raise RuleFileErrors(mistakes)
    return tuple(rules[name] for name in sorted(rules))


def _check_explained(read: Iterable[_Read], rules: Mapping[str, Rule]) -> None:
    known = [*vocabulary.load().families, *rules, *(Path(item.reader.file).stem for item in read)]
    for item in read:
        for word, node in item.explains:
            if word not in known:
                item.reader.note(unknown("family or rule", word, known), node)


def _read_file(path: Path) -> _Read:
    reader = Reader(str(path))
    try:
        text = path.read_text(encoding="utf-8")
        node = marked.compose(text, str(path))
    except UnicodeDecodeError as error:
        reader.mistakes.append(RLDoctorError(f"not UTF-8: {error.reason}", file=str(path)))
        return _Read(None, reader)
    except RLDoctorError as error:
        reader.mistakes.append(error)
        return _Read(None, reader)
    if node is None:
        reader.mistakes.append(RLDoctorError("the file is empty", file=str(path)))
        return _Read(None, reader)
    reader.lines = text.splitlines()
    return _read_rule(path, node, reader)


def _read_rule(path: Path, node: marked.Node, reader: Reader) -> _Read:
    fields = reader.fields(node, "a rule", KEYS, REQUIRED)
    if not fields:
        return _Read(None, reader)
    reader.in_order(node, KEYS)
    words = Words(vocabulary.load())
    on = fields.get("on")
    every = bound(reader, on, words) if on else words
    told = _about(reader, fields) | _body(reader, fields, words, every)
    told |= {"id": path.stem, "phase": _phase(reader, path, node, words), "path": str(path)}
    explains = reader.one_or_more(fields["explains"], "explains") if "explains" in fields else []
    _check_self(reader, path.stem, explains)
    rule = Rule(**told) if all(key in fields for key in REQUIRED) else None
    return _Read(rule, reader, tuple((str(item.value), item) for item in explains))


def _check_self(reader: Reader, name: str, explains: Sequence[marked.Node]) -> None:
    for item in explains:
        if item.value == name:
            reader.note("a rule does not explain itself", item)


def _phase(reader: Reader, path: Path, node: marked.Node, words: Words) -> str:
    known = [*(phase for phase in words.vocabulary.phases if "." not in phase), *FURTHER_FOLDERS]
    if path.parent.name not in known:
        reader.note(unknown("phase (the folder of a rule):", path.parent.name, known), node)
    if not _ID.fullmatch(path.stem):
        reader.note("a rule's file name is words-joined-by-dashes.yaml", node)
    return path.parent.name


def _about(reader: Reader, fields: Fields) -> dict[str, Any]:
    """Return the values of the keys that stand for themselves."""
    words = vocabulary.load()
    how: dict[str, Callable[[marked.Node], Any]] = {
        "severity": lambda node: reader.word(node, "severity", SEVERITIES),
        "references": lambda node: reader.texts(node, "references"),
        "rows": lambda node: tuple(row(reader, item) for item in reader.one_or_more(node, "rows")),
        "family": lambda node: reader.word(node, "family", words.families),
        "symptom": reader.flag,
        "verdict": lambda node: reader.word(node, "verdict", VERDICTS),
        "roles": lambda node: reader.words(node, "role", ROLES),
        "since": lambda node: _releases(reader, node, "since"),
        "until": lambda node: _releases(reader, node, "until"),
        "explains": lambda node: reader.texts(node, "explains"),
    }
    return {key: read(fields[key]) for key, read in how.items() if key in fields}


def _releases(reader: Reader, node: marked.Node, what: str) -> dict[str, str]:
    table = reader.table(node, what, "system", dialects.NAMES)
    return {system: reader.text(version) for system, version in table.items()}


def _body(reader: Reader, fields: Fields, words: Words, every: Words) -> dict[str, Any]:
    """Return what is written in conditions and templates; ``every`` knows what all triggers bind."""
    told: dict[str, Any] = {
        key: template(reader, fields[key], every) for key in ("title", "explanation") if key in fields
    }
    if "on" in fields:
        found = [trigger(reader, item, words) for item in reader.items(fields["on"], "on")]
        told["on"] = tuple(item for item in found if item)
    if "when" in fields:
        told["when"] = condition(reader, fields["when"], every)
    if "remedies" in fields:
        told["remedies"] = tuple(
            rung(reader, item, every) for item in reader.items(fields["remedies"], "remedies")
        )
    if "tests" in fields:
        told["tests"] = examples(reader, fields["tests"], every)
    return told
