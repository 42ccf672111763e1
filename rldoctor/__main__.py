"""The process behind ``rldoctor`` and ``python -m rldoctor``."""

from __future__ import annotations

import gc
import sys
from typing import Final, NoReturn

from rldoctor.exits import INTERRUPTED

RARELY: Final = 100_000
"""New objects after which garbage is looked for: most runs are short, and looking is a tenth of them."""


def main() -> NoReturn:
    """Run the command line; what comes before it, the imports, is part of a short run's time too."""
    gc.set_threshold(RARELY)
    try:
        from rldoctor import cli
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    cli.main()


if __name__ == "__main__":
    main()
