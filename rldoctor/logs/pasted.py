"""Steps in text that is looked at whole: what people paste, and the end of each log."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from typing import Final

from msgspec import Struct, field

from rldoctor.logs import tables
from rldoctor.logs.metrics import Steps, is_no_step
from rldoctor.logs.rereading import Text
from rldoctor.logs.tables import Known
from rldoctor.types import LogLine, Sample

WHOLE: Final = 400  # lines of a text that is looked at whole
END: Final = 120  # lines at the end of a longer log
MOST_LOGS: Final = 16
OFTEN: Final = 3  # times that the same few names with numbers are no accident
GAP: Final = 3  # lines between two pieces of one step
TELLING: Final = frozenset(
    {
        "loss",
        "perplexity",
        "policy_loss",
        "value_loss",
        "grad_norm",
        "critic_grad_norm",
        "kl",
        "ref_kl",
        "sequence_kl",
        "clip_fraction",
    }
    | {"reward_mean", "reward_std", "reward_zero_std", "reward_min", "reward_max", "return_mean"}
    | {"advantage_mean", "advantage_max", "advantage_min", "response_length", "response_length_max"}
    | {"response_clip_ratio", "entropy", "logprob_diff", "logprob_diff_max", "rollout_kl", "ratio"}
    | {"rollout_time", "train_time", "logprob_time", "ref_time"}
)
REPEATED: Final = TELLING | {"samples_per_second"}  # what is of a training where it comes again and again
NOT_OF_TRAINING: Final = ("eval_", "val_", "test_", "validation", "pred_", "'pred'", '"pred"')
EMPTY: Final = re.compile(r'"\w{1,60}": ?null,?')
Place = tuple[str, int]


class _Block(Struct):
    """The pieces of one step: its samples, its number and whether a line names it as such."""

    step: int | None = None
    named: bool = False
    found: dict[str, tuple[float, LogLine]] = field(default_factory=dict)
    last: LogLine | None = None
    whole: bool = False

    @property
    def counts(self) -> bool:
        """Return whether this is a step of a training rather than a few numbers of something else."""
        telling = [value for metric, (value, _) in self.found.items() if metric in TELLING]
        return len(telling) > 1 or any(self.step is not None or isnan(value) for value in telling)


class _Table(Struct, frozen=True):
    step: int
    columns: Mapping[int, Known]
    width: int


def with_pasted(steps: Steps, text: Text) -> Steps:
    """Return the steps with those that tables, lists and torn lines show in the text looked at whole."""
    taken = {_place(sample.line): sample.step for sample in steps.samples}
    taken |= {_place(sample.line): sample.step for _, sample in steps.counts}
    last = {sample.line.file: sample.step or 0 for _, sample in steps.counts}
    samples, counts, shown = list(steps.samples), list(steps.counts), list[LogLine]()
    for log, name in enumerate(log.name for log in text.logs[:MOST_LOGS]):
        for block in _told(list(_blocks(end_of(text, log), taken))):
            step = block.step
            if step is None:
                step = last[name] = last.get(name, 0) + 1
            told = [Sample(metric, step, value, line) for metric, (value, line) in block.found.items()]
            samples += told
            shown += [sample.line for sample in told]
            if block.named:
                counts.append(((name, "", "pasted", "None"), Sample("step", step, float(step), told[0].line)))
    return Steps(tuple(samples), tuple(counts), steps.systems, tuple(dict.fromkeys(shown)))


def end_of(text: Text, log: int) -> Iterator[LogLine]:
    """Return all lines of a short log, the last ones of a long one."""
    last = text.scan.lines[log]
    return text.between(log, 1 if last <= WHOLE else last - END + 1, last)


def _told(blocks: Sequence[_Block]) -> Iterator[_Block]:
    """Yield what is a step by itself, or by what is repeated in the same words."""
    alike = Counter(frozenset(block.found) for block in blocks)
    for block in blocks:
        repeated = alike[frozenset(block.found)] >= OFTEN and not REPEATED.isdisjoint(block.found)
        if block.counts or block.whole or repeated:
            yield block


def _blocks(lines: Iterator[LogLine], taken: Mapping[Place, int | None]) -> Iterator[_Block]:
    """Yield the steps of consecutive lines; lines of known shapes are theirs but for what was cut off."""
    block, table, opened = _Block(), None, list[tuple[int, str]]()
    for line in lines:
        text = tables.within(line.text, opened)
        if _place(line) in taken:
            yield from _done(block)
            torn = line.text.count("{") > line.text.count("}")
            block, table = _Block(taken[_place(line)], False, {}, line if torn else None, torn), None
            continue
        if tables.is_rule(line.text):
            continue
        if table is None and not tables.may_tell(text):
            _carry_on(block, line)
            continue
        listed = tables.listed(line.text)
        if listed is not None:
            (metric, scale), values = listed
            yield from (_Block(step, True, {metric: (value * scale, line)}, line) for step, value in values)
            continue
        row = tables.cells(line.text)
        if table is not None and len(row) == table.width:
            told = _row(table, row, line)
            if told is not None:
                yield from _done(told)
                continue
        head = tables.header(row)
        table = _Table(*head, len(row)) if head else None
        block, ended = _with_pairs(block, line, text) if head is None else (_Block(), block)
        if ended is not None:
            yield from _done(ended)
    yield from _done(block)


def _row(table: _Table, row: Sequence[str], line: LogLine) -> _Block | None:
    """Return the step of a table's row; None where the cell of the step holds none."""
    step = tables.number(row[table.step])
    if step is None or step != int(step):
        return None
    found: dict[str, tuple[float, LogLine]] = {}
    for at, (metric, scale) in table.columns.items():
        value = tables.number(row[at])
        if value is not None:
            found.setdefault(metric, (value * scale, line))
    return _Block(int(step), True, found, line)


