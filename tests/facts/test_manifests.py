"""Files of job managers: what holds a launch is said, instead of asking for a system."""

from pathlib import Path

import pytest

from rldoctor import sources
from rldoctor.facts import ToldFacts, UnknownSystemError
from rldoctor.facts.walk import walk_known

RAY_JOB = "apiVersion: ray.io/v1\nkind: RayJob\nspec:\n  entrypoint: python3 -m verl.trainer.main_ppo a.b=1\n"
SKY = "resources: {accelerators: H100:8}\nrun: |\n  python3 -m verl.trainer.main_ppo \\\n    a.b=1\n"
COMPOSE = (
    'services:\n  t:\n    image: v\n    command: ["bash", "-c", "python3 -m verl.trainer.main_ppo a=1"]\n'
)


@pytest.mark.parametrize(
    ("text", "key"), [(RAY_JOB, "spec.entrypoint"), (SKY, "run"), (COMPOSE, "services.t.command")]
)
def test_the_command_in_a_manifest_is_named(text: str, key: str, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    with pytest.raises(UnknownSystemError, match=rf"{key} is the command of a launch") as raised:
        walk_known(sources.read(str(file)), ToldFacts())
    assert "rldoctor check -" in str(raised.value.hint)


def test_settings_that_nobody_knows_are_no_manifest(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("run: baseline\ncommand: train\nlearning_rate: 0.1\n")
    with pytest.raises(UnknownSystemError, match="cannot tell which system"):
        walk_known(sources.read(str(file)), ToldFacts())
