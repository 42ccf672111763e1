"""Runs that are slow: where a person says so beside the log, and engines that crawl whatever is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Final

from rldoctor.logs.detect.sightings import Sighting
from rldoctor.logs.detect.spoken import complaint
from rldoctor.logs.pasted import WHOLE, end_of
from rldoctor.logs.persons import words_beside
from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine, Sample

MOST_LOGS: Final = 4
SLOW: Final = (
    r"(?ia)\bslow(?:er|ly|ness)?\b|\btakes? (?:too|very|so|extremely) (?:long|much time)"
    r"|\b(?:training|step|total) time of \d|\btakes (?:about |around |over )?\d+ ?(?:hours|days|h\b)"
    r"|\b(?:very|too) long time\b|\bbottleneck|\bdominat(?:es|ed|ing)\b|\blow(?:er)? (?:speed|throughput)\b"
    r"|\b(?:speed|throughput)\b.{0,40}\blow(?:er)?\b|慢|耗时|时间.{0,6}长|效率.{0,3}低|吞吐.{0,6}低"
)
VERY: Final = (
    r"(?ia)\b(?:very|extremely|too|so|much|really|unusually|abnormally) slow|\bslower than|\btoo long"
    r"|\bextremely low|(?:很|太|非常|极其|特别|异常)慢"
)  # what counts without any number beside it
WORDS: Final = (
    r"(?ia)(?P<rollout>rollout|generat|inference|sampling|vllm|sglang|推理|生成|采样)"
    r"|(?P<reward>reward|scor|judge|打分|奖励)|(?P<sync>weight (?:sync|update)|sync\w* weights)"
    r"|(?P<checkpoint>\bsav(?:e|ing)\b|checkpoint|保存)|(?P<train>train|updat|backward|训练|更新)"
)
QUOTED: Final = r"`[^`]{0,120}`"
NEAR: Final = 60  # characters between a phase and what is said of it
PHASES: Final[Mapping[str, str]] = {
    "rollout_time": "rollout",
    "train_time": "train",
    "logprob_time": "train.logprob",
    "ref_time": "train.logprob",
    "reward_time": "reward",
    "sync_time": "sync",
    "save_time": "checkpoint",
    "data_time": "data",
}
ENGINE: Final = r"generation throughput: (?P<made>[\d.]+) tokens/s, Running: (?P<running>\d+) reqs?"
CRAWL: Final = 3.0  # tokens a second in all, below which an engine with requests only crawls
LASTING: Final = 3  # states in a row
BAR: Final = r"\b\d{1,9}/\d{1,9} \[[^\]]{1,40}?, *(?P<seconds>\d{2,6}(?:\.\d+)?)s/it"
LONG: Final = 30.0  # seconds a step, from which on a bar shows what a person calls slow
LAME: Final[Mapping[str, float]] = {
    "save_time": 1800.0,
    "sync_time": 600.0,
    "reward_time": 1800.0,
    "data_time": 600.0,
}  # seconds of a part of a step that is no work of its own, from which on it is slow whoever looks at it
OF_RL: Final = frozenset({"reward_mean", "response_length"})


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield that a run is slow, with the phase that takes the time; a failure says more."""
    if any(not (failure.ignored or failure.recovered) for failure in seen.failures):
        return
    for log, name in enumerate(log.name for log in seen.text.logs[:MOST_LOGS]):
        lines = list(end_of(seen.text, log))
        engine = [(line, found) for line in lines if (found := re.search(ENGINE, line.text)) is not None]
        short = seen.text.scan.lines[log] <= WHOLE
        said = [line for line in words_beside(lines) if re.search(SLOW, line.text)] if short else []
        if said:
            samples = [sample for sample in seen.samples if sample.line.file == name]
            timed = _timed(said[0], samples) or _told(said, [line for line, _ in engine])
            yield from timed or _of_bar(said[0], samples, lines)
        elif lame := _lame(sample for sample in seen.samples if sample.line.file == name):
            yield lame
        elif _crawls(engine):
            yield complaint(engine[-1][0], _slow("rollout") | {"seen": True}, (engine[-LASTING][0],))


def _slow(phase: str) -> dict[str, object]:
    return {"about": "speed", "way": "slow", "phase": phase}


def _timed(said: LogLine, samples: Sequence[Sample]) -> list[Sighting]:
    """Return the phase that takes most of the last timed step."""
    timed = [sample for sample in samples if sample.metric in PHASES and sample.value is not None]
    if not timed:
        return []
    last = [sample for sample in timed if sample.step == timed[-1].step]
    most = max(last, key=lambda sample: sample.value or 0.0)
    whole = sum({sample.metric: sample.value or 0.0 for sample in last}.values())
    share = {"share": round((most.value or 0.0) / max(whole, 1e-9), 2)} if len(last) > 1 else {}
    return [complaint(most.line, _slow(PHASES[most.metric]) | share, (said,))]


def _told(said: Sequence[LogLine], engine: Sequence[LogLine]) -> list[Sighting]:
    """Return what is slow by the states of an engine, else by a person's words alone."""
    if engine:
        return [complaint(engine[-1], _slow("rollout"), (engine[0], said[0]))]
    for line in said:
        phase = _phase(line.text)
        if phase is not None and re.search(VERY, line.text):
            return [complaint(line, _slow(phase), ())]
    return []


def _lame(samples: Iterable[Sample]) -> Sighting | None:
    """Return the part that takes far too long and most of a step, if the newest step that has it shows it."""
    steps: dict[int | None, dict[str, Sample]] = {}
    for sample in samples:
        if sample.metric in PHASES and sample.value is not None:
            steps.setdefault(sample.step, {})[sample.metric] = sample
    newest = {metric: told for told in steps.values() for metric in told}
    for metric, told in newest.items():
        value = told[metric].value or 0.0
        share = value / sum(sample.value or 0.0 for sample in told.values())
        if value >= LAME.get(metric, inf) and share > 0.5:
            fields = _slow(PHASES[metric]) | {"share": round(share, 2), "seen": True}
            return complaint(told[metric].line, fields, ())
    return None


def _of_bar(said: LogLine, samples: Sequence[Sample], lines: Sequence[LogLine]) -> list[Sighting]:
    """Return the last bar whose steps take long; of reinforcement learning it is most often the sampling."""
    bars = [line for line in lines if (bar := re.search(BAR, line.text)) and float(bar["seconds"]) >= LONG]
    phase = "rollout" if any(sample.metric in OF_RL for sample in samples) else "train"
    return [complaint(bars[-1], _slow(phase), (said,))] if bars else []


def _phase(text: str) -> str | None:
    """Return the phase that a sentence calls slow: the one named last before that word, else the next."""
    bare = re.sub(QUOTED, "", text)
    slow = re.search(SLOW, bare)
    if slow is None:
        return None
    before = list(re.compile(WORDS).finditer(bare, max(0, slow.start() - NEAR), slow.start()))
    found = before[-1] if before else re.compile(WORDS).search(bare, slow.end(), slow.end() + NEAR)
    return found.lastgroup if found is not None else None


def _crawls(engine: Sequence[tuple[LogLine, re.Match[str]]]) -> bool:
    """Say whether an engine with requests makes next to nothing of them to the end."""
    last = [(float(found["made"]), int(found["running"])) for _, found in engine[-LASTING:]]
    return len(last) == LASTING and all(0 < made < CRAWL and running > 0 for made, running in last)
