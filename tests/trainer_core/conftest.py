from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SMALL = """\
run: {{folder: {folder}, steps: 4}}
data: {{prompts: 100, prompt_length: 5}}
rollout: {{prompts_per_step: 4, samples_per_prompt: 4, max_new_tokens: 5}}
algorithm: {{entropy: 0.05}}
train: {{learning_rate: 2e-3, max_token_in_packing: 64}}
cluster: {{threads: 1}}
checkpoint: {{every: 2}}
"""


class Trainer:
    """Runs the real program in processes of their own, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder / "run", folder / "config.yaml"
        self.config.write_text(SMALL.format(folder=self.folder))
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *settings: str, ranks: int = 1, config: Path | None = None) -> subprocess.Popen[str]:
        words = ["-m", "trainer_core", str(config or self.config), *(f"--set={s}" for s in settings)]
        launch = (
            [] if ranks == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        )
        process = subprocess.Popen(
            [sys.executable, *launch, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.config.parent,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
        )
        self.started.append(process)
        return process

    def run(self, *settings: str, ranks: int = 1, config: Path | None = None) -> tuple[int, str, str]:
        process = self.start(*settings, ranks=ranks, config=config)
        out, err = process.communicate(timeout=100)
        return process.returncode, out, err

    def events(self, kind: str | None = None, folder: Path | None = None) -> list[dict[str, Any]]:
        path = (folder or self.folder) / "events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in found if kind in (None, event["kind"])]

    def wait(self, holds: Callable[[], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    def metrics(self, name: str, folder: Path | None = None) -> list[float]:
        return [event["metrics"][name] for event in self.events("step_finished", folder)]


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    made = Trainer(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            for member in [
                *psutil.Process(process.pid).children(recursive=True),
                psutil.Process(process.pid),
            ]:
                member.kill()
            process.communicate()
