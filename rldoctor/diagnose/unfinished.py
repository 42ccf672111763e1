"""How far a run without a failure came, where its log ends before the last step that was planned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rldoctor.logs import LogReading

OF: Final = re.compile(r"(?<![\d/.:])(?P<step>\d{1,9}) ?/ {0,8}(?P<last>\d{1,9})(?![\d/.:])")
BAR: Final = re.compile(
    r"^(?:[Tt]rain\w*(?: [Pp]rogress)?:)? {0,4}\d{1,3}%\|[^|]{0,200}\| ?"
    r"(?P<step>\d{1,9})/(?P<last>\d{1,9}) \["
)  # of steps: the bar of anything else is named otherwise
MARK: Final = "%|"  # of a bar, each of whose states would be a count
TAIL: Final = 40  # lines at the end of a log in which a step is told
LAST: Final = 12  # of which the log may say that it is done
NEAR: Final = 1  # a bar may count the step that is under way
DONE: Final = (
    r"(?i)\b(?:finish(?:ed|ing)|complet(?:e|ed)|done|train_runtime|early stop\w*|succeeded|after training)\b"
)


def told(reading: LogReading) -> str:
    """Return at which step of how many a log ends, nothing where it says that it is done or tells no end."""
    text, main = reading.text, reading.moves.main()
    if text is None:
        return ""
    alone = text.logs[0].name if len(text.logs) == 1 else ""
    file, samples = max(main.items(), key=lambda item: len(item[1]), default=(alone, ()))
    if file not in text.index:  # records of a trainer are no log
        return ""
    end = text.scan.lines[text.index[file]]
    tail = list(text.between(text.index[file], max(1, end - TAIL), end))
    if any(re.search(DONE, text.whole(line)) for line in tail[-LAST:]):
        return ""
    step = samples[-1].step or 0 if samples else 0
    rows = (row for row in map(text.whole, tail) if MARK not in row)
    named = [pair for pair in _pairs(OF, rows) if step and abs(pair[0] - step) <= NEAR]
    texts = (line.text for line in tail if samples or "rain" in line.text)
    bars = [pair for pair in _pairs(BAR, texts) if pair[0] >= step - NEAR]
    counts = bars or named  # rows may be printed for some of the steps only
    return f"; its log ends at step {counts[-1][0]} of {counts[-1][1]}" if counts else ""


def _pairs(shape: re.Pattern[str], texts: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield each step and the last one that is planned, as far as texts tell both."""
    for text in texts:
        for found in shape.finditer(text):
            step, last = int(found["step"]), int(found["last"])
            if 0 < step < last:
                yield step, last
