"""The condition that a line of code or a message demands, and which way to turn what to make it true."""

from __future__ import annotations

import re
from typing import Final, Literal

from msgspec import Struct

Relation = Literal[
    "divisible",
    "at most",
    "at least",
    "equal",
    "given",
    "needs",
    "off",
    "one",
    "refused",
    "unexpected",
    "value",
]

_MUST: Final = r"\b(?:must|should|needs?|ha[sv]e?|ought|required|expect(?:ed|s)?|make sure .{1,60}\bis)\b"
_MUST_NOT: Final = r"\b(?:cannot|can't|can not|must not|should not|may not|not|no)(?: be)?"
_MORE: Final = r"\b(?:larger|greater|longer|bigger|higher|more|exceed(?:s|ed|ing)?|above|over|beyond)\b"
_LESS: Final = r"\b(?:smaller|less|lower|shorter|fewer|below|under)\b"
_SET: Final = r"(?:set|specif(?:y|ied)|provided?|given|defined)\b"
_QUOTED: Final = r"[`'\"]{1,2}[\w.-]{1,40}[`'\"]{1,2}"
_POSITIVE: Final = rf"{_MUST}(?!.{{0,12}}\b(?:not|n't)\b).{{0,30}}"
_MESSAGES: Final[tuple[tuple[Relation, str], ...]] = (
    ("unexpected", r"\b(?:unexpected|invalid) (?:keyword |init )?(?:argument|kwargs?)\b"),
    (
        "one",
        r"\bboth\b[^.;]{0,80}?\b(?:configured|set|specified|given|provided|enabled|used)\b"
        r"|\bmutually exclusive\b|\bat the same time\b|\bsimultaneously\b|\b(?:only|exactly) one of\b"
        r"|\bused together\b",
    ),
    (
        "value",
        rf"(?:{_MUST}(?: always)?(?: to)? be(?: set to)?|\bcan only be|\bother (?:value )?than"
        rf"|\bonly supports?) (?P<value>True|False|None|\d+(?:\.\d+)?(?![\w.])|{_QUOTED})"
        r"(?! or\b)",
    ),
    (
        "value",
        r"\b(?:must|should|needs?|requires?|please|make sure|only (?:supports?|works? with))\b"
        r"(?: be| set| use| have| that)? [`'\"]?[\w.-]+[`'\"]? ?={1,2} ?[`'\"]?"
        rf"(?P<value>True|False|None|\d+(?:\.\d+)?(?![\w.])|{_QUOTED})",
    ),
    ("divisible", r"\bdivisible\b|\bmultiples? of\b|\bevenly\b|\bdivides?\b| % [\w.]+ *(?:!=|==|is not)"),
    ("at least", rf"{_MUST_NOT} {_LESS}|{_POSITIVE}(?:{_MORE}|>=?)|\bat least\b"),
    ("at most", rf"{_MUST_NOT} {_MORE}|{_POSITIVE}(?:{_LESS}|<=?)|\bat most\b"),
    ("at most", rf"{_MORE}(?: than)?| > |\btoo (?:large|long|big|high|many)\b"),
    ("at least", rf"{_LESS} than\b|\bnot enough\b| < |\btoo (?:small|short|low|few)\b"),
    (
        "equal",
        r"\b(?:must|should) (?:be )?(?:equal|match|identical|the same)\b|!=|\bmismatch"
        r"|n(?:o|')t (?:equal|match)\b",
    ),
    (
        "given",
        rf"\b(?:must|should|need\w*|has to|please) .{{0,40}}\b{_SET}|\bnot (?:be )?{_SET}|\bmissing\b"
        rf"|\bis None\b|\b(?:is|are) required\b|{_MUST_NOT} (?:None|empty)\b",
    ),
    ("needs", r"\brequires?\b|\bneeds\b|\bdepends on\b"),
    (
        "refused",
        r"(?i)\b(?:un|not )supported\b|\bunknown\b|\b(?:not |in)valid\b|\b(?:un|not )recogni[sz]ed\b"
        r"|\b(?:in|not )compatible\b|\bnot (?:implemented|allowed)\b|\bonly supports?\b"
        r"|\b(?:must|should) be (?:one of|either|in)\b"
        r"|n(?:o|')t (?:be used|support|work|use|enable)\b",
    ),
)
_CODES: Final[tuple[tuple[Relation, str], ...]] = (
    ("divisible", r"%.{1,120}?==\s*0\b|\bdivisible\b"),
    ("at most", r"<=?"),
    ("at least", r">=?"),
    ("value", rf"(?:==|\bis) *(?P<value>True|False|None|-?\d+(?:\.\d+)?\b|{_QUOTED})"),
    ("equal", r"=="),
    ("given", r"\bis not None\b|^assert [\w.]+[,\\ ]*$"),
    ("off", r"^assert not [\w.]+[,\\ ]*$"),
    ("refused", r"\bin\b|\bnot\b|!="),
)  # fmt: skip
_BARE: Final = r"[\w.()\[\] *+-]{1,120}%[\w.()\[\] *+-]{1,120}== *0,?"  # on a line of its own
_WHEN: Final = r"\b(?:when|if|whenever|in case)\b"
_STRICT: Final = rf"{_MORE}|{_LESS}|[<>]"
_OR_EQUAL: Final = r"=|\bequal\b|\bexceed|\bcannot|\bnot\b"
_CAME_OUT: Final = r"(?:\b(?:got|is|was|to)|[=:]) ?\(?-\d"


