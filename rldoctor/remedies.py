"""The ladder of a rule: which cures are left to try, in their order, as edits of the user's own files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field, json

from rldoctor import dialects, expr, sources, wording
from rldoctor.dialects import Row
from rldoctor.facts import Facts
from rldoctor.matching import Scope
from rldoctor.matching.config import errors
from rldoctor.rules import Index, Rule, Rung
from rldoctor.types import (
    UNKNOWN,
    Document,
    Edit,
    Form,
    Match,
    Place,
    Remedy,
    RLDoctorError,
    Role,
    Safety,
    Setting,
)

NULL: Final = ["const", "null"]
_TYPED: Final = re.compile(r"true|false|-?(?:0|[1-9]\d*)(?:\.\d+)?")
_NAME: Final = re.compile(r"[-+~\w][\w.@/-]*")
SAFETIES: Final[tuple[Safety, ...]] = ("safe", "unsafe", "manual")


class Plan(Struct, frozen=True):
    """What a rung would change: expression names with their new values, None writing the system's null.

    ``keys``, ``drop`` and ``rename`` are about settings by their own key, those of line ``at`` if it is told.
    """

    set: Mapping[str, Any]
    unset: tuple[str, ...] = ()
    rename: Mapping[str, str] | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    at: int | None = None

    @property
    def is_known(self) -> bool:
        """Say whether every new value is known."""
        return all(value is not UNKNOWN for value in self.set.values())

    @property
    def changes(self) -> dict[str, Any]:
        """Return the facts after the rung, by expression name."""
        return {**self.set, **dict.fromkeys(self.unset)}


def ladder(rule: Rule, match: Match, facts: Facts, index: Index | None = None) -> tuple[Remedy, ...]:
    """Return the remedies that are left, in the order to try them.

    With an index, a rung is offered as an edit only if it makes no configuration rule show a new error.
    """
    scope = Scope(facts, match.finding.role, match.bindings)
    keys = [piece.key for piece in match.finding.evidence if piece.key is not None]
    remedies = (_climb(rung, scope, index, keys) for rung in rule.remedies)
    return tuple(remedy for remedy in remedies if remedy is not None)


def _climb(rung: Rung, scope: Scope, index: Index | None, keys: Sequence[str]) -> Remedy | None:
    """Return what a rung offers, None where it does not apply or is spent."""
    applies = expr.evaluate(rung.when, scope) if rung.when is not None else True
    if applies is not UNKNOWN and not applies:
        return None
    plan = _plan(rung, scope)
    if plan is None:
        return None
    title = wording.fill(rung.title, scope, scope.facts)
    safety: Safety = "manual" if applies is UNKNOWN else _safety(rung, scope)
    command = wording.fill_lines(rung.command, scope, scope.facts) if rung.command else None
    if not plan.is_known:
        return Remedy(f"{title}: {_formulas(rung, plan, scope)}", safety, plan.set, command=command)
    clash = _clash(plan, scope.facts, index)
    if clash:
        said = "; ".join(_words(plan, scope.facts))
        return Remedy(f"{title}: {said} (not as an edit: {clash} would then be wrong)", safety, plan.changes)
    edits = () if applies is UNKNOWN else _offered(plan, scope.facts, keys)
    words = None if edits else "\n".join(_words(plan, scope.facts))
    title += _taken_out(title, edits)
    return Remedy(title, safety, plan.changes, edits, command or words or None)


def _taken_out(title: str, edits: Sequence[Edit]) -> str:
    """Return what a cure takes out, where it does nothing else and its title does not name that."""
    names = [found[0] for edit in edits if (found := _NAME.search(edit.old)) is not None]
    if not names or any(edit.kind != "delete" for edit in edits) or any(name in title for name in names):
        return ""
    return f": take {', '.join(dict.fromkeys(names))} out"


def _safety(rung: Rung, scope: Scope) -> Safety:
    word = rung.safety if isinstance(rung.safety, str) else expr.evaluate(rung.safety, scope)
    return next((safety for safety in SAFETIES if word is not UNKNOWN and safety == word), "unsafe")


def _plan(rung: Rung, scope: Scope) -> Plan | None:
    """Return what is to be changed, None where nothing is left or the system has no word for it."""
    values: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    for concept, node in rung.set.items():
        if concept.startswith("event."):
            keys[str(_bound(concept, scope))] = expr.evaluate(node, scope)
            continue
        name = _target(concept, scope)
        value = None if node == NULL else expr.evaluate(node, scope)
        if (value is None and node != NULL) or not _can_say(name, value, scope.facts):
            return None
        if value is UNKNOWN or scope.facts.value(name) != value:
            values[name] = value
    drop = tuple(str(_bound(name, scope)) for name in rung.unset if name.startswith("event."))
    concepts = [name for name in rung.unset if not name.startswith("event.")]
    unset = tuple(name for name in (_target(c, scope) for c in concepts) if _is_set(name, scope.facts))
    rename = {str(_bound(old, scope)): str(_bound(new, scope)) for old, new in rung.rename.items()}
    spent = (rung.set or rung.unset) and not (values or unset or keys or drop)
    return None if spent else Plan(values, unset, rename, keys, drop, scope.bindings.get("event.at"))


def _target(concept: str, scope: Scope) -> str:
    """Return the name that a rung of this role changes: the role's own where the system has a row for it."""
    role = scope.role
    if role != "policy" and wording.is_concept(concept) and scope.facts.row(concept, role) is not None:
        return f"{role}.{concept}"
    return scope.own(concept)


