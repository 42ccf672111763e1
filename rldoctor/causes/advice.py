"""What the kind of an unknown exception says about its cure: which releases, which condition, which data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from rldoctor.causes import settings, sizes
from rldoctor.causes.blanks import blank, options
from rldoctor.causes.features import avoid
from rldoctor.causes.kinds import KINDS, VERSIONS, Kind
from rldoctor.causes.owners import innermost, libraries
from rldoctor.causes.places import PLACES
from rldoctor.causes.refusals import REFUSALS
from rldoctor.causes.settings import Told
from rldoctor.causes.shells import SHELLS
from rldoctor.types import Finding, Remedy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldoctor.facts import Facts
    from rldoctor.logs.failures import Failure

SHOWN: Final = 2  # remedies that a person reads first
DEMAND: Final = "Make true what"
REFUSED: Final = "Find out why"
LONGEST_QUOTE: Final = 160
LONGEST_MESSAGE: Final = 2000  # characters of a message in which a cure is looked for
_TELLS_ITS_CURE = (
    r"\b(?:must|should|please|need(?:s|ed)? to|required?|requires|cannot be|can't be|expected|only supports?"
    r"|set [`'\"]?[-\w.]+|use [`'\"]?[-\w.]+|instead|not supported|unsupported|not implemented"
    r"|not compatible|incompatible|not allowed|invalid|unknown|unrecogni[sz]ed|divisible|at least|at most"
    r"|larger|smaller|exceeds?|greater|less than|not (?:found|set|specified|provided|available|equal"
    r"|one of))\b"
)

_TOLD_TO = (
    r"(?i:(?:^|\b(?:please|try|consider|should|can|may|to|by|and|or|then|either) |, )(?:set|(?<=y )setting"
    r"|us(?:e|ing)|increas(?:e|ing)|decreas(?:e|ing)|reduc(?:e|ing)|lower(?:ing)?|rais(?:e|ing)|(?:re|un)?install(?:ing)?"
    r"|upgrad(?:e|ing)|downgrad(?:e|ing)|disabl(?:e|ing)|enabl(?:e|ing)|pass(?:ing)?|specify(?:ing)?|unset"
    r"|export|mov(?:e|ing)|switch(?:ing)?|rebuild|launch|adjust(?:ing)?|choos(?:e|ing)|select(?:ing)?) )\S"
    r"|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+=[^\s)]"
)
_ASKS: Final = (
    r"(?i)\b(?:must|should|needs?|require[sd]?|expect(?:s|ed)?|only|at (?:least|most)|divisible|multiple"
    r"|equal|same|match(?:es)?|set|specify|provide|support(?:s|ed)?|allowed|ha(?:ve|s) to|between|greater"
    r"|less|larger|smaller|than|instead)\b|[<>=]=|one of"
)  # words of a condition, as against a mere complaint
_REFUSES: Final = r"\b(?:not|cannot|can't|invalid|unsupported|incompatible|failed)\b"
_ABOUT_THE_REPORT = (
    r"(?i)for (?:more|a complete|details|further|debugging)|debug|stack ?trace|bug report"
    r"|report (?:a|this|the)|TORCH_LOGS|DYNAMO|HYDRA_FULL_ERROR|suppress|fall back to eager|LAUNCH_BLOCKING"
    r"|file an issue|refer to|reduction dim"
)
LONGEST_CURE: Final = 240
_OPENED: Final = r"assert \(|(?:raise|return) [\w.]+\(|\(|\)"  # the line says no more
ASSERTED: Final = (
    (r"len\(.+\)\s*(?:!=|>=?)\s*[01]\b|numel\(\)\s*(?:!=|>)\s*0",
     "Find out why nothing is left there: everything failed, was filtered out or truncated, or the batch is "
     "smaller than the number of ranks (the environment's and the reward's own errors stand before it)"),
    (r"(?:rope|rotary|freqs|cos|sin|pos_emb)\w*\.(?:shape|size)\b",
     "Build the model for the longest sequence there is, prompt and answer together (seq_len, max_seq_len, "
     "max_position_embeddings), or shorten prompts and answers to it"),
    (r"[\w\])] % .+==\s*0\b",
     "Choose numbers that divide: batch sizes by the ranks and micro-batches, GPUs by the parallel sizes"),
    (r"dtype",
     "Bring everything to one data type (bf16): adapters, heads and frozen parts as well"),
    (r"is not None",
     "Set the option or give the field that it comes from; it was left out"),
    (r"\.(?:shape|size)\b.*==|len\(.+\)\s*==\s*[^0\s]|\w+_(?:num|count|len|length)s?\b\s*==",
     "Compare the two counts: truncation, special tokens (also such as the model wrote itself in its "
     "answer), padding and filtering must treat both alike"),
)  # fmt: skip
"""What an asserted condition without a message of its own says about its cure."""


def advise(failure: Failure | None, facts: Facts | None = None) -> tuple[Remedy, ...]:
    """Return what an exception lets one advise: settings that it names, what its kind says, best first."""
    if failure is None:
        return ()
    told = settings.speaks_of(failure, innermost(failure), facts)
    said = _said(failure.message)
    cures = _with_sizes(_with_a_way_round(_unset(_of_its_kind(failure), failure), avoid(failure)), failure)
    if said:
        cures = (Remedy(f"Do what the message says: {said}", "manual"), *cures)
    return _with_settings(cures, told, bool(said))


def _with_settings(cures: tuple[Remedy, ...], told: Told | None, is_said: bool) -> tuple[Remedy, ...]:
    """Return the cures with the settings that are meant, by themselves or within the first."""
    if told is None or (is_said and not told.adds):
        return cures
    first = cures[0].title if cures else ""
    if is_said or first.startswith((DEMAND, REFUSED)) or (cures and not told.turns):
        ahead = told.turns and not is_said
        title = f"{told.sentence}. {first}" if ahead else f"{first.rstrip('.')}. {told.sentence}"
        return (replace(cures[0], title=title, command=told.command or cures[0].command), *cures[1:])
    return (Remedy(told.sentence, "manual", command=told.command), *cures)


def name_settings(finding: Finding, failures: Sequence[Failure], facts: Facts) -> Finding:
    """Return a root whose rule has no edit to offer with the settings of the user that its failure names."""
    if finding.part != "root" or not finding.evidence or not finding.remedies:
        return finding
    first, place = finding.remedies[0], (finding.evidence[0].file, finding.evidence[0].line)
    failure = next((each for each in failures if (each.line.file, each.line.number) == place), None)
    if failure is None or first.set or first.edits:
        return finding
    told = settings.speaks_of(failure, innermost(failure), facts)
    offered = " ".join(f"{each.title} {each.command or ''}" for each in finding.remedies[:SHOWN])
    if told is None or not told.turns or told.sentence in first.title:
        return finding
    named_too = told.names and all(name in offered.replace("-", "_") for name in told.names)
    if named_too and not re.search(r"\d", told.sentence):  # numbers are more than any rule says of its own
        return finding
    named = replace(first, title=f"{told.sentence}. {first.title}")
    return replace(finding, remedies=(named, *finding.remedies[1:]))


def _with_a_way_round(cures: tuple[Remedy, ...], way: str | None) -> tuple[Remedy, ...]:
    """Return the cures with the way round the part that failed as the second, or within it."""
    if way is None:
        return cures
    if len(cures) < 2:
        return (*cures, Remedy(way, "manual"))
    second = replace(cures[1], title=f"{cures[1].title}; or {way[0].lower()}{way[1:]}")
    return (cures[0], second, *cures[2:])


def _with_sizes(cures: tuple[Remedy, ...], failure: Failure) -> tuple[Remedy, ...]:
    """Return the cures with what the two sizes of a message tell, ahead of the first."""
    told = sizes.compared(failure.message[:LONGEST_MESSAGE])
    if told is None or not cures:
        return cures
    return (replace(cures[0], title=f"{told}. {cures[0].title}"), *cures[1:])


def _said(message: str) -> str:
    """Return the sentence of a message that tells its own cure: a setting, a variable, a package."""
    for sentence in re.split(r"(?<=[.!;:])\s+|\n", message[:LONGEST_MESSAGE]):
        told = re.search(_TOLD_TO, sentence)
        if told and "=" in told[0] and re.search(_REFUSES, sentence):
            continue
        if len(sentence) > 12 and told and not re.search(_ABOUT_THE_REPORT, sentence):
            return " ".join(sentence.split())[:LONGEST_CURE]
    return ""


def _of_its_kind(failure: Failure) -> tuple[Remedy, ...]:
    """Return what name, message and place of an exception say about its cure."""
    name = failure.exception.rsplit(".", 1)[-1]
    for kind in (*REFUSALS, *PLACES, *KINDS, *SHELLS):
        if _is_of(kind, name, failure):
            return tuple(
                Remedy(_filled(cure, failure), "manual", command=kind.command if number == 0 else None)
                for number, cure in enumerate(kind.cures)
                if "{libraries}" not in cure or libraries(failure)
            )
    return _as_it_says(failure, name)


def _is_of(kind: Kind, name: str, failure: Failure) -> bool:
    frame = innermost(failure)
    told = re.fullmatch(kind.exception, name) and re.search(kind.message, failure.message)
    return bool(
        told and re.search(kind.file, frame.file if frame else "") and re.search(kind.code, _code(failure))
    )


def _as_it_says(failure: Failure, name: str) -> tuple[Remedy, ...]:
    """Return the condition that an assertion or a refusal tells, and where to look if it tells none."""
    told = _quoted(failure.message) or _code(failure)
    asserted = _code(failure).startswith("assert") and told != _code(failure)
    also = f" ({_code(failure)})" if asserted else ""
    if not told or not (
        name == "AssertionError" or re.search(_TELLS_ITS_CURE, failure.message, re.IGNORECASE)
    ):
        return _elsewhere(failure)
    if name == "AssertionError" or re.search(_ASKS, failure.message):
        cure = f"{DEMAND} {_place(failure)} demands: {told}{also}{_of_what_is_asserted(failure)}"
    else:
        cure = f"{REFUSED} {_place(failure)} says: {told}"
    cure = f"{cure}{_given(failure)}"
    return (Remedy(cure, "manual"), *_elsewhere(failure))


def _given(failure: Failure) -> str:
    """Return the call to set what the message shows as None, by the names of the line that made it."""
    frame = innermost(failure)
    names = blank(failure.message, frame.code) if frame else ()
    return f". Set {_as_options(names, 'and')}, which is None there" if names else ""


def _as_options(names: Sequence[str], between: str) -> str:
    return f" {between} ".join(f"{name} (--{name.replace('_', '-')})" for name in names)


def _unset(cures: tuple[Remedy, ...], failure: Failure) -> tuple[Remedy, ...]:
    """Return the cures for a value that is None with the options that the line reads, in the first."""
    frame = innermost(failure)
    names = options(frame.code) if frame and cures and "NoneType" in failure.message else ()
    if not names:
        return cures
    title = f"Set {_as_options(names, 'or')}: one of them is None. {cures[0].title}"
    return (replace(cures[0], title=title), *cures[1:])


def _of_what_is_asserted(failure: Failure) -> str:
    """Return what the condition of an assertion without a message says about its cure."""
    code = "" if failure.message else _code(failure)
    return next((f". {cure}" for condition, cure in ASSERTED if re.search(condition, code)), "")


def _elsewhere(failure: Failure) -> tuple[Remedy, ...]:
    """Return where to look for the cure: in libraries' releases, or in the code on top of the stack."""
    frame = innermost(failure)
    if frame is None or not libraries(failure):
        return ()
    if frame.is_library:
        cure = "Upgrade {}, or go back to the release that the framework pins: it is raised in their own code"
        return (Remedy(cure.format(" and ".join(libraries(failure))), "manual", command=VERSIONS),)
    return (Remedy(f"Look at {_place(failure)}: {_code(failure) or _quoted(failure.message)}", "manual"),)


def _filled(cure: str, failure: Failure) -> str:
    told = cure.format(
        libraries=" and ".join(libraries(failure)),
        place=_place(failure),
        code=_code(failure),
        message=_quoted(failure.message),
    )
    return told.replace(" ()", "").replace(":  (", " (")  # where there was no message or code


def _place(failure: Failure) -> str:
    frame = innermost(failure)
    return str(frame) if frame else "the code that raised it"


def _code(failure: Failure) -> str:
    frame = innermost(failure)
    return (
        frame.code[:LONGEST_QUOTE] if frame and frame.code and not re.fullmatch(_OPENED, frame.code) else ""
    )


def _quoted(message: str) -> str:
    return " ".join(message[:LONGEST_MESSAGE].split())[:LONGEST_QUOTE]
