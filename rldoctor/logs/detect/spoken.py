"""What a person says of a run's numbers beside the log they paste: rewards that sink, a KL that grows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Final

from msgspec.structs import replace

from rldoctor.logs.detect.sightings import Sighting, sighting
from rldoctor.logs.pasted import WHOLE, end_of
from rldoctor.logs.persons import words_beside
from rldoctor.logs.seen import Seen
from rldoctor.types import LogLine, Sample

MOST_LOGS: Final = 4
ABOUT: Final = (
    r"(?ia)(?P<reward>(?<![a-z])(?:rewards?|scores?|accurac(?:y|ies)|acc"
    r"|(?:eval(?:uation)?|validation|test)[ _](?:results?|performance))\b|奖励|得分|准确率)"
    r"|(?P<kl>(?<![a-z])kl(?![a-z])|散度)"
    r"|(?P<loss>(?<!kl )(?<!value )(?<!entropy )(?<![a-z_/])(?:train/)?loss(?:es)?\b"
    r"|(?:train|training|lm)_loss\b|损失)"
    r"|(?P<entropy>\bentropy\b|熵)"
    r"|(?P<length>\b(?:response|completion|output|answer|generation)s?[ _]len(?:gths?)?\b"
    r"|\blengths? of (?:the )?(?:responses?|answers?|completions?|outputs?)\b"
    r"|(?:回复|回答|输出|响应|生成).{0,3}长度|\bclip(?:ped)?[ _]?ratio\b)"
    r"|(?P<memory>\b(?:memory|ram|vram)\b|显存|内存)"
    r"|(?P<grad>\bgrad(?:ient)?s?[ _]?norms?\b|\bgradients?\b|梯度)"
)
WAY: Final = (
    r"(?ia)(?P<zero>(?:\b(?:always|all|only|stays?|stayed|remain\w*|constant\w*|still|are|is|was|keeps?)\b|=|为|都是|一直是?)"
    r".{0,24}?(?:\bzeros?\b|(?<![\d.])0(?:\.0+)?(?![\d.]*[\d%]| ?(?:and|or|to|-)\b))|为零|\bzero\s*$)"
    r"|(?P<flat>(?:\bnot|n't|n’t|\bnever|\bhardly|\bbarely|\bno longer|\bstop(?:s|ped)?)\b.{0,16}?"
    r"\b(?:(?:increas|improv|chang|converg|decreas|learn|ris|go)\w*(?: up| down)?"
    r"|get(?:ting)? (?:any )?(?:low|lower|down|better)\b)"
    r"|\bstay(?:s|ed)?\b.{0,12}(?:\ball the time|\bthe same|\bconstant)"
    r"|\b(?:always|remains?) (?:the same|constant)\b"
    r"|\bplateau\w*|\bstagnat\w*|不(?!断|停|仅).{0,3}(?:上升|收敛|下降|变|涨|增长|提升)|没有?.{0,3}(?:上升|提升|变化|下降|收敛))"
    r"|(?P<down>\b(?:decreas|drop|declin|fall|fell|collaps|degrad|deteriorat|sink|shrink|vanish)\w*"
    r"|\bgo(?:es|ing)? down|\b(?:worse|lower|smaller|shorter)\b"
    r"|\b(?:too|very|so|extremely|abnormally|unusually) (?:low|small|short)\b"
    r"|\b(?:fluctuat|oscillat|unstable)\w*"
    r"|\b(?:is|are|was|stay(?:s|ed)?|remain(?:s|ed)?|still) (?:too |very |so |quite )?low\b"
    r"|越.{0,4}[短低小差]|下降|降低|降到|降为|骤降|震荡|崩|变差|变短|暴跌)"
    r"|(?P<up>\b(?:increas|grow|grew|explo[ds]|ris(?:es|ing)|rose|spik|surg|diverg(?!ence)|blow|blew|soar|jump|leak|skyrocket)\w*"
    r"|\bgo(?:es|ing)? up|\bhuge\b|\b(?:bigger|larger|higher|longer)\b"
    r"|\b(?:too|very|so|extremely|abnormally|exceptional(?:ly)?|unusually|unexpectedly|ridiculously)"
    r" (?:high|large|big|long)\b"
    r"|越.{0,4}[长大高]|[特非异][别常]的?[大高长]|巨大|增长|增加|升高|上涨|上升|爆炸|增大|飙升|突增|骤增|激增|暴涨|过大|过高|很大|偏大|太大|很高|变长|发散)"
)
CLAUSE: Final = r"[.。!?！？;；]\s|[。！？；，](?!但|然后)|, (?!but|then|however)"
RUIN: Final = (
    r"(?ia)\b(?:training|experiment|run|policy|model)s?\b[^.,;?!]{0,24}\b(?:collaps\w+|explo[ds]\w*|diverg(?:es|ed|ing))"
    r"|\b(?:training|policy|model) collapse\b|\bsudden (?:drop|decline|collapse)\b"
    r"|\b(?:drops?|collapses?|collapsed) (?:after|at|around|from) (?:about |around )?"
    r"(?:step|epoch|iteration)s?\b"
    r"|(?:训练|模型).{0,6}(?:崩|发散)"
)  # of the whole run
GARBLED: Final = (
    r"(?i)\b(?:gibberish|garbled|nonsensical|(?:token|word)[- ](?:soup|salad))\b"
    r"|\b(?:generat|output|answer|respon|rollout|repl)\w*\W.{0,60}?(?:\bgarbage\b|\bnonsense\b|!{3})"
    r"|\b(?:garbage|nonsense) (?:output|text|token|answer|response)s?\b"
    r"|乱码|(?:全是|都是|只.{0,4}输出|不停.{0,6}(?:生成|重复)).{0,4}(?:感叹号|!!|！！)"
)  # what an engine answers, not its numbers
PASSING: Final = r"(?i)\b(?:at|in|on) some steps\b|\boccasional|\bsometimes\b|偶尔|个别"
TURN: Final = r"(?i)\b(?:but|then|until|however)\b|但|然后"  # what follows counts, not what was
DENIED: Final = r"(?i)(?:n['’]t|\bnot|\bnever)\b(?: \w+){0,2} $"
ASIDE: Final = r"\([^()]{0,40}\)"
ALL: Final = (
    r"(?ia)(?:\b(?:always|stays?(?: at)?|is|are|remains?)|=|为|是)\W{0,3}(?:1(?:\.0+)?|100 ?%)(?![\d.]*\d)"
)
AFTER: Final = 60
BEFORE: Final = 24
BAD: Final[Mapping[str, frozenset[str]]] = {
    "reward": frozenset({"down", "flat", "zero"}),
    "loss": frozenset({"up", "flat"}),
    "kl": frozenset({"up"}),
    "entropy": frozenset({"up", "down"}),
    "length": frozenset({"up", "down"}),
    "grad": frozenset({"up"}),
    "memory": frozenset({"up"}),
}
OF_RL: Final = frozenset({"reward_mean", "response_length"})  # its loss may begin at 0 and rise
REINFORCED: Final = r"(?i)grpo|ppo|rlhf|reinforce|reward|奖励|强化"
SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "output": (),
    "memory": ("host_memory", "memory_reserved", "memory_allocated"),
    "reward": ("reward_mean",),
    "loss": ("loss", "policy_loss"),
    "kl": ("ref_kl", "sequence_kl", "kl"),
    "entropy": ("entropy",),
    "length": ("response_length", "response_clip_ratio"),
    "grad": ("grad_norm",),
}


def detect(seen: Seen) -> Iterator[Sighting]:
    """Yield what a person complains of, with the lines that show it; a failure says more than they do."""
    if any(not (failure.ignored or failure.recovered) for failure in seen.failures):
        return
    for log, name in enumerate(log.name for log in seen.text.logs[:MOST_LOGS]):
        if seen.text.scan.lines[log] > WHOLE:
            continue
        samples = [sample for sample in seen.samples if sample.line.file == name]
        rl = any(sample.metric in OF_RL for sample in samples)
        words = list(words_beside(list(end_of(seen.text, log))))
        told_of_rl = any(re.search(REINFORCED, line.text) for line in words)
        for (about, way), (line, *others) in _heard(words).items():
            shown = _shown(about, samples)
            if about != "loss" or (not rl and (shown or (way == "up" and not told_of_rl))):
                yield complaint(line, {"about": about, "way": way}, shown or others[:2])


def _heard(words: Sequence[LogLine]) -> dict[tuple[str, str], list[LogLine]]:
    """Return what a person complains of, each with the sentences that say so."""
    told: dict[tuple[str, str], list[LogLine]] = {}
    for line in words:
        for what in () if re.search(PASSING, line.text) else complaints(line.text):
            told.setdefault(what, []).append(line)
        if re.search(GARBLED, line.text):
            told.setdefault(("output", "garbled"), []).append(line)
    ruined = [line for line in words if re.search(RUIN, line.text)]
    return {("reward", "down"): ruined} if not told and ruined else told


def complaints(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a sentence says of the numbers of a run that is bad for them."""
    found = list(re.finditer(ABOUT, text))
    for here, after in zip_longest(found, found[1:]):
        about = here.lastgroup or ""
        end = min(here.end() + AFTER, after.start() if after is not None else len(text))
        clause = re.compile(CLAUSE).split(re.sub(ASIDE, "", text[here.end() : end]), maxsplit=1)[0]
        before = text[max(0, here.start() - BEFORE) : here.start()]
        cut = here[0].lower().endswith("ratio") and re.search(ALL, clause) is not None  # of all answers
        way = "up" if cut else _way(clause, before)
        if way in BAD[about]:
            yield about, way


def _way(after: str, before: str) -> str:
    """Return which way something goes by the words behind its name, else by those before it."""
    turn = re.search(TURN, after)
    way = (re.compile(WAY).search(after, turn.end()) if turn is not None else None) or re.search(WAY, after)
    if way is None:
        way = re.search(WAY, before)
        return (
            ""
            if way is None or (way.lastgroup == "zero" and way.end() < len(before))
            else way.lastgroup or ""
        )
    return "flat" if way.lastgroup == "up" and re.search(DENIED, before) else way.lastgroup or ""


def _shown(about: str, samples: Sequence[Sample]) -> tuple[LogLine, ...]:
    """Return the last and the first line that show what a person speaks of."""
    lines = [sample.line for sample in samples if sample.metric in SHOWN[about]]
    return (lines[-1], lines[0]) if lines else ()


def complaint(line: LogLine, fields: dict[str, object], shown: Sequence[LogLine]) -> Sighting:
    """Return a sighting that shows a line and others that belong to it."""
    one = sighting("complaint", line, fields, (line.file, fields["about"], fields["way"]))
    return replace(one, event=replace(one.event, lines=tuple(dict.fromkeys((line, *shown)))))
