"""Settings that a system does not understand as they are written, as events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from rldoctor.dialects import catalogue, grammar, misplaced, misvalued, nearby, related, release, suggest
from rldoctor.dialects.catalogue import Known
from rldoctor.dialects.launch import Launch
from rldoctor.dialects.reading import FEW, Reading
from rldoctor.types import Command, Event, Setting

_OLDER: Final = ("renamed_key", "removed_key")


def strange(launch: Launch) -> tuple[Event, ...]:
    """Return what a system would not understand of a command; nothing where nobody can tell."""
    if not catalogue.has(launch.system):
        return ()
    releases = catalogue.load(launch.system).nearby(launch.version)
    if release.is_before(launch.system, launch.version) and not launch.below:
        return ()

    def read(command: Command) -> tuple[Event, ...]:
        return _in_releases(replace(launch, command=command), releases)

    others = partial(misplaced.configs, launch.system, releases[-1], launch.command, launch.below)
    found = misplaced.without_followers(launch.command, read(launch.command), read, others)
    return (
        *found,
        *_leftovers(launch, found),
        *misplaced.misnamed(launch.system, releases, launch.command, launch.below),
    )


def _in_releases(launch: Launch, releases: Sequence[str]) -> tuple[Event, ...]:
    built = [grammar.of(launch.system, each, launch.command, launch.below) for each in releases]
    grammars = [(each, one) for each, one in zip(releases, built, strict=True) if one is not None]
    if not grammars:
        return ()
    return tuple(_events(Reading(launch, *grammars[-1], [one for _, one in grammars])))


def _leftovers(launch: Launch, found: Sequence[Event]) -> Iterator[Event]:
    """Yield the one key that the newest release does not have, where it alone speaks for an older one."""
    if launch.sure:
        return
    newest = release.leftover(launch.system, launch.version, launch.command, launch.below)
    seen = {event.fields["written"] for event in found}
    for event in _in_releases(launch, (newest,)) if newest is not None else ():
        fields = event.fields
        if fields["written"] in seen or not (event.kind in _OLDER or fields.get("absent")):
            continue
        patch = release.is_next_patch(launch.system, str(newest), launch.version)
        same = patch or fields["consequence"] == "ignored" or (event.kind == _OLDER[1] and fields.get("why"))
        fate = fields["consequence"] if same else "unclear"
        yield replace(event, fields={**fields, "certain": False, "guessed": True, "consequence": fate})


def _events(reading: Reading) -> Iterator[Event]:
    """Yield what is strange, in the order of the file."""
    yield from related.twice_in_yaml(reading)
    yield from related.twice(reading, reading.grammar.settings)
    for setting in {s.key: s for s in (*reading.grammar.base, *reading.grammar.settings)}.values():
        if not reading.grammar.is_exempt(setting.key):
            yield from _of(reading, setting)
    yield from related.references(reading)


def _of(reading: Reading, setting: Setting) -> Iterator[Event]:
    known = reading.known(setting.key)
    if setting.form == "append":
        yield from _appended(reading, setting, known)
    elif known is None and not reading.is_open(setting.key):
        yield from _unknown(reading, setting)
    elif known is None or not reading.is_present(setting):
        about = {"nearest": f"+{setting.key}", "typo": True, "consequence": "refused", "absent": True}
        yield reading.event("unknown_key", setting, **about)
    elif setting.state != "unknown" and misvalued.is_judged(reading):
        yield from misvalued.misvalued(reading, setting, known)


def _unknown(reading: Reading, setting: Setting) -> Iterator[Event]:
    key = _whole(reading, setting)
    if key in reading.told:
        return
    if key != setting.key:
        reading.told.add(key)
    if nearby.holds(reading.nearby_keys, key):
        return
    row = suggest.renamed(key, reading.catalogue.renames) if reading.grammar.parts else None
    offered = [name for name in (row.new if row is not None else ()) if reading.known(name)]
    new = next((name for name in offered if name not in reading.given), next(iter(offered), None))
    since, until = reading.lifetime(key)
    near = suggest.Suggestion(new) if new else _nearest(reading, key, setting)
    kind = "renamed_key" if new is not None else "removed_key" if until or row is not None else "unknown_key"
    fate = _fate(reading, key, kind, near)
    if fate is None:
        return
    yield reading.event(
        kind,
        setting,
        nearest=near.key if near is not None else None,
        typo=near.typo if near is not None else False,
        taken=near is not None and near.key in reading.given,
        since=since,
        until=until,
        why=row.why or None if row is not None else None,
        elsewhere=reading.elsewhere(key),
        consequence=fate,
        certain=reading.launch.sure or not (since or until),
        **({"key": key, "written": key, "value": None} if key != setting.key else {}),
    )


def _whole(reading: Reading, setting: Setting) -> str:
    """Return the key of a setting of YAML, or the section around it that is unknown as a whole."""
    if setting.form != "yaml":
        return setting.key
    parts = setting.key.split(".")
    above = (".".join(parts[:end]) for end in range(1, len(parts)))
    return next((name for name in above if reading.known(name) is None), setting.key)


def _fate(reading: Reading, key: str, kind: str, near: suggest.Suggestion | None) -> str | None:
    """Return what becomes of an unknown key; None where it may well be a key of somebody's own."""
    top = reading.grammar.open_top and "." not in key
    if top and kind != "unknown_key" and release.is_extended(reading.catalogue, reading.grammar.settings):
        return "unclear"
    if reading.grammar.open_top and kind == "unknown_key" and reading.known(key.partition(".")[0]) is None:
        slip = top and near is not None and near.typo and not reading.has_section(near.key)
        return "refused" if slip else "unclear"
    if kind == "unknown_key" and reading.is_fork:
        meant = near is not None and near.typo
        return {"hydra": "refused"}.get(reading.grammar.manner, reading.grammar.fate) if meant else "unclear"
    nobodys = reading.grammar.manner == "argparse" and not reading.launch.command.program
    slip = near is not None and (near.typo or (nobodys and reading.strangers <= FEW))
    if reading.grammar.fate == "unclear" and not slip and kind != "renamed_key":
        return None
    few = reading.strangers <= FEW or (near is not None and suggest.distance(key, near.key) == 1)
    mistyped = slip and reading.grammar.manner == "hydra" and few
    return "refused" if nobodys or (mistyped and kind == "unknown_key") else reading.grammar.fate