def _can_say(name: str, value: Any, facts: Facts) -> bool:
    if name.startswith("env.") or facts.system is None:
        return True
    row = facts.row(*wording.split(name))
    if row is None or value is UNKNOWN:
        return row is not None
    try:
        _theirs(row, name, value, facts)
    except RLDoctorError:  # the system has the setting, and no word for this value
        return False
    return True


def _is_set(name: str, facts: Facts) -> bool:
    if name.startswith("env."):
        return facts.value(name) is not None
    return facts.system is None or facts.setting(*wording.split(name)) is not None


def _bound(name: str, scope: Scope) -> Any:
    return expr.evaluate(expr.compile(name), scope)


def _formulas(rung: Rung, plan: Plan, scope: Scope) -> str:
    nodes = {_target(concept, scope): node for concept, node in rung.set.items()}
    return "; ".join(
        f"{wording.key(scope.facts, name)} = "
        + (wording.formula(nodes[name], scope.facts, scope.own) if value is UNKNOWN else wording.say(value))
        for name, value in plan.set.items()
    )


def _clash(plan: Plan, facts: Facts, index: Index | None) -> str:
    """Return the rules that would show a new error after the change."""
    if index is None or not plan.changes or facts.system is None:
        return ""
    new = errors(facts.changed(plan.changes), index) - errors(facts, index)
    return ", ".join(sorted({rule for rule, _ in new}))


def _offered(plan: Plan, facts: Facts, keys: Sequence[str]) -> tuple[Edit, ...]:
    """Return the edits of a plan; none where what stands in the file has no place for them."""
    try:
        return tuple(_edits(plan, facts, keys))
    except RLDoctorError:  # a reference where a section would be: the words alone tell what to do
        return ()


def _edits(plan: Plan, facts: Facts, keys: Sequence[str]) -> Iterator[Edit]:
    document = facts.document
    if document is None or document.kind == "log" or facts.system is None:
        return
    together: dict[str, Any] = {}
    changed = [_edit(name, value, facts, keys, together) for name, value in _spelled(plan.set, facts).items()]
    yield from dict.fromkeys(edit for edits in changed for edit in edits)
    for name in plan.unset:
        yield from _removal(name, facts)
    for old, new in (plan.rename or {}).items():
        yield from _renaming(old, new, facts, plan.at)
    for key, value in plan.keys.items():
        named = list(_named(key, facts, plan.at))
        for setting in named:
            typed = setting.form == "yaml" and isinstance(value, str) and _TYPED.fullmatch(value)
            new = json.decode(value) if typed else value
            found = sources.replace(document, setting, new) if sources.can_edit(setting) else ()
            yield from (edit for edit in found if edit.old != edit.new)
        yield from () if named else _added(key, value, facts, keys, together)
    for key in plan.drop:
        named = list(_named(key, facts, plan.at))
        for setting in named:
            yield from sources.delete(document, setting)
        yield from _section(key, facts) if not named else ()
    yield from sources.insert_all(document, together) if together else ()


