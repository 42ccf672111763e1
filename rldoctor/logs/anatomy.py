"""What a line wears: colours, process prefixes, progress bars, log heads; who said it and when."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.logs.clock import read_time
from rldoctor.logs.json_lines import carried
from rldoctor.types import Identity

NOBODY: Final = Identity()
LONGEST: Final = 16384  # characters of a line that are looked at
ROUNDS: Final = 8

ANSI: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[@-Z\\-_])")
LOST_ANSI: Final = re.compile(
    r"(?:\^\[)?\[\d{1,3}(?:;\d{1,3}){0,4}m"
)  # colours whose escape character a paste has lost, or shows as ^[
REPEATED: Final = re.compile(
    r"\s*\[repeated (\d{1,9})x across (?:the )?cluster\](?: \(Ray deduplicates .*)?\s*$"
)
RAY: Final = re.compile(
    r"\((?:(?P<actor>[A-Za-z_][\w.<>:/-]{0,120}(?:\([\w.-]{1,60}\))?)(?:\[rank=(?P<rank>\d{1,6})\])? )?"
    r"pid=(?P<pid>\d{1,10})"
    r"(?:, (?:ip=(?P<ip>[\w.:\[\]-]{1,80}))?)?\)(?: ?: |\s?)"
)
RAYLET: Final = re.compile(
    r"\((?P<actor>raylet|gcs_server|autoscaler|scheduler|dashboard)(?: [+\w.]{1,20})?"
    r"(?:, ip=(?P<ip>[\w.:\[\]-]{1,80}))?\) ?"
)
RANK: Final = re.compile(r"\[(?:rank|default)(?P<rank>\d{1,6})\]:? ?")
SRUN: Final = re.compile(r"\s{0,6}(?P<rank>\d{1,5}): (?: (?=[\[>A-Za-z]))?(?=\S| {2})")
BAR: Final = re.compile(
    r"[^|]{0,80}?\b\d{1,3}%\|[^|]{0,120}\| ?[\d.]{1,12}[kMG]?/[\d.]{1,12}[kMG]? \[[^\]]{0,120}\]"
    r"(?=\[(?:rank|default)\d|\[?[IWEF]\d{3,4} |Traceback \(most|\[?20\d\d-\d\d-\d\d"
    r"|\((?:raylet|(?:\w{1,40} )?pid=)|[\w.]{0,80}(?:Error|Exception): |ERROR\b|Killed\b|Bus error"
    r"|Segmentation fault|Fatal Python error|terminate called |(?:slurmstepd|srun|bash): "
    r"|\S{1,120}: line \d|\*\*\* )"
)  # a progress bar into whose row another message was written
QUOTE: Final = re.compile(r"(?:> ?){1,4}(?=\S| )|`{1,2}(?=[A-Z\[(])")
LEVEL: Final = re.compile(
    r"[\[(]?(?P<level>DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)[\])]?"
    r"(?P<sep>: | {0,4}[-|] | {1,4}(?=\[)|(?=\[)| (?=20\d\d-\d\d-\d\dT))"
)
PLACE: Final = re.compile(
    r"\[?[\w./<>-]{1,100}\.(?:py|cc|cpp|cu|rs|hpp|h):\d{1,6}(?: in [\w<>.]{1,60})?"
    r"(?::[\w<>]{1,60}\]|[\]:]{1,2})(?: -+ ?| )?|\([\w./<>-]{1,100}\.(?:py|cc|cpp):\d{1,6}\) (?=\S| )"
    r"|\{[\w./-]{1,80}\.py:\d{1,6}\} |[\w.]{1,80}:[\w<>]{1,60}:\d{1,6} - "
    r"|\[resource\.[\w.]{1,60}: [\w.-]{1,80}\] "
)
LOGGER: Final = re.compile(
    r" {0,2}- (?:(?P<name>[\w./]{1,60}) - )?(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) - "
)
SYSTEM: Final = re.compile(r"\(AReaL\) ")
SERVICE: Final = re.compile(
    r"\[[\w./-]{1,60}\] {1,2}(?=20\d\d-\d\d-\d\dT)|[a-z][\w.-]{0,60}-\d{1,4} {1,20}\| (?=\S| {2})"
    r"|(?:[a-z][\w.-]{0,60}|\[[a-z][\w.-]{0,60}\]) {2,20}\|(?: (?![ \d.+-]*(?:\||$))(?=\S| {2})|$)"
)
PID_TAG: Final = re.compile(r"\((?P<actor>[A-Z]\w{0,60}(?: (?:rank=)?\w{1,20})?) pid=(?P<pid>\d{1,10})\) ?")
NCCL: Final = re.compile(r"(?:[^ ]{1,200} )?([A-Za-z][\w.-]{0,100}):(\d{1,10}):\d{1,10} \[\d{1,4}\] ")
CELL: Final = re.compile(
    r"(?:-- )?(?: {0,6}\|){1,3} {1,2}(?=\d\d:\d\d:\d\d|20\d\d-\d\d-|\([\w ]{0,80}pid=|\[rank)"
)  # a row that was pasted from a table of lines
NEXT_CELL: Final = re.compile(r" ?\| (?=\S| {2})")
GATHERED: Final = re.compile(r"[A-Za-z][\w./-]{2,120} >> (?=\S| {2}|$)")  # whose output a collector shows
JOURNAL: Final = re.compile(r"(?P<node>[\w.-]{1,80}) [\w./@-]{1,80}\[\d{1,10}\]: (?=\S| {2}|$)")  # syslog's
CRI: Final = re.compile(r"(?:stdout|stderr) [FP] ")  # how Kubernetes keeps the output of containers
_OPENS: Final = (
    r"\[(?:rank|default)\d|Traceback \(most| {2}File \"|File \"|\[?20\d\d[-/]\d\d[-/]"
    r"|\[?[IWEF]\d{4} |The above exception was|During handling of|\((?:\w{1,40} )?pid="
    r"|[\w.]{0,80}(?:Error|Exception)(?:: |$)"
)  # what a program says, so that what stands before it is a launcher's mark
_SAID: Final = rf"(?={_OPENS}| {{4}}[^\s|])"
NUMBERED: Final = re.compile(
    rf"\s{{0,6}}\d{{1,7}}(?: {{2}}|\t| ?\| ?|:)(?={_OPENS}| {{4}}[a-z_][\w.]{{0,80}}(?:[(\[]| [=\w]))"
)  # what editors, `cat -n` and `grep -n` put before a line
INDENTED: Final = re.compile(r"[ \t]{1,16}(?=\[(?:rank|default)\d{1,6}\]|\((?:[\w.<>:/-]{1,120} )?pid=\d)")
LAUNCHER: Final = re.compile(
    r"\[1,(?:mpirank:)?(?P<mpi>\d{1,6})(?:,[\w.-]{1,80})?\]<std(?:out|err|diag)>:"  # mpirun --tag-output
    r"|(?P<ip>\d{1,3}(?:\.\d{1,3}){3}): "  # pdsh, as DeepSpeed starts its nodes
    rf"|(?P<host>[a-z][a-z-]{{0,40}}\d[a-z0-9-]{{0,60}}(?:\.[a-z0-9-]{{1,60}}){{0,6}}): {_SAID}"
    rf"|[Rr]ank[ _]?(?P<rank>\d{{1,6}}): {_SAID}|std(?:out|err): {_SAID}"
    rf"|\[(?!rank\d|default\d)(?P<named>[\w.-]{{1,80}})(?::\d{{1,5}})?\]:? (?!20\d\d){_SAID}"
    rf"|\[pod/(?P<pod>[\w.-]{{1,80}})(?:/[\w.-]{{1,80}})?\] "  # kubectl logs --prefix
    rf"|(?P<stern>[a-z][a-z0-9]{{0,40}}-[a-z0-9-]{{1,80}}) [a-z][a-z0-9-]{{0,40}} {_SAID}"
    rf"|(?P<service>[a-z][\w.-]{{0,60}}) {{1,20}}\| {_SAID}"
)
INSIDE_RANK: Final = re.compile(r"\[(?:[Gg]lobal )?[Rr]ank[ _:]?\s?(\d{1,6})\]|\bRank (\d{1,6})\]")


class Anatomy(Struct, frozen=True):
    """A line taken apart: ``text`` is the message, a piece of the line as it was."""

    text: str
    who: Identity = NOBODY
    time: float | None = None
    repeated: int = 1


def read_line(raw: bytes, year: int | None = None) -> Anatomy:
    """Return the message of a line, who said it and when; of a progress bar the last state counts."""
    line = raw[: 4 * LONGEST].decode("utf-8", "replace")[:LONGEST].rstrip("\r\n")
    if line.startswith('{"'):
        line = carried(line)
    first, _, rest = line.partition("\r")
    if not rest:
        return _one(first, year)
    last = next((part for part in reversed(rest.split("\r")) if part.strip()), "")
    whole, head = _one(last or first, year), _one(first, year)
    return Anatomy(whole.text, merge(whole.who, head.who), whole.time or head.time, whole.repeated)


def merge(first: Identity, second: Identity) -> Identity:
    """Return an identity with the gaps of the first filled from the second."""
    if second is NOBODY or first == second:
        return first
    if first is NOBODY:
        return second
    return Identity(
        first.node or second.node,
        first.rank if first.rank is not None else second.rank,
        first.pid if first.pid is not None else second.pid,
        first.actor or second.actor,
    )


def _one(line: str, year: int | None) -> Anatomy:
    """Take one segment apart: prefixes from the left until none is left, the repetition from the right."""
    text = _plain(line)
    repeated = 1
    if text.endswith(")") or "cluster]" in text[-40:]:
        found = REPEATED.search(text[-400:])
        if found:
            repeated = int(found[1])
            text = text[: len(text) - len(text[-400:]) + found.start()]
    who, time, at = _prefixes(text, year)
    rest = text[at:]
    if who.rank is None and "ank" in rest[:120]:
        found = INSIDE_RANK.search(rest[:120])
        if found:
            who = replace(who, rank=int(found[1] or found[2]))
    if who.node is None and "NCCL" in rest[:120]:
        found = NCCL.match(rest)
        if found:
            who = replace(who, node=found[1], pid=who.pid or int(found[2]))
    return Anatomy(rest, who, time, repeated)


def _plain(line: str) -> str:
    """Return a line without colours, NULs and byte-order marks."""
    if "\x1b" in line:
        line = ANSI.sub("", line)
    if "m" in line and "[" in line:
        line = LOST_ANSI.sub("", line)
    return line.replace("\0", "").lstrip("\ufeff")


def _prefixes(text: str, year: int | None) -> tuple[Identity, float | None, int]:
    who, time, at = NOBODY, None, 0
    for number in range(ROUNDS):
        found, identity = _identity(text, at, number)
        if found is not None:
            own = identity.rank is not None and who.rank is not None and text.startswith("[", at)
            who, at = (_inside(text, who, identity) if own else merge(who, identity)), found
            continue
        stamp, end = read_time(text, at, year)
        if end == at:
            end = _log_head(text, at, time is not None)
        elif (label := JOURNAL.match(text, end)) is not None:
            who, end = merge(who, Identity(label["node"])), label.end()
        if end == at:
            break
        time, at = stamp if time is None else time, end
    return who, time, at


def _inside(text: str, outer: Identity, inner: Identity) -> Identity:
    """Return whose line it is by its own mark; the number that srun has put before it is then the node's."""
    node = outer.node or (str(outer.rank) if SRUN.match(text) else None)
    return replace(outer, node=node, rank=inner.rank)


