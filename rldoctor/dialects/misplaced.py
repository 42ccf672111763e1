"""One mistake that makes strangers of many keys: what chooses their group stands elsewhere, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor.dialects import grammar, suggest
from rldoctor.types import Command, Event, LogLine, Setting

MANY: Final = 4  # unknown keys from which one mistake may be behind them all
FEW: Final = 1  # unknown keys from which another template may be meant
TRIED: Final = 3
NAME: Final = "--config-name"
FOLLOWING: Final = ("unknown_key", "missing_reference")
BACKEND: Final = "runtime_args.train_backend"
TEMPLATES: Final = ["grpo_fsdp.yaml", "grpo_megatron.yaml"]
Read = Callable[[Command], Sequence[Event]]


def without_followers(
    command: Command, found: Sequence[Event], read: Read, others: Callable[[], Sequence[str]]
) -> tuple[Event, ...]:
    """Return the events of a command; where one mistake explains most of them, that one and what is left.

    ``others`` gives the configurations that may be launched instead.
    """
    unknown = _unknown(found)
    template = _other_template(command, read) if len(unknown) > FEW else None
    if template is not None:
        return (template, *(each for each in found if each.kind not in FOLLOWING))
    if len(unknown) < MANY:
        return tuple(found)
    meant = [event for event in unknown if event.fields.get("nearest")]
    for event in meant[:TRIED]:
        left = read(_renamed(command, event.fields["written"], event.fields["nearest"]))
        if 2 * len(_unknown(left)) <= len(unknown):
            return (event, *left)
    return _of_another(command, found, read, others)


def configs(system: str, newest: str, command: Command, below: Sequence[Setting]) -> Sequence[str]:
    """Return the configurations that a command may name, those whose keys are known."""
    from rldoctor import dialects

    names = (dialects.load(system).hydra or {}).get("known", ())
    launched = ((name, launching(command, name)) for name in names)
    return [name for name, other in launched if grammar.of(system, newest, other, below) is not None]


def misnamed(
    system: str, releases: Sequence[str], command: Command, below: Sequence[Setting]
) -> Iterator[Event]:
    """Yield the name of a configuration that is only a slip away from one that there is."""
    if system == "chatlearn":
        yield from _mistyped_template(command, releases[-1])
    if system != "verl":
        return
    from rldoctor.dialects.verl import grammar as verls

    found = [verls.misnamed(each, command, below) for each in releases]
    if not found or any(each is None for each in found) or found[-1] is None:
        return
    named, names = found[-1]
    stem = str(named.value).removesuffix(".yaml")
    near = suggest.word(stem, names)
    if near is None or suggest.distance(stem, near) > suggest.TYPO or named.place is None:
        return
    about = {"key": named.key, "written": named.key, "value": stem, "nearest": near, "choices": names}
    fields = {**about, "system": system, "release": releases[-1], "root": "", "certain": True}
    line = LogLine(named.place.file, named.place.line, "")
    yield Event("unknown_choice", {**fields, "consequence": "refused"}, lines=(line,))


def _mistyped_template(command: Command, release: str) -> Iterator[Event]:
    """Yield the name of one of ChatLearn's templates with a slip in it."""
    named = next((each for each in command.settings if each.key == "--config-file"), None)
    if named is None or named.state == "unknown" or named.place is None:
        return
    folder, _, name = str(named.value).rpartition("/")
    near = suggest.word(name, TEMPLATES)
    if name in TEMPLATES or near is None or suggest.distance(name, near) > suggest.TYPO:
        return
    yield _template(named, f"{folder}/{near}" if folder else near, release)


def _other_template(command: Command, read: Read) -> Event | None:
    """Return that the template of the other back end is meant, where that one knows all keys."""
    named = next((each for each in command.settings if each.key == "--config-file"), None)
    folder, _, name = str(named.value if named is not None else "").rpartition("/")
    if named is None or named.place is None or name not in TEMPLATES:
        return None
    other = TEMPLATES[1 - TEMPLATES.index(name)]
    backend = Setting(BACKEND, other.removeprefix("grpo_").removesuffix(".yaml"), "override")
    own = {setting.key for setting in command.settings}
    left = read(replace(command, settings=(*command.settings, backend)))
    if any(event.fields["key"] in own for event in _unknown(left)):
        return None
    return _template(named, f"{folder}/{other}" if folder else other, "")


def _template(named: Setting, meant: str, release: str) -> Event:
    about = {"key": named.key, "written": named.key, "value": str(named.value), "nearest": meant}
    fields = {**about, "choices": TEMPLATES, "system": "chatlearn", "release": release, "root": ""}
    line = LogLine(named.place.file, named.place.line, "") if named.place is not None else None
    lines = (line,) if line is not None else ()
    return Event("unknown_choice", {**fields, "certain": True, "consequence": "refused"}, lines=lines)


def _of_another(
    command: Command, found: Sequence[Event], read: Read, others: Callable[[], Sequence[str]]
) -> tuple[Event, ...]:
    """Return that another configuration is meant, where it knows most of what this one does not."""
    unknown = _unknown(found)
    if any(setting.key in (NAME, "-cn") for setting in command.settings):
        return tuple(found)
    tried = ((name, read(launching(command, name))) for name in others())
    name, left = min(tried, key=lambda each: len(_unknown(each[1])), default=("", found))
    known = len(unknown) - len(_unknown(left))
    if 2 * known < len(unknown):
        return tuple(found)
    fields = {**unknown[0].fields, "config": name, "count": known}
    return (replace(unknown[0], kind="other_configuration", fields=fields), *left)


def _unknown(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.kind == "unknown_key"]


def _renamed(command: Command, old: str, new: str) -> Command:
    settings = tuple(replace(each, key=new) if each.key == old else each for each in command.settings)
    return replace(command, settings=settings)


def launching(command: Command, name: str) -> Command:
    """Return a command as it were with another configuration."""
    return replace(command, settings=(Setting(NAME, name, "flag"), *command.settings))
