from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from trainer_running import Host, Trainer


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


@pytest.fixture
def trainer(tmp_path: Path, host: Host) -> Iterator[Trainer]:
    made = Trainer(tmp_path, host)
    yield made
    made.end()
