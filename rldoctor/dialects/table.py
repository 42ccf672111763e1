"""Reading a system's table strictly: a file with mistakes is refused with all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rldoctor import expr, vocabulary
from rldoctor.dialects.rows import ROW_KEYS, Dialect, Embed, Other, Row
from rldoctor.types import ROLES, RLDoctorError

ROW_TYPES: Final = ("int", "float", "bool", "str", "enum", "list", "path", "flag", "dict")
DIALECT_KEYS: Final = (
    "system",
    "upstream",
    "releases",
    "programs",
    "signature",
    "form",
    "embeds",
    "environment",
    "launcher",
    "closed_config",
    "config_flags",
    "config_required",
    "hydra",
    "roles",
    "rows",
    "others",
)
FORMS: Final = ("override", "flag", "yaml", "json")
ENVIRONMENTS: Final = ("export", "runtime_env")
NAMES_OF_ROWS: Final = ("system",)


class DialectErrors(RLDoctorError):
    """All mistakes of a dialect's table at once."""


def read(path: Path) -> Dialect:
    """Return the dialect of a ``keys.yaml``, or raise DialectErrors with all its mistakes."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except yaml.YAMLError as error:
        raise DialectErrors(f"not YAML: {error}", file=str(path)) from error
    return parse(raw, str(path))


def parse(raw: Mapping[str, Any], path: str) -> Dialect:
    """Return the dialect that a file's content gives, or raise DialectErrors with all its mistakes."""
    mistakes = list(_mistakes(raw))
    if mistakes:
        raise DialectErrors("\n".join(_placed(mistakes, path)), file=path)
    return Dialect(
        system=raw["system"],
        rows=tuple(_row(row, raw["system"]) for row in raw["rows"]),
        programs=tuple(raw.get("programs", ())),
        signature=tuple(raw.get("signature", ())),
        releases=tuple(str(release) for release in raw.get("releases", ())),
        form=raw.get("form", "override"),
        embeds=tuple(Embed(**embed) for embed in raw.get("embeds", ())),
        environment=raw.get("environment", "export"),
        launcher=raw.get("launcher", False),
        closed_config=raw.get("closed_config", False),
        config_flags=tuple(raw.get("config_flags", ())),
        config_required=raw.get("config_required", {}),
        hydra=raw.get("hydra", {}),
        roles={role: expr.compile(str(text)) for role, text in raw.get("roles", {}).items()},
        upstream=raw.get("upstream", {}),
        computed=_module(raw["system"], "computed", path),
        refusals=_module(raw["system"], "refusals", path),
        others=tuple(_other(each, raw["system"]) for each in raw.get("others", ())),
    )


def _other(raw: Mapping[str, Any], system: str) -> Other:
    return Other(tuple(raw["programs"]), tuple(_row(row, system) for row in raw["rows"]))


def _module(system: str, name: str, path: str) -> str | None:
    return f"rldoctor.dialects.{system}.{name}" if Path(path).with_name(f"{name}.py").is_file() else None


def _row(raw: Mapping[str, Any], system: str) -> Row:
    enum = tuple((_theirs(theirs), ours) for theirs, ours in raw.get("enum", {}).items())
    defaults = sorted(
        ((str(release), value) for release, value in raw.get("defaults", {}).items()),
        key=lambda pair: expr.version_key(pair[0]),
    )
    return Row(
        concept=raw["concept"],
        key=raw["key"],
        type=raw["type"],
        role=raw.get("role", "policy"),
        aliases=tuple(raw.get("aliases", ())),
        when=expr.compile(str(raw["when"])) if "when" in raw else None,
        enum=enum,
        scale=raw.get("scale"),
        negate=raw.get("negate", False),
        default=raw.get("default"),
        defaults=tuple(defaults),
        since=_release(raw.get("since")),
        until=_release(raw.get("until")),
        hot=raw.get("hot", False),
        env=raw.get("env", False),
        append=raw.get("append", False),
        part=_part(raw.get("part"), system),
    )


def _part(name: Any, system: str) -> str | None:
    return None if name is None else f"rldoctor.dialects.{system}.parts:{name}"


def _theirs(word: Any) -> Any:
    return word if isinstance(word, bool) or word is None else str(word)


def _release(value: Any) -> str | None:
    return None if value is None else str(value)


