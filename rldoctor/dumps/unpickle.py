"""Pickles of plain data alone: whatever names a class or a function is refused before it could run."""

from __future__ import annotations

import io
import pickle
from typing import IO, Any, Final, NoReturn

from rldoctor.types import RLDoctorError

LARGEST: Final = 4 << 30
NOT_PLAIN: Final = "this pickle holds more than plain data"
HINT: Final = "Only dictionaries, lists, strings and numbers are read; nothing in a pickle is ever run."


class Refused(RLDoctorError):
    """A pickle that names code, is broken, or is no pickle at all."""


class _Plain(pickle.Unpickler):
    """Unpickler without globals and without persistent objects."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse: plain data names no class."""
        raise Refused(f"{NOT_PLAIN}: it names {module[:80]}.{name[:80]}", hint=HINT)

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refuse: plain data lies in the pickle itself."""
        raise Refused(f"{NOT_PLAIN}: it names an object outside of it", hint=HINT)


def load(data: bytes) -> Any:
    """Return the plain value that a pickle holds; see `load_file`."""
    return load_file(io.BytesIO(data))


def load_file(file: IO[bytes]) -> Any:
    """Return the plain value in a file; raises Refused, whatever is wrong with it.

    Call it through `apart.run`: deep nesting can exhaust the C stack, and memory is bounded only there.
    """
    try:
        return _Plain(file, buffers=None).load()
    except Refused:
        raise
    except RecursionError as error:
        raise Refused("this pickle is nested too deeply", hint=HINT) from error
    except MemoryError as error:
        raise Refused("this pickle asks for more memory than such a file needs", hint=HINT) from error
    except Exception as error:  # a hostile pickle can raise anything that its opcodes can
        raise Refused(f"this pickle is broken ({type(error).__name__})", hint=HINT) from error
