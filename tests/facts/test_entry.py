"""Programs of other releases than their options, and references without braces."""

from __future__ import annotations

from pathlib import Path

from rldoctor.check import check
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

NEW = """\
experiment_name: a
trial_name: b
rollout: {backend: "sglang:d4", max_concurrent_rollouts: 8}
gconfig: {n_samples: 8, max_new_tokens: 64}
actor:
  backend: "fsdp:d4"
  path: /models/q
ref:
  path: %s
"""


def found(folder: Path, config: str, launch: str | None = None) -> list[Finding]:
    (folder / "a.yaml").write_text(config)
    path = folder / "run.sh"
    path.write_text(f"{launch} --config a.yaml\n" if launch else "")
    report = check([str(path if launch else folder / "a.yaml")], ToldFacts()).report
    return [each for each in report.findings if each.rule == "refused-setting"]


def test_a_launcher_of_an_older_release(tmp_path: Path) -> None:
    launch = "python3 -m areal.launcher.local examples/math/gsm8k_rl.py"
    (finding,) = found(tmp_path, NEW % "/models/q", launch)
    assert finding.severity == "error"
    assert finding.remedies[0].title == "areal.infra.launcher.local"


def test_the_launcher_of_the_release(tmp_path: Path) -> None:
    launch = "python3 -m areal.infra.launcher.local examples/math/gsm8k_rl.py"
    assert found(tmp_path, NEW % "/models/q", launch) == []


def test_a_reference_without_braces(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, NEW % "$actor.path")
    assert [edit.new for edit in finding.remedies[0].edits] == ["path: ${actor.path}"]
    assert found(tmp_path, NEW % "${actor.path}") == []
    assert found(tmp_path, NEW % "$nobody.path") == []


def test_a_variable_of_the_shell_in_yaml(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, NEW % "$HOME/models")
    assert [edit.new for edit in finding.remedies[0].edits] == ["path: ${oc.env:HOME}/models"]
    assert found(tmp_path, NEW % "${oc.env:HOME}/models") == []
