"""Dumps beside logs: flight recorder, memory snapshots, stacks, ``ray status``, resolved configurations."""

from __future__ import annotations

from collections.abc import Sequence

from rldoctor.dumps.finding import Found, split
from rldoctor.dumps.nouns import DumpReading

__all__ = ["DumpReading", "Found", "read", "split"]


def read(found: Sequence[Found]) -> DumpReading:
    """Return what dumps and configurations say; their readers are loaded only where there are any."""
    if not found:
        return DumpReading()
    from rldoctor.dumps import reading

    return reading.read(found)
