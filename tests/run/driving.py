"""Running ``rldoctor run`` as a user does, with the fake trainer or the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).parent / "fake"
CONFIG = """\
# a run of a few milliseconds a step
run:
  folder: runs/quick
  steps: 12
rollout:
  prompts_per_step: 64
  samples_per_prompt: 16
  max_new_tokens: 8   # short
train:
  max_token_in_packing: 1000
  learning_rate: 1e-3
cluster:
  kind: ray
  workers: 1
checkpoint:
  every: 4
"""


@dataclass
class Driven:
    """A supervised run in a folder of its own."""

    home: Path
    fake: dict[str, Any] | None = field(default_factory=dict)
    text: str = CONFIG

    @property
    def config(self) -> Path:
        path = self.home / "mine.yaml"
        if not path.exists():
            path.write_text(self.text)
        return path

    @property
    def folder(self) -> Path:
        return self.home / "run"

    def start(self, *words: str) -> subprocess.Popen[str]:
        paths = [str(FAKE)] * (self.fake is not None) + [str(ROOT)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "FAKE": json.dumps(self.fake)}
        return subprocess.Popen(
            [sys.executable, "-m", "rldoctor", "run", *words],
            cwd=self.home,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return self.start(str(self.config), "--run-folder", str(self.folder), *words)

    def run(self, *words: str, seconds: float = 120) -> tuple[int, str]:
        return self.result(self.begin(*words), seconds)

    def resume(self, *words: str, seconds: float = 120) -> tuple[int, str]:
        return self.result(self.start("--resume", str(self.folder), *words), seconds)

    @staticmethod
    def result(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str]:
        out, _ = process.communicate(timeout=seconds)
        return process.returncode, out

    def journal(self, *kinds: str) -> list[dict[str, Any]]:
        path = self.folder / "journal.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        entries = [json.loads(line) for line in lines if line]
        return [entry for entry in entries if not kinds or entry["kind"] in kinds]

    def cures(self) -> list[dict[str, Any]]:
        """Return the changes that healing made; tuning's are another thing."""
        return [entry for entry in self.journal("edited") if entry["by"] == "healing"]

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        path = self.folder / "events.jsonl"
        data = path.read_bytes() if path.exists() else b""
        events = [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines() if line]
        return [event for event in events if not kinds or event["kind"] in kinds]

    def settings(self) -> dict[str, Any]:
        return dict(yaml.safe_load((self.folder / "config.yaml").read_text()))

    def left(self) -> list[str]:
        """Return what still runs of this run."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("RLDOCTOR_RUN") == str(self.folder)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    """Return the first truth of a condition, or fail."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")
