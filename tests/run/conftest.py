import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from driving import Driven


@pytest.fixture
def driven(tmp_path: Path) -> Driven:
    return Driven(tmp_path)
