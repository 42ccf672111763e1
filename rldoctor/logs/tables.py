"""How people paste numbers: tables, columns of names and values, dictionaries cut into lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final

from rldoctor import vocabulary
from rldoctor.logs import shapes

BARS: Final = re.compile(r"[|│┃║]|â”‚|â”ƒ")  # the last two: UTF-8 read as a code page
RULE: Final = re.compile(r"[\s|│┃║+=:─━┄╌┼╋├┤┝┥┣┫┡┩┠┨╞╡┬┴┳┻╇╈┏┓┗┛┌┐└┘╭╮╰╯-]+")
WORDS: Final = re.compile(
    r"(?i)loss|rew|grad|norm|kl\b|kl_|entrop|adv|clip|leng?t?h?\b|scor|retu|ratio|frac|step|iterat|iter\b"
    r"|epoch|episode|update|\blr\b|learning|diff|trunc|value|ppl|perplexity|\bnll|log lik"
    r"|logps|(?:samples|examples|images)/sec|timing|timeperf|_time\b"
)
STEP: Final = frozenset(
    {"step", "steps", "global_step", "train_step", "iteration", "iter", "update", "_step", "current_steps"}
)
WEAKER: Final = frozenset({"epoch", "episode", "training_step", "rollout_id"})
NUMBER: Final = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+\.?\d*(?:[eE][-+]?\d{1,3})?|\.\d+|nan|inf(?:inity)?)"
)
VALUE: Final = re.compile(rf"(?i)(?P<number>{NUMBER})(?P<unit>\s?%|\s?[kMG]\b)?(?:\s?[A-Za-z/]{{1,12}})?")
WRAP: Final = r"(?:(?:np\.\w{1,12}|tensor|array|Decimal)\(\[?)?"
PAIR: Final = re.compile(
    r"(?i)(?<![\w/.%-])(?P<key>[A-Za-z][\w/@.()-]{0,80}(?: /? ?[A-Za-z(][A-Za-z_/().]{0,40}){0,4})"
    rf"['\"*`]{{0,3}} {{0,3}}[:=] {{0,24}}['\"*`]{{0,3}}{WRAP}(?P<value>{NUMBER})(?![\w/-]|:\S)(?P<unit> ?%)?"
)
BESIDE: Final = re.compile(
    r"(?i)(?:wandb: )?\s*(?:[-*•|│] )?(?P<key>[A-Za-z][\w/@.()-]{0,80}) {1,80}"
    rf"(?P<value>{NUMBER})(?P<unit>%)?\s*"
)
SPACED: Final = re.compile(
    rf"(?i)(?<![\w/.%-])(?P<key>[A-Za-z][\w/@.-]{{0,60}}) (?P<value>{NUMBER})(?=[\s,;|)]|$)"
)
GROUPED: Final = re.compile(
    rf"(?i)(?<![\w/])(?P<name>[A-Za-z][\w/]{{0,40}}): {{0,3}}(?=(?:mean|avg|std|min|max)[=:] ?{NUMBER})"
)
PART: Final = re.compile(rf"(?i)(?P<part>mean|avg|std|min|max)[=:] ?(?P<value>{NUMBER})(?:,? {{1,3}}|$)")
IN_CELL: Final = re.compile(rf"(?i)(?P<key>[A-Za-z][\w/.-]{{0,60}}) (?P<value>{NUMBER})")
RATE: Final = re.compile(rf"(?i)(?<![\w.])(?P<value>{NUMBER}) ?(?:samples|examples|images)/sec\b")
COUNTED: Final = re.compile(
    r"(?i)\b(?:iteration|iter|step|epoch|episode|update|batch)s? ?[#:\[=]? ?(\d{1,9}) ?/ ?\d{1,9}\b"
)
BAR_STEP: Final = re.compile(r"\b(\d{1,9})/\d{1,9} \[\d")
LISTED: Final = re.compile(
    r"(?i)\s{0,20}(?P<key>[A-Za-z][\w/@.-]{0,80})\s{0,8}[:=]\s{0,8}"
    rf"\[(?P<steps>(?:\(\d{{1,9}}, ?{NUMBER}\),? ?){{2,400}})\]?\s*"
)
LISTED_STEP: Final = re.compile(rf"(?i)\((\d{{1,9}}), ?({NUMBER})\)")
OF_LOSS: Final = re.compile(r"(?i)grad(?:ient)?s?_?norm|loss(?!_?(?:mask|scale|weight|coe?f))")
UNITS: Final[Mapping[str, float]] = {"%": 0.01, "k": 1e3, "M": 1e6, "G": 1e9}
SECTION: Final = re.compile(
    r"(?P<indent> {0,40})['\"]?(?P<name>[A-Za-z][\w/.-]{0,60})['\"]?\s{0,3}:\s{0,3}\{?\s{0,3}"
)
INSIDE: Final = re.compile(
    rf"(?i)(?P<indent> {{1,40}})['\"]?[A-Za-z][\w/.-]{{0,60}}['\"]?\s{{0,3}}:\s{{0,3}}(?:{NUMBER}),?\s{{0,3}}"
)
NESTED: Final = '": {'
MOST_CELLS: Final = 120
LONGEST: Final = 6000  # characters of a line that are looked at

QUALIFIED: Final = re.compile(
    r"(?:average|avg|avr|mean|step|batch|training|train|running|smooth(?:ed)?|current|cur|global|iter|epoch"
    r"|model)_"
    r"(?P<before>.+)|(?P<after>.+)_(?:mean|avg|average|step|epoch|value|unscaled)"
)
QUALIFIABLE: Final = frozenset({"loss", "policy_loss", "value_loss", "grad_norm"})

Known = tuple[str, float]


@cache
def names() -> Mapping[str, Known]:
    """Return the metric of each name that any system gives it, with the scale; the first system counts."""
    known: dict[str, Known] = {}
    for shape in shapes.load():
        for key, metric in shape.keys.items():
            known.setdefault(plain(key), metric)
    for row in vocabulary.load().metrics.values():
        for name in row.named:
            known.setdefault(plain(name), (row.id, 1.0))
    return known


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """Return a name as all spellings of it have in common."""
    bare = re.sub(r"\s*/\s*", "/", name.strip(" '\"*`:").lower())
    return re.sub(r"[ -]+", "_", bare)


@lru_cache(maxsize=4096)
def metric_of(name: str) -> Known | None:
    """Return the metric that a name means; of words before it any number may be left out."""
    known, bare = names(), plain(name)
    found = known.get(bare) or known.get(bare.removeprefix("train/")) or _qualified(bare)
    if found is not None or " " not in name.strip():
        return found
    return metric_of(name.strip().split(" ", 1)[1].lstrip("/ "))


def metric_of_value(name: str, value: float) -> Known | None:
    """Return the metric that a name means; NaN is one of losses or gradients whatever these are called."""
    known = metric_of(name)
    found = OF_LOSS.search(name) if known is None and value != value else None
    if found is None:
        return known
    return ("grad_norm", 1.0) if found[0].lower().startswith("grad") else ("loss", 1.0)


def listed(text: str) -> tuple[Known, list[tuple[int, float]]] | None:
    """Return the metric of a line that lists its steps and values, as readers of event files do."""
    found = LISTED.fullmatch(text[:LONGEST]) if "[(" in text else None
    known = metric_of(found["key"]) if found else None
    if found is None or known is None:
        return None
    return known, [(int(step), float(value)) for step, value in LISTED_STEP.findall(found["steps"])]


def _qualified(bare: str) -> Known | None:
    """Return the loss or norm that a name means which says how it was averaged."""
    for _ in range(2):
        found = QUALIFIED.fullmatch(bare)
        if found is None:
            return None
        bare = found["before"] or found["after"]
        known = names().get(bare)
        if known is not None:
            return known if known[0] in QUALIFIABLE else None
    return None


def number(text: str) -> float | None:
    """Return the number of a cell, a share where it is a percentage; None if it is none."""
    found = VALUE.fullmatch(text.strip(" '\"*`"))
    if found is None:
        return None
    value = shapes.number(found["number"].replace(",", ""))
    return None if value is None else value * UNITS.get((found["unit"] or "").strip(), 1.0)


def cells(text: str) -> list[str]:
    """Return the cells of a table's row: between bars, tabs, commas, wide gaps, else words."""
    bare = text.strip()
    if BARS.search(bare):
        found = BARS.sub("|", bare).strip("|").split("|", MOST_CELLS)
    elif "\t" in bare:
        found = bare.split("\t", MOST_CELLS)
    elif bare.count(",") > 1 and not re.search(r"[:='\"{}\[\]]", bare):
        found = bare.split(",", MOST_CELLS)
    elif "  " in bare:
        found = re.split(r" {2,}", bare, maxsplit=MOST_CELLS)
    else:
        found = re.sub(r"(?i)\b(training|validation) loss\b", "\\1_loss", bare).replace(" / ", "/").split()
    return [cell.strip() for cell in found[:MOST_CELLS]]