def _edit(name: str, value: Any, facts: Facts, keys: Sequence[str], new: dict[str, Any]) -> tuple[Edit, ...]:
    """Return the edits that give a concept a value in the system's words; ``new`` notes what a YAML lacks."""
    document, command = facts.document, facts.command(*wording.split(name))
    if document is None or command is None:
        return ()
    if name.startswith("env."):
        return sources.set_env(document, command, name[4:], value)
    row = facts.row(*wording.split(name))
    if row is None:
        return ()
    found = facts.setting(*wording.split(name))
    if found is None:
        absent = row.type == "flag" and value is False
        form: Form = "append" if row.append or _is_closed(row, facts) else _form(facts)
        near = next((each for key in keys for each in command.settings if each.key == key), None)
        if absent or _noted(document, row.key, value, new):
            return ()
        return sources.insert(document, command, row.key, value, form, near)
    if row.type == "flag" and value is False:
        return sources.delete(document, found[1])
    return sources.replace(document, found[1], value) if sources.can_edit(found[1]) else ()


def _noted(document: Document, key: str, value: Any, new: dict[str, Any]) -> bool:
    """Say whether a new key waits for others: those under one missing parent are written together."""
    is_yaml: bool = document.kind == "yaml"
    if is_yaml:
        new[key] = value
    return is_yaml


def _added(key: str, value: Any, facts: Facts, keys: Sequence[str], new: dict[str, Any]) -> tuple[Edit, ...]:
    """Return the edits that write a key which stands nowhere yet."""
    document, command = facts.document, facts.start.command
    if document is None or command is None or _noted(document, key, value, new):
        return ()
    near = next((each for name in keys for each in command.settings if each.key == name), None)
    return sources.insert(document, command, key, value, _form(facts), near)


def _form(facts: Facts) -> Form:
    return dialects.load(str(facts.system)).form


def _is_closed(row: Row, facts: Facts) -> bool:
    """Say whether the config file below refuses a plain override of a key that it does not have."""
    below, lacks = facts.start.below, not any(each.key in row.keys for each in facts.start.below)
    return bool(below) and dialects.load(str(facts.system)).closed_config and lacks


def _removal(name: str, facts: Facts) -> tuple[Edit, ...]:
    document = facts.document
    if document is None:
        return ()
    if name.startswith("env."):
        command = facts.command(name, "policy")
        return sources.unset_env(document, command, name[4:]) if command is not None else ()
    found = facts.setting(*wording.split(name))
    return sources.delete(document, found[1]) if found is not None else ()


def _renaming(old: str, new: str, facts: Facts, at: int | None) -> Iterator[Edit]:
    """Yield the edits that give a misspelt setting its right key, its value and all else left alone."""
    document, command = facts.document, facts.start.command
    parents = [name.rpartition(".")[0] for name in (old, new)]
    named = list(_named(old.lstrip("+"), facts, at))
    header = _header(old, facts) if not named and parents[0] == parents[1] else None
    if header is not None:
        last, start, line = header
        text = f"{old.rpartition('.')[2]}:"
        replaced = f"{new.rpartition('.')[2]}:"
        yield Edit(last.file, line, start, start + len(text.encode()), "replace", text, replaced)
    for setting in named:
        place = setting.place
        if place is None or document is None:
            continue
        text = document.files[place.file][place.start : place.end].decode()
        whole = old in text
        ends = (old, new) if whole else (old.rpartition(".")[2], new.rpartition(".")[2])
        if ends[0] in text and (whole or parents[0] == parents[1]):
            renamed = text.replace(*ends, 1)
            yield Edit(place.file, place.line, place.start, place.end, "replace", text, renamed)
        elif setting.form == "yaml" and place.file == document.path and command is not None:
            yield from sources.delete(document, setting)  # it belongs into another section
            yield from sources.insert(document, command, new, setting.value, "yaml")


