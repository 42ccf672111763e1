"""A supervised run of the real trainer, for the benchmarks that watch one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CONFIG = """\
run: {{folder: run, steps: 100000}}
rollout: {{prompts_per_step: 16, samples_per_prompt: 16, max_new_tokens: 8}}
algorithm: {{entropy: 0.05}}
train: {{learning_rate: 2e-3, max_token_in_packing: 4096}}
cluster: {{kind: {kind}, workers: {workers}, threads: 1}}
checkpoint: {{every: {every}}}
"""


@dataclass(frozen=True)
class Supervised:
    """The supervisor's process and the run folder."""

    process: subprocess.Popen[bytes]
    folder: Path

    def events(self, kind: str, step: int | None = None) -> list[dict[str, Any]]:
        path = self.folder / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines if f'"{kind}"' in line and line.endswith("}")]
        return [event for event in found if event["kind"] == kind and step in (None, event.get("step"))]

    def steps(self) -> list[dict[str, Any]]:
        return self.events("step_finished")

    def wait(self, steps: int, after: float = 0.0) -> dict[str, Any]:
        """Return the event of the first step from that number on that was finished after a time."""
        while self.process.poll() is None:
            found = [event for event in self.steps() if event["step"] >= steps and event["t"] > after]
            if found:
                return found[0]
            time.sleep(0.02)
        raise SystemExit((self.folder / "journal.jsonl").read_text())


def start(config: Path, folder: Path, **how: Any) -> subprocess.Popen[bytes]:
    """Start ``rldoctor run --autotune`` of this checkout."""
    words = ["run", "--autotune", str(config), "--run-folder", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "rldoctor", *words], env=environment, **how)


@contextmanager
def supervised(kind: str, workers: int, every: int) -> Iterator[Supervised]:
    """Start a run under supervision; end it with Ctrl-C's signal."""
    with tempfile.TemporaryDirectory() as home:
        config = Path(home, "config.yaml")
        config.write_text(CONFIG.format(kind=kind, workers=workers, every=every))
        process = start(config, Path(home, "run"), cwd=home, stdout=subprocess.DEVNULL)
        try:
            yield Supervised(process, Path(home, "run"))
        finally:
            process.terminate()
            process.wait(120)