def _identity(text: str, at: int, number: int) -> tuple[int | None, Identity]:
    """Return where a process prefix at ``at`` ends, and whose it is."""
    start = text[at : at + 1]
    if start == "(":
        return _in_parentheses(text, at)
    if number < 2 and "%|" in text[at : at + 100] and (found := BAR.match(text, at)):
        return found.end(), NOBODY
    if number == 0 and (found := LAUNCHER.match(text)):
        return found.end(), _marked(found.groupdict())
    if number == 0 and (found := INDENTED.match(text) or NUMBERED.match(text)):
        return found.end(), NOBODY
    if start == "[":
        found = RANK.match(text, at)
        return (found.end(), Identity(rank=int(found["rank"]))) if found else _service(text, number)
    if start in (" ", "|", "-") and (cell := _cell(text, at, number)) is not None:
        return cell, NOBODY
    if start in (">", "`"):
        found = QUOTE.match(text, at)
        return (found.end() if found else None), NOBODY
    if number == 0 and (start.isdigit() or start == " "):
        found = SRUN.match(text)
        return (found.end(), Identity(rank=int(found["rank"]))) if found else (None, NOBODY)
    return _service(text, number)


def _marked(part: dict[str, str | None]) -> Identity:
    """Return whose line it is by the mark that a launcher of several nodes has put before it."""
    rank = part["mpi"] or part["rank"]
    node = part["ip"] or part["host"] or part["named"]
    return Identity(node, int(rank) if rank else None, None, part["pod"] or part["stern"] or part["service"])


