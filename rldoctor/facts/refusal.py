"""What a program, or what starts it, does not take of a launch: one event for whoever finds it out."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from rldoctor.types import Event, LogLine, Place


class Refusal(Struct, frozen=True):
    """A word that ``system`` refuses; ``cure`` is what to set it to and how that reads, ``advice`` words."""

    key: str
    says: str
    system: str | None
    where: str
    value: str | None = None
    shown: str = ""
    advice: str | None = None
    cure: tuple[str, Any, str] | None = None
    severity: str = "error"
    safety: str = "unsafe"
    certain: bool = True

    def at(self, place: Place | None) -> Event:
        """Return the event of the refusal at a place, of none where the word stands in no file."""
        return self.in_line(place.file, place.line) if place is not None else self._event(())

    def in_line(self, file: str, line: int) -> Event:
        """Return the event of the refusal in a line."""
        return self._event((LogLine(file, line, ""),))

    def _event(self, lines: tuple[LogLine, ...]) -> Event:
        fields = {
            "key": self.key,
            "written": self.key,
            "value": self.value,
            "system": self.system,
            "says": self.says,
            "where": self.where,
            "severity": self.severity,
            "shown": self.shown,
            "advice": self.advice,
            "safety": self.safety,
            "certain": self.certain,
        }
        if self.cure is not None:
            key, value, says = self.cure
            fields |= {"first_key": key, "first_value": value, "first_says": says, "first_drops": False}
        return Event("refused_setting", fields, lines=lines)
