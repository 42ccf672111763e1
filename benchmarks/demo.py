"""Wall and processor time of the demo, end to end after installation (budget: 4 minutes).

python benchmarks/demo.py
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"


def main() -> None:
    """Print both times, and the load that the machine had beside."""
    began, load = time.monotonic(), os.getloadavg()[0]
    subprocess.run([sys.executable, str(DEMO)], stdout=subprocess.DEVNULL, check=True)
    wall, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    print(
        f"demo: {wall:.0f} s, {cpu:.0f} s of processor time on {os.cpu_count()} cores; "
        f"load {load:.1f} before it, {os.getloadavg()[0]:.1f} after it (budget: 240 s)"
    )


if __name__ == "__main__":
    main()
