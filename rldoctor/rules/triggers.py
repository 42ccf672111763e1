"""The triggers of a rule file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

from rldoctor.rules import marked
from rldoctor.rules.conditions import Words
from rldoctor.rules.expressions import condition, template
from rldoctor.rules.reader import Fields, Reader
from rldoctor.rules.schema import Same, Trigger, TriggerKind
from rldoctor.types import Severity

KINDS: Final[tuple[TriggerKind, ...]] = get_args(TriggerKind)
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
_CONTEXT: Final = ("near", "not_near", "within", "same")
_SHARED: Final = ("when", "severity", "title")
_KEYS: Final = {
    "config": _SHARED,
    "log": ("find", "match", *_CONTEXT, *_SHARED),
    "event": ("kind", *_CONTEXT, *_SHARED),
    "metric": ("name", *_SHARED),
}
_REQUIRED: Final = {"config": (), "log": ("find",), "event": ("kind",), "metric": ("name", "when")}
_MOST_LINES: Final = 5000


def bound(reader: Reader, node: marked.Node, words: Words) -> Words:
    """Return the words with what all triggers of a rule bind; mistakes are noted when they are read."""
    silent = Reader(reader.file, reader.lines)
    read = [silent_trigger for item in _items(node) if (silent_trigger := trigger(silent, item, words))]
    return words.within(
        events=[found.event for found in read if found.event],
        groups=[group for found in read for group in groups(found.match)],
        series=any(found.kind == "metric" for found in read),
    )


def _items(node: marked.Node) -> Sequence[marked.Node]:
    return node.value if node.id == "sequence" else ()


def trigger(reader: Reader, node: marked.Node, words: Words) -> Trigger | None:
    """Return one trigger, None where it cannot be told which kind it is."""
    outer = reader.fields(node, "a trigger", KINDS)
    if len(outer) != 1:
        if outer or node.id != "mapping" or not node.value:
            reader.note(f"a trigger is one of {', '.join(KINDS)}", node)
        return None
    kind, body = next(iter(outer.items()))
    fields = reader.fields(body, f"a {kind} trigger", _KEYS[kind], _REQUIRED[kind])
    found = _noticed(reader, kind, fields, words)
    own = words.within(
        events=[found["event"]] if found.get("event") in words.vocabulary.events else [],
        groups=groups(found.get("match")),
        series=kind == "metric",
    )
    return Trigger(
        kind=kind,  # type: ignore[arg-type]
        when=condition(reader, fields["when"], own) if "when" in fields else None,
        severity=reader.word(fields["severity"], "severity", SEVERITIES) if "severity" in fields else None,
        title=template(reader, fields["title"], own) if "title" in fields else None,
        **found,
    )


def _noticed(reader: Reader, kind: str, fields: Fields, words: Words) -> dict[str, Any]:
    """Return what the trigger looks for: patterns, an event's kind or a metric's name."""
    found: dict[str, Any] = {
        key: patterns(reader, fields[key], key) for key in ("find", "near", "not_near") if key in fields
    }
    if "match" in fields:
        found["match"] = _expression(reader, fields["match"])
    if "within" in fields:
        found["within"] = reader.number(fields["within"], 1, _MOST_LINES)
    if "same" in fields:
        found["same"] = reader.word(fields["same"], "stream", get_args(Same))
    if "kind" in fields:
        found["event"] = reader.word(fields["kind"], "event", words.vocabulary.events)
    if "name" in fields:
        found["metric"] = reader.word(fields["name"], "metric", words.vocabulary.metrics)
    return found


def patterns(reader: Reader, node: marked.Node, what: str) -> tuple[str, ...]:
    """Return literals and ``/patterns/``; one that is not RE2, or that every line holds, is noted."""
    found = []
    for item in reader.one_or_more(node, what):
        text = reader.text(item)
        if len(text) > 2 and text.startswith("/") and text.endswith("/"):
            compiled = _re2(reader, item, text[1:-1])
            if compiled and compiled.search(""):
                reader.note("the pattern is found in every line", item)
        found.append(text)
    return tuple(text for text in found if text)


def _expression(reader: Reader, node: marked.Node) -> str | None:
    text = reader.text(node)
    compiled = _re2(reader, node, text)
    if compiled is None:
        return None
    if not compiled.groupindex:
        reader.note("match has no named group: (?P<name>…)", node)
    return text


def _re2(reader: Reader, node: marked.Node, text: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else error
        reader.note(f"not an RE2 pattern: {said.decode() if isinstance(said, bytes) else said}", node)
        return None


def groups(match: str | None) -> tuple[str, ...]:
    """Return the names that a ``match`` binds."""
    import re2

    return tuple(re2.compile(match).groupindex) if match else ()