def _nearest(reading: Reading, key: str, setting: Setting) -> suggest.Suggestion | None:
    if key != setting.key:
        return suggest.section(key, reading.keys, reading.given)
    from rldoctor.dialects import synonyms  # where a key is unknown

    free = synonyms.nearest(reading.launch.system, key, reading.keys, reading.given)
    said = sorted(name for name in reading.given if reading.known(name) is not None)
    again = suggest.nearest(key, said) if free is None and key.startswith("-") else None
    return again if again is not None and again.typo else free


def _appended(reading: Reading, setting: Setting, known: Known | None) -> Iterator[Event]:
    """Yield a key that is added with a plus though the configuration has it: Hydra refuses that."""
    plus = reading.launch.text(setting).lstrip("'\"")
    plain = str(setting.value)[:1] not in "[{" and plus.startswith("+") and not plus.startswith("++")
    present = reading.grammar.present
    there = setting.key in present if present is not None else known is not None and known.default is not None
    section = known is not None and known.kind in (catalogue.SECTION, "list")
    refused = there and not section and plain and reading.grammar.fate != "unclear"
    if refused and (present is not None or not reading.tree_lacks(setting.key)):
        yield reading.event(
            "duplicate_key",
            setting,
            written=f"+{setting.key}",
            nearest=setting.key,
            consequence="refused",
            appended=True,
            certain=reading.launch.sure
            or reading.catalogue.mask(setting.key, reading.catalogue.roots)
            == sum(reading.catalogue.bits.values()),
        )