def _mistakes(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield mistakes, each with a text that stands on the line it is about."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("system"), str):
        yield "system:", "a table names its system"
        return
    yield from _head_mistakes(raw)
    rows = raw.get("rows")
    if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
        yield "rows:", "rows is a list of rows"
        return
    others = raw.get("others", ())
    if not all(isinstance(each, Mapping) and set(each) == {"programs", "rows"} for each in others):
        yield "others:", "each of others says programs and rows"
        return
    for row in (*rows, *(row for each in others for row in each["rows"])):
        where = f"key: {row['key']}" if "key" in row else str(row.get("concept", "rows:"))
        yield from ((where, f"{row.get('concept')}: {mistake}") for mistake in _row_mistakes(row, raw))


def _head_mistakes(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in raw:
        if key not in DIALECT_KEYS:
            yield f"{key}:", vocabulary.unknown_word("key", str(key), DIALECT_KEYS)
    for key, allowed in (("form", FORMS), ("environment", ENVIRONMENTS)):
        if key in raw and raw[key] not in allowed:
            yield f"{key}:", f"{key} is one of {', '.join(allowed)}"
    if "config_required" in raw and set(raw["config_required"]) != {"why", "fate", "where"}:
        yield "config_required:", "config_required says why, fate and where"
    if raw.get("hydra") and set(raw["hydra"]) != {"path", "name", "known"}:
        yield "hydra:", "hydra says path, name and known"
    others = (name for each in raw.get("others", ()) for name in each.get("programs", ()))
    for program in (*raw.get("programs", ()), *others):
        if not _compiles(program):
            yield str(program), f"not a regular expression: {program}"
    for role, text in raw.get("roles", {}).items():
        yield from ((f"{role}:", mistake) for mistake in _condition_mistakes(str(text)))


def _row_mistakes(row: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[str]:
    concepts = vocabulary.load().concepts
    yield from (vocabulary.unknown_word("key", str(key), ROW_KEYS) for key in row if key not in ROW_KEYS)
    yield from (f"{key} is missing" for key in ("concept", "key", "type") if key not in row)
    if "concept" in row and row["concept"] not in concepts:
        yield vocabulary.unknown_word("concept", str(row["concept"]), concepts)
    if row.get("role", "policy") not in ROLES:
        yield vocabulary.unknown_word("role", str(row["role"]), ROLES)
    if "type" in row and row["type"] not in ROW_TYPES:
        yield vocabulary.unknown_word("type", str(row["type"]), ROW_TYPES)
    if "when" in row:
        yield from _condition_mistakes(str(row["when"]))
    yield from _enum_mistakes(row, concepts.get(str(row.get("concept"))))
    releases = [str(release) for release in raw.get("releases", ())]
    for bound in (row.get("since"), row.get("until"), *row.get("defaults", {})):
        if bound is not None and str(bound) not in releases:
            yield f"{bound} is none of the releases"
    if "scale" in row and row.get("type") not in ("int", "float"):
        yield "scale belongs to a number"


def _enum_mistakes(row: Mapping[str, Any], concept: vocabulary.Concept | None) -> Iterator[str]:
    if row.get("type") == "enum" and not row.get("enum"):
        yield "an enum says theirs: ours"
    if concept is None or concept.type != "enum":
        return
    if "enum" not in row and row.get("type") != "flag":
        yield f"{concept.id} is an enum: say theirs: ours"
    for ours in row.get("enum", {}).values():
        if ours is not None and ours not in concept.choices:
            yield vocabulary.unknown_word("choice", str(ours), concept.choices)


def _condition_mistakes(text: str) -> Iterator[str]:
    try:
        node = expr.compile(text)
    except expr.ExprError as error:
        yield f"{text}: {error.message} (column {error.column})"
        return
    concepts = vocabulary.load().concepts
    for name in expr.names(node):
        bare = name.split(".", 1)[1] if name.split(".")[0] in ROLES else name
        if bare not in concepts and name not in NAMES_OF_ROWS and not name.startswith(("env.", "version.")):
            yield vocabulary.unknown_word("concept", name, concepts)
    yield from (f"no function {name} in a row" for name in expr.functions(node))


def _compiles(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except (re.error, TypeError):
        return False
    return True


def _placed(mistakes: Sequence[tuple[str, str]], path: str) -> list[str]:
    """Return the mistakes with the line that holds their text, in the order of the lines."""
    file = Path(path)
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    placed = []
    for text, mistake in mistakes:
        number = next((i for i, line in enumerate(lines, 1) if text in line), 0)
        placed.append((number, f"line {number}: {mistake}" if number else mistake))
    return [message for _, message in sorted(placed)]
