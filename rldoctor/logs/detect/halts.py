"""What a person says of a halt: that nothing moves, at which line, and in which part of a step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from rldoctor.logs.persons import is_printed
from rldoctor.types import LogLine

SAID_TO: Final = (
    r"(?i)(?<![a-z])(?:stuck|stucks|stucked|hangs?|hung|hanged|hanging|freezes|frozen|froze|deadlock(?:s|ed)?)(?![a-z]"
    r"| (?:up\b|detect|check|monitor|time-?out|modules?\b|param|layer|weight|backbone|base|model|embed))"
    r"|\bstops? (?:here|there|responding)|\bno (?:further|more|other) (?:output|response|logs?|progress)\b"
    r"|\bno (?:progress|output|response|logs?) (?:for|after|since|at all|any ?more)\b|\bunresponsive\b"
    r"|\bnothing (?:more |else )?happen(?:s|ed)\b|\bno (?:further |more )?updates?\b(?! (?:to|of|for)\b)"
    r"|\bstock(?:ed)? (?:at|in|on) (?:this|here|that)\b"
    r"|\b(?:gets?|got|is|was) (?:struck|stock|stack)\b(?! (?:by|in a|on top))"
    r"|\b(?:does|did)(?:n't| not) (?:proceed|continue|move|progress|respond|go on)"
    r"|\b(?:is|are)(?:n't| not) (?:moving|progressing|proceeding|responding)"
    r"|\bnever (?:finish|return|progress|proceed|complet)\w*"
    r"|\b(?:wait|block|loop|run)\w* (?:here )?(?:forever|indefinitely)"
    r"|\b(?:remains?|stays?|sits?) (?:idle|there)\b|\b(?:infinite|endless) loop\b"
    r"|陷入.{0,12}循环|死循环|死锁|假死|夯住"
    r"|卡[住死在了]|不动|停在|停住|停留在|停滞|挂起|没有?反应|无响应|没有?输出|没有?进展|不再?(?:打印|输出)"
    r"|无法继续|一直(?:在)?等"
)  # in a person's own words, which stand among the lines that were pasted
IN_CHINESE: Final = r"[\u4e00-\u9fff]{4}"
STAMPED: Final = r"\d\d:\d\d:\d\d|\d%\||\b(?:INFO|DEBUG|WARN(?:ING)?|ERROR)\b|pid=\d|\w\.py\b"
HALTS: Final = r"(?<![a-z])(?:stuck|hangs?|hung|hanging|freezes|stops?|deadlocks?)(?![a-z]).{0,30}?"
NEVER: Final = "(?!)"
OF_PHASE: Final = tuple(
    (
        what,
        f"(?i){HALTS}{names}|{names}.{{0,16}}?{HALTS}|卡[在住].{{0,8}}?(?:{chinese})|{printed}",
    )
    for what, names, chinese, printed in (
        ("rollout", r"\b(?:rollouts?|generat\w+|sampling)\b", "推理|生成|采样", NEVER),
        (
            "sync",
            r"\b(?:weights? (?:sync|update|transfer)|(?:updat|sync)\w* (?:the )?weights?)",
            "同步|权重",
            "update_weights|init_weights_update_group",
        ),
        (
            "saving",
            r"\b(?:sav(?:e|es|ing)|checkpointing|save_checkpoint)\b",
            "保存|存储",
            r"\bsaving\b.{0,40}(?:checkpoint|ckpt|model)|local_global_step_folder|about to be saved",
        ),
        ("data", r"\b(?:data ?loader|pre-?process\w*|tokeniz\w+|loading (?:the )?data)", "数据", NEVER),
    )
)  # where a person says that it stands
PHASE_OF: Final[Mapping[str, str]] = {"saving": "checkpoint"}  # else it is called as what is under way
QUOTED: Final = r"[\"'`“”‘’「]{1,3}([^\"'`“”‘’「」]{6,200})[\"'`“”‘’」]{1,3}"
LONGEST_SENTENCE: Final = 400  # characters in which a person says so


def is_said_to_stand(text: str) -> bool:
    """Say whether a line is a person's sentence that nothing moves; a Chinese one may quote a value."""
    printed = re.search(STAMPED, text) is not None if re.search(IN_CHINESE, text) else is_printed(text)
    return len(text) <= LONGEST_SENTENCE and re.search(SAID_TO, text) is not None and not printed


def named(words: Sequence[LogLine], said: Sequence[LogLine]) -> LogLine | None:
    """Return the newest line that a person's words quote as the one at which it stands."""
    halts = (
        (line.text, found.end()) for line in words if (found := re.search(SAID_TO, line.text)) is not None
    )
    quotes = [
        _plain(found[1].strip(" .…>"))
        for text, end in halts
        for found in re.compile(QUOTED).finditer(text, end)
    ]
    lines = (line for line in reversed(said) if any(quote in _plain(line.text) for quote in quotes))
    return next(lines, None)


def _plain(text: str) -> str:
    return " ".join(text.split())


def named_phase(lines: Sequence[LogLine]) -> tuple[str, str | None]:
    """Return what a person calls what stands, or the last line does, and its phase."""
    what = next(
        (one for one, shape in OF_PHASE if any(re.search(shape, line.text) for line in lines)), "silence"
    )
    return what, None if what == "silence" else PHASE_OF.get(what, what)
