"""What a line of JSON carries: the message of a program that a collector or a logger has wrapped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

OLDEST: Final = 1_000_000_000  # seconds since the epoch
TEXT: Final = ("log", "message", "msg", "textPayload", "Body", "body", "Message", "MESSAGE")
OF_A_LOGGER: Final = ("text", "event")  # and no row of data, where a level stands beside it
LEVELS: Final = ("level", "levelname", "severity", "record")
INNER: Final = (*TEXT, "stringValue")  # where the text is itself an object
HOLDERS: Final = ("jsonPayload", "json", "payload", "fields", "record", "attributes", "error", "exception")
OWN: Final = ("error", "err", "exception", "exc_info", "exc_text")  # what a message leaves to another field
TRACES: Final = (
    "stack_trace",
    "stacktrace",
    "traceback",
    "stack",
    "error.stack_trace",
    "exception.stacktrace",
)
TIMES: Final = ("time", "timestamp", "ts", "@timestamp")
TRACED: Final = "Traceback (most recent call last)"


def carried(line: str) -> str:
    """Return the text that a line of JSON carries, its time before it and its stack on lines below it."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):  # a line of braces, or one that was cut
        return line
    held = [told[key] for key in HOLDERS if isinstance(told.get(key), Mapping)]
    text = next(_texts([told, *held]), None)
    error = next((error for each in [told, *held] for error in _strings(each, (*OWN, *TRACES))), "").rstrip()
    if text is None and not error:
        return line
    text = _with_error((text or "").rstrip("\r\n"), error)
    time = next((told[key] for key in TIMES if isinstance(told.get(key), str | int)), "")
    if isinstance(time, int):
        time = _spelled(time)
    return f"{time} {text}" if time else text


def _texts(places: list[Any]) -> Iterator[str]:
    """Yield the messages that objects tell, those of an object within them too."""
    for place in places:
        yield from _strings(place, TEXT)
        yield from _strings(place, OF_A_LOGGER) if any(level in place for level in LEVELS) else ()
        inner = (place[key] for key in TEXT if isinstance(place.get(key), Mapping))
        for each in inner:
            yield from _strings(each, INNER)


def _strings(place: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    yield from (place[key] for key in keys if isinstance(place.get(key), str) and place[key].strip())


def _with_error(text: str, error: str) -> str:
    """Return a message with the last line of its error, or below it the whole stack."""
    if TRACED in error:
        return text if TRACED in text else f"{text}\n{error}"
    said = next(reversed(error.splitlines()), "")
    if not text:
        return said
    return f"{text.rstrip()}: {said}" if said and said not in text else text


def _spelled(seconds: int) -> str:
    """Return seconds since the epoch as a date and time, nothing where they are no time of our days."""
    if not OLDEST <= seconds < 2 * OLDEST:
        return ""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
