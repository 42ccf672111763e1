"""The nouns of a system's table, and their plain form that JSON can store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from rldoctor import expr
from rldoctor.types import Form, Role

ROW_KEYS: Final = (
    "concept",
    "role",
    "key",
    "aliases",
    "when",
    "type",
    "enum",
    "scale",
    "negate",
    "default",
    "defaults",
    "since",
    "until",
    "hot",
    "env",
    "append",
    "part",
)


class Row(Struct, frozen=True):
    """How a system spells one concept for one role; ``enum`` holds pairs (theirs, ours).

    ``append`` marks a key that the system's own config does not have: a new override is ``+key=value``.
    ``part`` names a part of the value where one text says several things: ``module:name`` of the
    functions ``read(name, text)`` and ``write(name, text, value)``.
    """

    concept: str
    key: str
    type: str
    role: Role = "policy"
    aliases: tuple[str, ...] = ()
    when: expr.Node | None = None
    enum: tuple[tuple[Any, Any], ...] = ()
    scale: float | None = None
    negate: bool = False
    default: Any = None
    defaults: tuple[tuple[str, Any], ...] = ()
    since: str | None = None
    until: str | None = None
    hot: bool = False
    env: bool = False
    append: bool = False
    part: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the key and its other spellings."""
        return (self.key, *self.aliases)


class Embed(Struct, frozen=True):
    """Another system's table that is spoken in the same command, its keys behind a prefix."""

    system: str
    prefix: str = ""


class Other(Struct, frozen=True):
    """Programs of a system whose configuration is another one, with the rows that count for them alone."""

    programs: tuple[str, ...]
    rows: tuple[Row, ...]


class Dialect(Struct, frozen=True):
    """One system's table. ``launcher`` marks programs that start others and train nothing themselves.

    ``closed_config``: an override of a key that the config file lacks is ``+key=value``.
    ``config_flags`` name a config file below the command's own words, and ``config_required`` says what
    becomes of a launch without one (``why``, ``fate``, ``where``); ``hydra`` says which flags give
    Hydra's ``path`` and ``name`` of it, and which names the system itself has (``known``). ``computed``
    and ``refusals`` are the modules with its own formulas and with what no row of limits can say.
    ``others`` are its programs that have a table of their own.
    """

    system: str
    rows: tuple[Row, ...]
    programs: tuple[str, ...] = ()
    signature: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    form: Form = "override"
    embeds: tuple[Embed, ...] = ()
    environment: str = "export"
    launcher: bool = False
    closed_config: bool = False
    config_flags: tuple[str, ...] = ()
    config_required: Mapping[str, str] = field(default_factory=dict)
    hydra: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, expr.Node] = field(default_factory=dict)
    upstream: Mapping[str, Any] = field(default_factory=dict)
    computed: str | None = None
    refusals: str | None = None
    others: tuple[Other, ...] = ()

    def of(self, program: str) -> Dialect:
        """Return the table as a program of the system speaks it."""
        own = next((each for each in self.others if _starts(each.programs, program)), None)
        return self if own is None else replace(self, rows=own.rows)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Dialect:
        """Return the dialect of a plain dict that ``as_json`` made."""
        rows = tuple(_row_from_json(row) for row in data["rows"])
        embeds = tuple(Embed(**embed) for embed in data["embeds"])
        others = tuple(
            Other(tuple(each["programs"]), tuple(_row_from_json(row) for row in each["rows"]))
            for each in data["others"]
        )
        words: dict[str, Any] = {key: tuple(data[key]) for key in _WORDS}
        plain: dict[str, Any] = {key: data[key] for key in _PLAIN}
        return Dialect(rows=rows, embeds=embeds, others=others, **words, **plain)


_WORDS: Final = ("programs", "signature", "releases", "config_flags")
_LOOKED_UP: Final = ("config_required", "hydra", "roles", "upstream", "computed", "refusals")
_PLAIN: Final = ("system", "form", "environment", "launcher", "closed_config", *_LOOKED_UP)


def as_json(dialect: Dialect) -> dict[str, Any]:
    """Return a plain dict of a dialect, its rows without what is at its default."""
    plain = {key: getattr(dialect, key) for key in _PLAIN}
    words = {key: list(getattr(dialect, key)) for key in _WORDS}
    rows = [_row_as_json(row) for row in dialect.rows]
    others = [
        {"programs": list(each.programs), "rows": [_row_as_json(row) for row in each.rows]}
        for each in dialect.others
    ]
    embeds = [to_builtins(embed) for embed in dialect.embeds]
    return {**plain, **words, "embeds": embeds, "rows": rows, "others": others}


def _starts(programs: tuple[str, ...], program: str) -> bool:
    return any(re.fullmatch(pattern, program) for pattern in programs)


def embedded(dialect: Dialect, others: Mapping[str, Dialect]) -> Dialect:
    """Return a dialect with the rows of those it embeds after its own, their keys behind their prefix.

    Releases of another system say nothing here: its rows come as of its newest release.
    """
    rows = list(dialect.rows)
    for embed in dialect.embeds:
        rows += [_behind(embed.prefix, row) for row in others[embed.system].rows if row.until is None]
    return replace(dialect, rows=tuple(rows))


def _behind(prefix: str, row: Row) -> Row:
    newest = row.defaults[-1][1] if row.defaults else row.default
    if row.env:
        return replace(row, default=newest, defaults=(), since=None)
    keys = [_prefixed(prefix, key) for key in row.keys]
    return replace(row, key=keys[0], aliases=tuple(keys[1:]), default=newest, defaults=(), since=None)


def _prefixed(prefix: str, key: str) -> str:
    if not prefix:
        return key
    bare = key.lstrip("-")
    return prefix + (bare if prefix.startswith("-") else bare.replace("-", "_"))


_FRESH: Final = Row("", "", "")


def _row_as_json(row: Row) -> dict[str, Any]:
    return {
        name: getattr(row, name)
        for name in ("concept", "key", "type", *_OPTIONAL)
        if name not in _OPTIONAL or getattr(row, name) != getattr(_FRESH, name)
    }


_OPTIONAL: Final = tuple(name for name in ROW_KEYS if name not in ("concept", "key", "type"))


def _row_from_json(data: dict[str, Any]) -> Row:
    for name in ("aliases", "enum", "defaults"):
        if name in data:
            data[name] = tuple(tuple(item) if name != "aliases" else item for item in data[name])
    return Row(**data)