def _section(key: str, facts: Facts) -> Iterator[Edit]:
    """Yield the edit that takes a whole section out of a YAML file: its own line to its last setting."""
    header, document = _header(key, facts), facts.document
    if header is None or document is None:
        return
    last, name, line = header
    data = document.files[last.file]
    start, found = data.rfind(b"\n", 0, name) + 1, data.find(b"\n", last.end)
    end = len(data) if found < 0 else found + 1
    yield Edit(last.file, line, start, end, "delete", data[start:end].decode(), "")


def _header(key: str, facts: Facts) -> tuple[Place, int, int] | None:
    """Return the last setting of a section of a YAML file, and the byte and line where its name stands."""
    command, document = facts.start.command, facts.document
    inside = [s for s in (command.settings if command else ()) if s.form == "yaml" and s.place]
    places = [s.place for s in inside if s.key.startswith(f"{key}.") and s.place is not None]
    if not places or document is None:
        return None
    first, last, data = places[0], places[-1], document.files[places[0].file]
    name = re.escape(key.rpartition(".")[2].encode())
    headers = list(re.finditer(rb"(?m)^[ \t]*(" + name + rb"):[^\S\n]*(#.*)?\n", data[: first.start]))
    if not headers or last.file != first.file:
        return None
    start = headers[-1].start(1)
    return last, start, data.count(b"\n", 0, start) + 1


def _named(key: str, facts: Facts, at: int | None) -> Iterator[Setting]:
    """Yield the settings of a key that stand in a file, those of a line if it is told."""
    command, files = facts.start.command, facts.document.files if facts.document is not None else {}
    for setting in (*facts.start.below, *(command.settings if command is not None else ())):
        place = setting.place
        if setting.key == key and place is not None and place.file in files and at in (None, place.line):
            yield setting


def _spelled(values: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """Return new values in the system's words; several parts of one text change it together."""
    spelled: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    for name, value in values.items():
        row = None if name.startswith("env.") else facts.row(*wording.split(name))
        spelled[name] = value if row is None else _theirs(row, name, value, facts, texts.get(row.key))
        if row is not None and row.part is not None:
            texts[row.key] = spelled[name]
    for name in spelled:
        row = None if name.startswith("env.") else facts.row(*wording.split(name))
        if row is not None:
            spelled[name] = texts.get(row.key, spelled[name])
    return spelled


def _theirs(row: Row, name: str, value: Any, facts: Facts, text: Any = None) -> Any:
    """Return a new value in the system's words, inside the text that the key has now, or shall have."""
    was = facts.value(name)
    spoken = facts.table.setting(*wording.split(name)) if facts.table is not None else None
    if text is None and spoken is not None and spoken.state != "unknown":
        text = spoken.value
    return dialects.encode(row, value, None if was is UNKNOWN else was, text)


def _words(plan: Plan, facts: Facts) -> Iterator[str]:
    """Yield the words to add where there is no file to edit, or none that can be edited."""
    spelled = _spelled(plan.set, facts)
    yield from dict.fromkeys(word for name in spelled for word in _word(name, plan.set[name], spelled, facts))
    for name in plan.unset:
        yield f"unset {name[4:]}" if name.startswith("env.") else f"remove {wording.key(facts, name)}"
    for old, new in (plan.rename or {}).items():
        yield f"rename {old} to {new}"
    for key, value in plan.keys.items():
        yield wording.pair(key, value)
    for key in plan.drop:
        yield f"remove {key}"


def _word(name: str, value: Any, spelled: Mapping[str, Any], facts: Facts) -> Iterator[str]:
    if name.startswith("env."):
        yield f"export {name[4:]}={wording.say(value)}"
        return
    concept, role = wording.split(name)
    row = facts.row(concept, role)
    if row is not None:
        yield wording.assignment(row, spelled[name], _form(facts))
        return
    yield from _known_words(concept, role, value)


def _known_words(concept: str, role: Role, value: Any) -> Iterator[str]:
    """Yield how known systems say it, where nobody knows which one is in use."""
    said = 0
    for system in dialects.NAMES:
        dialect = dialects.load(system)
        row = wording.usual_row(system, concept, role)
        if row is None or dialect.launcher or said == wording.MOST_SPELLINGS:
            continue
        try:
            yield f"{system}: {wording.assignment(row, dialects.encode(row, value), dialect.form)}"
        except RLDoctorError:  # this system cannot say the value; the others may
            continue
        said += 1
