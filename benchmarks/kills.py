"""Kill -9 at random moments of the demo's run, and see what is left.

python benchmarks/kills.py [KILLS] [SEED] [local|ray]

The trainer, a reward process or the supervisor is hit, on Ray a worker or the raylet too. A killed
supervisor is taken up again with --resume. At the end the run must have finished, every line of the
journal be whole, every step be done, and no process be left.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "too_large.yaml"
MOST_STEPS, MOST_SECONDS, EVERY, PATIENCE = 4, 3.0, 3, 120.0
VICTIMS = {"trainer": "-m trainer_core", "reward": "trainer_core.reward"}
RAYS = {"worker": "_Actor", "raylet": "raylet/raylet"}
RAY = ("--set", "cluster.kind=ray", "--set", "cluster.workers=2")


def start(*words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "rldoctor", "run", "--autotune", *words]
    return subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )


def finished(folder: Path) -> set[int]:
    """Return the numbers of the steps that were finished."""
    path = folder / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {json.loads(line)["step"] for line in lines if '"step_finished"' in line and line.endswith("}")}


def wait(moments: random.Random, folder: Path) -> None:
    """Wait for a few more steps, none at times (then it hits the start), and a moment more."""
    wanted = len(finished(folder)) + moments.randint(0, MOST_STEPS)
    deadline = time.monotonic() + PATIENCE
    while len(finished(folder)) < wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(moments.uniform(0.0, MOST_SECONDS))


def marked(folder: Path) -> list[psutil.Process]:
    """Return the processes of a run that live."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # ended meanwhile
            if process.environ().get("RLDOCTOR_RUN") == str(folder) and process.status() != "zombie":
                found.append(process)
    return found


def kill(victim: str, supervisor: subprocess.Popen[bytes], folder: Path) -> bool:
    """Kill one process of a kind; say whether there was one."""
    if victim == "supervisor":
        supervisor.kill()
        supervisor.wait()
        return True
    for process in marked(folder):
        with suppress(psutil.Error):  # ended meanwhile
            if (VICTIMS | RAYS)[victim] in " ".join(process.cmdline()):
                process.kill()
                return True
    return False


def main() -> None:
    """Kill, resume, and print what was killed, and whether all is whole."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    moments = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    on_ray = sys.argv[3:] == ["ray"]
    victims = ["supervisor", *VICTIMS, *(RAYS if on_ray else ())]
    folder, killed = Path(tempfile.mkdtemp(), "run"), Counter[str]()
    supervisor = start(
        str(EXAMPLE),
        "--run-folder",
        str(folder),
        "--set",
        f"checkpoint.every={EVERY}",
        *(RAY if on_ray else ()),
    )
    while killed.total() < kills and supervisor.poll() is None:
        wait(moments, folder)
        victim = moments.choice(victims)
        if supervisor.poll() is None and kill(victim, supervisor, folder):
            killed[victim] += 1
            if victim == "supervisor":
                supervisor = start("--resume", str(folder))
    code = supervisor.wait()
    time.sleep(1.0)
    journal = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines() if line]
    steps = finished(folder)
    whole = steps == set(range(1, max(steps) + 1))
    lost = sum(entry.get("lost_steps", 0) for entry in journal if entry["kind"] == "diagnosed")
    last = journal[-1]
    print(f"killed: {dict(killed)}; exit code {code}; run folder {folder}")
    print(f"journal: {len(journal)} whole entries, the last one {last['kind']} {last.get('status')}")
    print(f"steps 1 to {max(steps)} all done: {whole}; steps done again after failures: {lost}")
    print(f"processes left: {len(marked(folder))}")


if __name__ == "__main__":
    main()