def may_tell(text: str) -> bool:
    """Say whether a line has a word that some name of a metric or a counter has; most lines have none."""
    return WORDS.search(text, 0, LONGEST) is not None


def is_rule(text: str) -> bool:
    """Say whether a line only draws the border of a table, or is empty."""
    return RULE.fullmatch(text) is not None if text.strip() else True


def header(row: Sequence[str]) -> tuple[int, dict[int, Known]] | None:
    """Return the column of the steps and those of metrics, if a row names them."""
    if len(row) < 2 or any(len(cell) > 90 or number(cell.strip("{}[](),")) is not None for cell in row):
        return None
    words = [plain(cell) for cell in row]
    step = next((at for kind in (STEP, WEAKER) for at, word in enumerate(words) if word in kind), None)
    if step is None:
        return None
    columns = {at: known for at, cell in enumerate(row) if at != step and (known := metric_of(cell))}
    return (step, columns) if columns else None


def pairs(text: str) -> Iterator[tuple[str, float]]:
    """Yield the names and numbers of a line, in whatever way they stand beside each other."""
    text = text[:LONGEST]
    nested = list(_nested(text)) if NESTED in text and text.lstrip().startswith("{") else []
    if nested:
        yield from nested
        return
    if BARS.search(text):
        row = cells(text)
        for key, value in pairwise(row):
            told = number(value)
            if told is not None and number(key) is None:
                yield key, told
        yield from _in_cells(row)
        if len(row) > 1 and not any(":" in cell or "=" in cell for cell in row):
            return
    alone = BESIDE.fullmatch(text)
    for found in (alone,) if alone is not None else (*PAIR.finditer(text), *_spaced(text)):
        told = shapes.number(found["value"].replace(",", ""))
        known = metric_of(found["key"])
        if told is not None and not (known and shapes.is_rounded_off(known[0], found["value"])):
            yield found["key"], told * (UNITS["%"] if found.groupdict().get("unit") else 1.0)
    yield from _grouped(text)
    rate = RATE.search(text)
    if rate is not None and "%|" not in text:
        yield "samples/sec", float(rate["value"].replace(",", ""))


