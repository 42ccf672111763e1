"""The reading of logs: one pass of the matcher, then what the matched lines and their surroundings say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from rldoctor.logs import (
    attempts,
    coloured,
    configs,
    detect,
    events_file,
    metrics,
    native,
    pasted,
    phases,
    shapes,
    survival,
    versions,
)
from rldoctor.logs.anatomy import NOBODY
from rldoctor.logs.boxes import START
from rldoctor.logs.configs import PrintedConfig
from rldoctor.logs.detect.sightings import Sighting, merged
from rldoctor.logs.failures import Failure
from rldoctor.logs.matchers import build
from rldoctor.logs.metrics import Steps
from rldoctor.logs.native import read_native
from rldoctor.logs.opening import LogFile, find
from rldoctor.logs.patterns import parse
from rldoctor.logs.progress import ENOUGH, Progress, follow
from rldoctor.logs.reading import LogReading, said_at
from rldoctor.logs.rereading import Text
from rldoctor.logs.scanning import scan
from rldoctor.logs.seen import Seen
from rldoctor.logs.shapes import Shape
from rldoctor.logs.tracebacks import IGNORED, assemble
from rldoctor.types import Event, LogLine

RAISED: Final = "/\\w(?:Error|Exception)(?:\\([A-Za-z]\\w*\\))?: /"
BEFORE_HEAD, AFTER_HEAD, BEFORE_RAISED, AFTER_RAISED = 20, 150, 60, 12
MOST_REGION_LINES: Final = 40_000
EXCERPT: Final = 400  # lines of a single text that is looked at whole: its traceback may lack head and end
MANY: Final = 4000
GOES_ON: Final = re.compile(
    r"(?i)\b(?:going on|go on|continuing|skipp(?:ed|ing)|ignor(?:ed|ing)|(?:re)?trying|retry|will retry"
    r"|falls? back|falling back"
    r"|(?:using|set to|defaults? to|treated as) (?:the )?(?:default|zero|none|0(?:\.0)?))\b"
)
FOR_A_PERSON: Final = re.compile(r"(?i)^\W*(?:to|please|you (?:can|may|should|must|need)|try|consider)\b")
ENDS_WELL: Final = re.compile(
    r"(?i)\W(?:retrying|skipping|ignoring|going on|continuing)(?: in [\d.]+ ?\w+)?\W*$"
)
WARNED: Final = re.compile(r"\b(?:WARNING|WARN|DEBUG)\b.{0,120}Traceback \(most recent call last\)")
GOES_ON_WITHIN: Final = 2  # lines behind an exception


def read(paths: Sequence[str], patterns: Collection[str]) -> LogReading:
    """Read logs (files, folders, ``-``) once for the patterns and for what the detectors know."""
    logs, notes = find(paths)
    told = [log for log in logs if events_file.is_events(log)]
    texts = [log for log in logs if log not in told]
    known = shapes.load()
    wanted = parse([*patterns, *own_patterns(known)])
    found = scan(texts, wanted, build(wanted), _limits(known))
    text = Text(texts, found)
    hits = {
        key: tuple(text.line_of(hit) for hit in kept.all()) for key, kept in found.kept.items() if kept.count
    }
    text.seen.clear()
    reading = _interpret(text, hits, known)
    reading = _with_events(reading, told)
    return replace(
        reading,
        subjects=tuple(log.name for log in logs),
        counts={key: kept.count for key, kept in found.kept.items()},
        notes=(*notes, *(f"{log.name}: {note}" for log in logs for note in log.notes)),
        total_lines=reading.total_lines + sum(found.lines),
        total_bytes=sum(found.sizes) + sum(log.size for log in told),
    )


def own_patterns(known: Iterable[Shape]) -> Iterator[str]:
    """Yield the patterns of the detectors, of step lines and of printed configurations."""
    yield from (
        START,
        RAISED,
        coloured.MARK,
        *attempts.PATTERNS,
        *detect.PATTERNS,
        *native.PATTERNS,
        *versions.PATTERNS,
        *survival.PATTERNS,
    )
    yield from (key for key, _ in configs.GENERIC)
    for shape in known:
        if shape.key:
            yield shape.key
        yield from (find for find, _ in shape.configs)
        yield from (match for match in shape.line_phases)


def _limits(known: Iterable[Shape]) -> dict[str, int]:
    """Return how many hits of the own patterns are kept where it is not the usual number."""
    steps = {shape.key: metrics.LIMIT for shape in known if shape.key}
    told = dict.fromkeys(versions.PATTERNS, versions.LIMIT)
    return {**steps, **told, **dict.fromkeys(detect.MANY, MANY)}


def _interpret(text: Text, hits: Mapping[str, tuple[LogLine, ...]], known: Sequence[Shape]) -> LogReading:
    """Return what the matched lines say: steps first, then exceptions, configurations and events."""
    steps = pasted.with_pasted(metrics.read_steps(known, hits), text)
    regions = _regions(text, hits)
    served = survival.served(text, hits, regions, survival.SERVED)
    refused = survival.served(text, hits, regions, survival.REFUSED)
    moves = replace(follow(steps.counts), served=served, refused=refused)
    found = survival.with_caught(_failures(text, hits))
    deaths = (line for key in detect.ENDS for line in hits.get(key, ()))
    starts = attempts.last_starts(hits, [*_ends(found), *deaths])
    main = moves.main()
    others = attempts.other_attempts((log.name for log in text.logs if log.size), main)
    jobs = attempts.after_other_jobs(hits)
    ends = (starts, jobs, attempts.launched_anew(hits, main), attempts.ended_well(hits), others)
    files = {file for told in ends for file in told}
    moves = replace(moves, restarts={file: max(told.get(file, 0) for told in ends) for file in files})
    failures = tuple(replace(failure, recovered=_is_recovered(failure, moves, text)) for failure in found)
    seen = Seen(text, hits, failures, steps.samples, moves)
    printed = configs.read_configs(
        seen, [*configs.GENERIC, *(row for shape in known for row in shape.configs)]
    )
    systems = _systems(steps, failures, printed, hits)
    rows = tuple(row for shape in known if shape.system in systems for row in shape.phases)
    failures = tuple(replace(failure, phase=phases.of_failure(failure, rows)) for failure in failures)
    told = _told_phases(hits, known, systems)
    seen = replace(seen, failures=failures, phase_rows=rows, told_phases=told)
    failures = tuple(_placed(failure, seen) for failure in failures)
    sightings = [one for _, run in detect.DETECTORS.values() for one in run(seen)]
    events = merged([*sightings, *_exceptions(failures)], seen.segment)
    named = [*systems, *versions.systems_of_frames(failures, events)]
    return LogReading(
        subjects=(),
        hits=hits,
        counts={},
        events=events,
        samples=steps.samples,
        configs=printed,
        failures=failures,
        progress=tuple(dict.fromkeys((*(sample.line for _, sample in steps.counts), *steps.shown))),
        steps=tuple(sample for _, sample in steps.counts),
        systems=tuple(dict.fromkeys(named)),
        versions=versions.read_versions(hits),
        text=text,
        moves=moves,
    )


def _ends(failures: Iterable[Failure]) -> Iterator[LogLine]:
    return (failure.line for failure in failures if not failure.ignored)


def _failures(text: Text, hits: Mapping[str, tuple[LogLine, ...]]) -> tuple[Failure, ...]:
    """Return the exceptions around the lines that give tracebacks and exceptions away."""
    found: list[Failure] = []
    for log, first, last in _regions(text, hits):
        end = text.scan.lines[log]
        found.extend(assemble(text.between(log, first, last), end if last >= end else 0))
    found.extend(read_native(text, hits))
    found.sort(key=lambda failure: (text.index[failure.line.file], failure.line.number))
    return tuple(
        replace(failure, ignored=failure.ignored or _is_passed_over(failure, text)) for failure in found
    )


def _is_passed_over(failure: Failure, text: Text) -> bool:
    """Say whether the program says right behind an exception that it goes on without."""
    last = max(failure.chain, key=lambda link: link.line.number).line
    behind = text.between(text.index[last.file], last.number + 1, last.number + GOES_ON_WITHIN)
    said = [line.text for line in behind if line.who == last.who and not line.text.startswith(IGNORED)]
    if said and WARNED.search(text.whole(failure.start)):
        return True  # whoever logs it as a warning has caught it, and speaks on
    told = (text for text in said if not FOR_A_PERSON.search(text))
    return ENDS_WELL.search(last.text) is not None or any(GOES_ON.search(text) for text in told)


def _is_recovered(failure: Failure, moves: Progress, text: Text) -> bool:
    """Say whether the run went on; for an exception told without a stack one step is enough."""
    time = said_at(failure.line, text, moves) if failure.time is None else failure.time
    return moves.went_on(failure.line, time, enough=ENOUGH if failure.frames else 1)


def _regions(text: Text, hits: Mapping[str, tuple[LogLine, ...]]) -> list[tuple[int, int, int]]:
    """Return log, first and last line of the stretches to read again; of too many those at the ends."""
    spans = [
        (text.index[line.file], max(1, line.number - BEFORE_HEAD), line.number + AFTER_HEAD)
        for line in hits.get(START, ())
    ]
    spans += [
        (text.index[line.file], max(1, line.number - BEFORE_RAISED), line.number + AFTER_RAISED)
        for line in hits.get(RAISED, ())
    ]
    if len(text.logs) == 1 and text.scan.lines[0] <= EXCERPT:
        spans = [(0, 1, text.scan.lines[0])]
    regions: list[tuple[int, int, int]] = []
    for log, first, last in sorted(spans):
        if regions and regions[-1][0] == log and first <= regions[-1][2] + 1:
            regions[-1] = (log, regions[-1][1], max(last, regions[-1][2]))
        else:
            regions.append((log, first, last))
    return _bounded(regions)


def _bounded(regions: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    kept: list[tuple[int, int, int]] = []
    left, front, back = MOST_REGION_LINES, 0, len(regions) - 1
    while front <= back and left > 0:
        for at in dict.fromkeys((back, front)):
            kept.append(regions[at])
            left -= regions[at][2] - regions[at][1] + 1
        front, back = front + 1, back - 1
    return sorted(kept)


def _placed(failure: Failure, seen: Seen) -> Failure:
    """Return a failure with its phase, by its stack or by the last line that told one."""
    return failure if failure.phase else replace(failure, phase=seen.phase(failure.line))


def _exceptions(failures: Iterable[Failure]) -> Iterator[Sighting]:
    """Yield a sighting of each exception that was not ignored; the same one on many ranks has one key."""
    for failure in failures:
        if failure.ignored:
            continue
        fields: dict[str, object] = {
            "type": failure.exception,
            "message": failure.message,
            "phase": failure.phase,
        }
        place = failure.user_frame or next(iter(failure.frames[-1:]), None)
        if place is not None:
            fields["frames"] = [str(frame) for frame in failure.frames]
            fields["frame"] = str(place)
        told = {name: value for name, value in fields.items() if value is not None}
        lines = tuple(dict.fromkeys(link.line for link in failure.chain))
        spread = () if failure.who == NOBODY else (failure.who,)
        event = Event("exception", told, failure.who, failure.time, failure.phase, lines, spread)
        what = re.sub(r"\d+", "0", failure.message.partition("\n")[0][:200])
        yield Sighting(event, (failure.exception, what, str(place)))


def _told_phases(
    hits: Mapping[str, tuple[LogLine, ...]], known: Iterable[Shape], systems: Collection[str]
) -> tuple[tuple[LogLine, str], ...]:
    """Return the lines (not frames of stacks) that tell a phase of the systems at hand, in order."""
    told = [
        (line, phase)
        for shape in known
        if shape.system in systems
        for key, phase in shape.line_phases.items()
        for line in hits.get(key, ())
        if not line.text.lstrip().startswith(('File "', "#"))
    ]
    return tuple(sorted(told, key=lambda pair: (pair[0].file, pair[0].number)))


def _systems(
    steps: Steps,
    failures: Iterable[Failure],
    printed: Sequence[PrintedConfig],
    hits: Mapping[str, tuple[LogLine, ...]],
) -> tuple[str, ...]:
    actors = {line.who.actor for lines in hits.values() for line in lines}
    frames = versions.systems_of_frames(failures, (), (actor for actor in actors if actor))
    return tuple(dict.fromkeys((*configs.systems_of(printed), *steps.systems, *frames)))


def _with_events(reading: LogReading, files: Sequence[LogFile]) -> LogReading:
    """Add what files of events tell."""
    for file in files:
        events, samples, lines = events_file.read_events(file)
        steps = tuple(sample for sample in samples if sample.metric == "step")
        counts = [*((series, sample) for series, moved in reading.moves.moves.items() for sample in moved)]
        counts += [((file.name, "trainer_core", "step"), sample) for sample in steps]
        beside = configs.beside(file.name)
        reading = replace(
            reading,
            configs=(*reading.configs, *((beside,) if beside else ())),
            events=(*reading.events, *events),
            samples=(*reading.samples, *(sample for sample in samples if sample.metric != "step")),
            steps=(*reading.steps, *steps),
            progress=(*reading.progress, *(sample.line for sample in steps)),
            systems=tuple(dict.fromkeys(("trainer_core", *reading.systems))),
            total_lines=reading.total_lines + lines,
            moves=replace(reading.moves, moves=follow(counts).moves),
        )
    return reading