def _cell(text: str, at: int, number: int) -> int | None:
    """Return where the border of a table's cell ends, in a row that begins with one."""
    found = CELL.match(text, at)
    if found is None and number and CELL.match(text):
        found = NEXT_CELL.match(text, at)
    return found.end() if found else None


def _in_parentheses(text: str, at: int) -> tuple[int | None, Identity]:
    found = RAY.match(text, at) or RAYLET.match(text, at) or PID_TAG.match(text, at)
    if found:
        part = found.groupdict()
        pid = int(part["pid"]) if part.get("pid") else None
        rank = int(part["rank"]) if part.get("rank") else None
        return found.end(), Identity(part.get("ip"), rank, pid, part.get("actor"))
    found = SYSTEM.match(text, at)
    return (found.end() if found else None), NOBODY


def _service(text: str, number: int) -> tuple[int | None, Identity]:
    """Return where the name of a container at the start of a line ends: of compose, or before its time."""
    if number == 0 and (text.startswith("[") or "|" in text[:80]):
        found = SERVICE.match(text)
        if found:
            return found.end(), Identity(actor=found[0].strip(" []|"))
    return None, NOBODY


def _log_head(text: str, at: int, dated: bool) -> int:
    """Return where a level, a logger's name or a source place ends; only after a time they are a head."""
    found = LEVEL.match(text, at) if text[at : at + 1] in "[(DIWECF" else None
    if found and (dated or found["sep"].strip() in ("", "-", "|")):
        return found.end()
    if not dated:
        return at
    heads = (LOGGER, PLACE, CRI, GATHERED)
    found = next((found for head in heads if (found := head.match(text, at))), None)
    return found.end() if found else at
