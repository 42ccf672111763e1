"""The tests of a rule file: read here, run by the test suite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from msgspec import Struct, field

from rldoctor import dialects
from rldoctor.rules import marked
from rldoctor.rules.conditions import Words, name_problems
from rldoctor.rules.reader import Reader

_KEYS: Final = (
    "name",
    "row",
    "system",
    "config",
    "log",
    "files",
    "entry",
    "facts",
    "set",
    "expect",
    "becomes",
    "rung",
)
_INPUTS: Final = ("config", "log", "files", "facts")
Expect = Literal["certain", "possible", "none"]
EXPECTATIONS: Final[tuple[Expect, ...]] = get_args(Expect)


class RuleTest(Struct, frozen=True):
    """One example of a rule file: what is given, and what the rule makes of it.

    ``config`` is a launch script or YAML, ``files`` texts by name of which ``entry`` is checked, ``log``
    what is diagnosed, ``facts`` values by expression name. ``rung`` counts from 1.
    """

    name: str
    expect: Expect
    row: str = ""
    system: str | None = None
    config: str | None = None
    log: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    entry: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    set: Mapping[str, Any] = field(default_factory=dict)
    becomes: str | None = None
    rung: int = 1


def examples(reader: Reader, node: marked.Node, words: Words) -> tuple[RuleTest, ...]:
    """Return the tests; there is one that must match, and a near miss that must not."""
    found = tuple(_example(reader, item, words) for item in reader.items(node, "tests"))
    expected = {test.expect for test in found}
    if not expected & {"certain", "possible"}:
        reader.note("no test must match: expect certain or possible", node)
    if "none" not in expected:
        reader.note("no test is a near miss: expect none", node)
    names = [test.name for test in found]
    for name in sorted({name for name in names if names.count(name) > 1}):
        reader.note(f"two tests are called {name}", node)
    return found


def _example(reader: Reader, node: marked.Node, words: Words) -> RuleTest:
    fields = reader.fields(node, "a test", _KEYS, ("name", "expect"))
    if fields and not any(key in fields for key in _INPUTS):
        reader.note(f"a test gives one of {', '.join(_INPUTS)}", node)
    if ("entry" in fields) != ("files" in fields):
        reader.note("files and entry go together", node)
    told: dict[str, Any] = {
        key: reader.text(fields[key])
        for key in ("name", "config", "log", "entry", "becomes")
        if key in fields
    }
    if "row" in fields:
        told["row"] = row(reader, fields["row"])
    if "system" in fields:
        told["system"] = reader.word(fields["system"], "system", dialects.NAMES)
    if "files" in fields:
        table = reader.table(fields["files"], "files", "name", None)
        told["files"] = {name: reader.text(text) for name, text in table.items()}
    for key in ("facts", "set"):
        if key in fields:
            told[key] = _values(reader, fields[key], key, words)
    if "rung" in fields:
        told["rung"] = reader.number(fields["rung"], 1, 50)
    if "expect" in fields:
        told["expect"] = reader.word(fields["expect"], "expectation", EXPECTATIONS)
    return RuleTest(**({"name": "", "expect": "none"} | told))


def row(reader: Reader, node: marked.Node) -> str:
    """Return the id of a seed row: a letter and a number."""
    text = reader.text(node)
    if not re.fullmatch(r"[A-Z]\d+", text):
        reader.note("a row is a letter and a number: C4", node)
    return text


def _values(reader: Reader, node: marked.Node, what: str, words: Words) -> dict[str, Any]:
    found = {}
    for name, item in reader.table(node, what, "name", None).items():
        for problem in name_problems(name, words):
            reader.note(problem.message, item)
        found[name] = marked.plain(item)
    return found
