"""Exit codes of every command, as docs/contracts/exit-codes.md tells them."""

from typing import Final

OK: Final = 0
FOUND: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
