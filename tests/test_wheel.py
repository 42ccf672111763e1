"""What the build hook puts into the wheel is enough to start: no YAML is parsed, no cache is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TWINS = """
import json, sys, types
from pathlib import Path
package = "hatchling"
for part in ("builders", "hooks", "plugin"):
    sys.modules[package] = types.ModuleType(package)
    package += "." + part
sys.modules[package] = types.ModuleType(package)
interface = sys.modules["hatchling.builders.hooks.plugin.interface"] = types.ModuleType("interface")
interface.BuildHookInterface = object
import hatch_build
made = hatch_build.twins(Path.cwd(), Path(sys.argv[1]))
print(json.dumps({name: str(path) for name, path in made.items()}))
"""
IMPORTED = """
from importlib.metadata import packages_distributions
owners = packages_distributions()
names = {module.partition(".")[0] for module in sys.modules}
print(json.dumps(sorted({owner for name in names for owner in owners.get(name, ())})))
"""
START = """
import sys
sys.modules["yaml"] = None
from rldoctor import dialects, rules, vocabulary
assert len(vocabulary.load().concepts) > 100
assert all(dialects.load(name).system == name for name in dialects.NAMES)
index = rules.index()
assert index.config and index.patterns
print(index.rule("packing-off").path)
"""


def python(code: str, *arguments: str, folder: Path, cache: str = os.devnull) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "XDG_CACHE_HOME": cache, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay the package out as the wheel does."""
    site = tmp_path_factory.mktemp("site")
    made = tmp_path_factory.mktemp("made")
    shutil.copytree(ROOT / "rldoctor", site / "rldoctor", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "rules", site / "rldoctor" / "_rules")
    (site / "rldoctor" / "_index").mkdir()
    for name, path in json.loads(python(TWINS, str(made), folder=ROOT)).items():
        shutil.copy(path, site / "rldoctor" / "_index" / f"{name}.json")
    return site


def test_an_installed_doctor_starts_without_yaml_and_without_a_cache(installed: Path) -> None:
    path = python(START, folder=installed).strip()
    assert path == str(installed / "rldoctor" / "_rules" / "train" / "packing-off.yaml")
    assert Path(path).is_file()


def test_no_path_of_the_building_machine_is_shipped(installed: Path) -> None:
    for twin in (installed / "rldoctor" / "_index").glob("*.json"):
        assert str(ROOT) not in twin.read_text(), twin.name


def test_the_build_asks_for_all_that_it_imports(tmp_path: Path) -> None:
    imported = json.loads(python(TWINS + IMPORTED, str(tmp_path), folder=ROOT).splitlines()[-1])
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    named = {requirement.partition(">")[0] for requirement in asked}
    given = {
        "rldoctor",
        "setuptools",
        "typing-extensions",
    }  # a site's own, and what msgspec takes if it is there
    assert {name.lower().replace("_", "-") for name in imported} - given <= named