class Demand(Struct, frozen=True):
    """What is demanded, and where in the text the sign of it stands."""

    relation: Relation
    start: int
    end: int
    value: str = ""


def of_message(message: str) -> Demand | None:
    """Return what a message demands, None where it tells no condition, or only what a count came out as."""
    if re.search(_CAME_OUT, message):
        return None
    found = _first(message, _MESSAGES)
    when = condition(message)
    if found is None or found.relation not in ("at most", "at least") or not 0 < when < found.start:
        return found
    return _first(message[:when], _MESSAGES) or found  # "needs a, if b > 1" is about a


def condition(text: str, start: int = 0) -> int:
    """Return where a text begins to say when its demand holds, -1 where it does not."""
    found = re.compile(_WHEN).search(text, start)
    return found.start() if found else -1


def of_code(code: str) -> Demand | None:
    """Return what an assertion demands; its own words for the case that it fails are not looked at."""
    if not code.startswith("assert") and not re.fullmatch(_BARE, code):
        return None
    condition = re.split(r"\)?,\s*[fr]*[\"'(]", code, maxsplit=1)[0]
    return _first(condition, _CODES)


def _first(text: str, rows: tuple[tuple[Relation, str], ...]) -> Demand | None:
    for relation, pattern in rows:
        found = re.search(pattern, text)
        if found is not None:
            value = found["value"].strip("`'\"") if relation == "value" else ""
            return Demand(relation, *found.span(), value)
    return None


def bound(text: str, demand: Demand) -> str:
    """Return the number behind a comparison, as what to lower or raise to."""
    if demand.relation not in ("at least", "at most"):
        return ""
    found = re.match(r"[^.;\d]{0,60}?\(?(-?\d{1,12}(?:\.\d{1,9})?)\b(?!\w)", text[demand.end :])
    if found is None:
        return ""
    said = text[demand.start : demand.end + found.start(1)]
    strict = re.search(_STRICT, said) is not None and re.search(_OR_EQUAL, said) is None
    how = {"at least": "more than", "at most": "less than"}[demand.relation] if strict else demand.relation
    return f" to {how} {found[1]}"


def multiples(number: float, of: float) -> tuple[int, ...]:
    """Return the multiples on both sides of a number that is none; nothing where that is no question."""
    if not (0 < of <= 1e9 and 0 < number <= 1e12) or number % 1 or of % 1 or number % of == 0:
        return ()
    below = int(number // of * of)
    return tuple(each for each in (below, below + int(of)) if each)