def _with_pairs(block: _Block, line: LogLine, text: str) -> tuple[_Block, _Block | None]:
    """Return the block that a line belongs to, with what its text adds, and the one that it ends."""
    foreign = is_no_step(text) or any(word in text for word in NOT_OF_TRAINING)
    if foreign and "null" in text:  # a name without a value says nothing of an evaluation
        bare = EMPTY.sub("", text)
        foreign = is_no_step(bare) or any(word in bare for word in NOT_OF_TRAINING)
    told = [] if foreign else list(tables.pairs(text))
    step, named = tables.counter(told, text)
    fresh: dict[str, tuple[float, LogLine]] = {}
    for key, value in told:
        known = tables.metric_of_value(key, value)
        if known is not None:
            fresh.setdefault(known[0], (value * known[1], line))
    if not fresh and step is None:
        _carry_on(block, line)
        return block, None
    ended = None
    if text is line.text and _begins_another(block, line, fresh, step if named or not block.named else None):
        ended, block = block, _Block()
    if step is not None and (block.step is None or named):
        block.step, block.named = step, named
    block.found = fresh | block.found
    block.last = line
    return block, ended


def _begins_another(
    block: _Block, line: LogLine, fresh: Mapping[str, tuple[float, LogLine]], step: int | None
) -> bool:
    """Say whether a line belongs to another step than the lines before; one within a section never does."""
    far = block.last is not None and line.number - block.last.number > GAP
    other = step is not None and block.step not in (None, step)
    return far or other or bool(fresh.keys() & block.found.keys()) or not (block.last or block.step is None)


def _carry_on(block: _Block, line: LogLine) -> None:
    """Let a step go on over a line with other numbers than those that are known."""
    near = block.last is not None and line.number - block.last.number <= GAP
    if near and tables.PAIR.search(line.text, 0, tables.LONGEST):
        block.last = line


def _done(block: _Block) -> Iterator[_Block]:
    if block.found:
        yield block


def _place(line: LogLine) -> Place:
    return line.file, line.number
