"""An exception as a log tells it: its chain from the innermost outwards, its frames, whose process it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from rldoctor.types import Identity, LogLine

LIBRARY: Final = (
    "site-packages/",
    "dist-packages/",
    "/lib/python",
    "<frozen",
    "python/ray/",
    "<string>",
    "/lib64/python",
)
CHECKOUT: Final = re.compile(
    r"/(?:verl|slime|[Mm]egatron(?:-LM)?|areal|AReaL|chatlearn|openrlhf|OpenRLHF|skyrl\w*|nemo_rl|nemo-rl|swift|trl|sglang|vllm"
    r"|transformers|accelerate|deepspeed|DeepSpeed|peft|llamafactory|prime_rl|megatron/(?:core|training))/(?:[\w-]+/)*[\w-]+\.py$"
)  # of a framework that runs from its checkout

STANDARD: Final = re.compile(
    r"/python\d[\d.]*t?/(?!(?:site|dist)-packages/)[\w/]+\.py$|^<frozen "
)  # Python's own


class Frame(Struct, frozen=True):
    """One frame of a stack: file, line number, function, and the source line where the log shows it."""

    file: str
    line: int
    function: str
    code: str = ""

    @property
    def is_library(self) -> bool:
        """Return whether the frame lies in an installed package, not in the user's own code."""
        path = self.file.replace("\\", "/")
        return any(part in path for part in LIBRARY) or CHECKOUT.search(self.file) is not None

    @property
    def is_standard(self) -> bool:
        """Return whether the frame is of Python's own library, which only did what it was asked."""
        return STANDARD.search(self.file) is not None

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})"


class Link(Struct, frozen=True):
    """One exception of a chain; ``inner`` is the type that a wrapper names: RayTaskError(KeyError)."""

    name: str
    message: str
    line: LogLine
    frames: tuple[Frame, ...] = ()
    inner: str | None = None


class Failure(Struct, frozen=True):
    """An exception that ended something, told by its innermost link; ``chain`` starts with that one."""

    chain: tuple[Link, ...]
    who: Identity
    start: LogLine
    call: str | None = None  # the remote method that raised, Actor.method
    phase: str | None = None
    ignored: bool = False  # Python says itself that it went on
    recovered: bool = False  # the run finished further steps after it
    about: float | None = None  # the last time told before it, where no line of its own has one

    @property
    def exception(self) -> str:
        """Return the innermost exception's full name."""
        return self.chain[0].name

    @property
    def message(self) -> str:
        """Return the innermost exception's message."""
        return self.chain[0].message

    @property
    def line(self) -> LogLine:
        """Return the line with the innermost exception."""
        return self.chain[0].line

    @property
    def time(self) -> float | None:
        """Return when it was told, in seconds since the epoch."""
        told = (self.line.time, self.start.time, self.about)
        return next((time for time in told if time is not None), None)

    @property
    def outermost(self) -> str:
        """Return the last exception's name, marked where even the program's first frame let it pass."""
        last = self.chain[-1]
        uncaught = last.frames and last.frames[0].function == "<module>"
        return f"{last.name} of the program" if uncaught else last.name

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Return all frames of the chain, the innermost exception's last, each stack outermost first."""
        return tuple(frame for link in reversed(self.chain) for frame in link.frames)

    @property
    def user_frame(self) -> Frame | None:
        """Return the innermost frame in the user's own code."""
        return next(self._inward(library=False), None)

    @property
    def library_frame(self) -> Frame | None:
        """Return the innermost frame in an installed package, in Python's own library only if in no other."""
        frames = list(self._inward(library=True))
        return next((frame for frame in frames if not frame.is_standard), next(iter(frames), None))

    def _inward(self, library: bool) -> Iterator[Frame]:
        for link in self.chain:
            for frame in reversed(link.frames):
                if frame.is_library is library:
                    yield frame