def _in_cells(row: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the names and numbers of a row in which both stand in one cell."""
    found = [each for cell in row if (each := IN_CELL.fullmatch(cell)) is not None]
    for each in found if len(found) > 1 else []:
        value = shapes.number(each["value"].replace(",", ""))
        if value is not None:
            yield each["key"], value


def _grouped(text: str) -> Iterator[tuple[str, float]]:
    """Yield what a line tells of one name's mean, deviation and bounds."""
    for found in GROUPED.finditer(text):
        at = found.end()
        while (part := PART.match(text, at)) is not None:
            value = shapes.number(part["value"].replace(",", ""))
            if value is not None:
                yield f"{found['name']}/{part['part']}", value
            at = part.end()


def _nested(text: str) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a line of JSON, each with the way to it; what is no JSON has none."""
    try:
        told: list[tuple[str, object]] = [("", json.loads(text))]
    except ValueError:  # cut off, or another notation
        return
    while told:
        way, value = told.pop()
        if isinstance(value, dict):
            told += [(f"{way}/{key}".lstrip("/"), inner) for key, inner in reversed(value.items())]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield way, float(value)


def within(text: str, opened: list[tuple[int, str]]) -> str:
    """Return a line that holds one number with the names of the sections above it; any other as it is.

    ``opened`` holds the sections that are open, with their indents, and is kept up to date.
    """
    section, inside = SECTION.fullmatch(text), INSIDE.fullmatch(text)
    found = section or inside
    if found is None:
        opened.clear()
        return text
    indent = len(found["indent"])
    while opened and opened[-1][0] >= indent:
        opened.pop()
    if section:
        opened.append((indent, section["name"]))
        return text
    way = "/".join(name for _, name in opened)
    return f"{way}/{text.strip()}".replace("'", "").replace('"', "") if way else text


def _spaced(text: str) -> list[re.Match[str]]:
    """Return names and numbers with no more than a space between them, where several are of metrics."""
    found = [each for each in SPACED.finditer(text) if metric_of(each["key"]) is not None]
    return found if len(found) > 1 or COUNTED.search(text) else []


def counter(found: Sequence[tuple[str, float]], text: str) -> tuple[int | None, bool]:
    """Return the step that a line's pairs name, and whether as such rather than as an epoch or a bar."""
    for kind in (STEP, WEAKER):
        for key, value in found:
            if value != value or abs(value) >= 1e12 or value != int(value):
                continue
            if plain(key) in kind or (" " in key and plain(key.rsplit(" ", 1)[1]) in kind):
                return int(value), kind is STEP
    counted = COUNTED.search(text) or (BAR_STEP.search(text) if found else None)
    return (int(counted[1]), False) if counted else (None, False)
