"""The three commands on examples, in a few minutes: check and mend, diagnose, run and heal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
FOUND = 1


def rldoctor(*words: str, allowed: tuple[int, ...] = (0,)) -> None:
    """Run one command as a user does; end the demo where it does something unexpected."""
    print(f"\n$ rldoctor {' '.join(words)}", flush=True)
    root = str(HERE.parent)
    path = os.pathsep.join(part for part in (os.environ.get("PYTHONPATH"), root) if part)
    done = subprocess.run([sys.executable, "-m", "rldoctor", *words], env={**os.environ, "PYTHONPATH": path})
    if done.returncode not in allowed:
        sys.exit(done.returncode)


def main() -> None:
    start = time.monotonic()
    kept = Path(tempfile.mkdtemp(prefix="rldoctor-demo-"))
    script = kept / "launch.sh"
    shutil.copy(HERE / "launch_qwen3_4b.sh", script)

    print("1. Before the launch: what is wrong with a script, and the edits that mend it (on a copy).")
    rldoctor("check", str(script), "--diff", allowed=(0, FOUND))
    rldoctor("check", str(script), "--fix", allowed=(0, FOUND))

    print("\n2. After a failure: the root cause in a log, told apart from what only follows from it.")
    rldoctor("diagnose", str(HERE / "stuck_save.log"), allowed=(FOUND,))

    print("\n3. During the run: a token budget far too large fails, is healed, climbs, and learns.")
    run = kept / "run"
    rldoctor("run", "--autotune", str(HERE / "too_large.yaml"), "--run-folder", str(run))
    print(f"\nThe demo took {time.monotonic() - start:.0f} s. All that the run wrote: {run}")


main()
