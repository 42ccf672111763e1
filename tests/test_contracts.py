"""The schemas of docs/contracts hold for the real files, and refuse what the pages forbid."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rldoctor.report.structured import as_json
from rldoctor.rules import index, places
from rldoctor.suppress.project import load as load_project
from rldoctor.types import (
    UNKNOWN,
    Edit,
    Evidence,
    Fact,
    Finding,
    Origin,
    Place,
    Remedy,
    Report,
    RLDoctorError,
    Suppressed,
)

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "docs/contracts/schemas"
RULES = sorted(places.own_folder().glob("**/*.yaml"))
TABLES = sorted((ROOT / "rldoctor/dialects").glob("*/keys.yaml"))


def schema(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def mistakes(name: str, value: Any) -> list[str]:
    return [f"{list(error.absolute_path)}: {error.message}" for error in schema(name).iter_errors(value)]


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_each_schema_is_one(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_rule_file_keeps_the_contract(path: Path) -> None:
    rule = {
        "on" if key is True else key: value for key, value in load(path).items()
    }  # YAML 1.1 reads on as yes
    assert mistakes("rule", rule) == []


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.parent.name)
def test_every_dialect_row_keeps_the_contract(path: Path) -> None:
    assert [found for row in load(path)["rows"] for found in mistakes("dialect-row", row)] == []


@pytest.mark.parametrize("part", ["concept", "metric", "event"])
def test_every_word_of_the_vocabulary_keeps_the_contract(part: str) -> None:
    rows = load(ROOT / "rldoctor/vocabulary.yaml")[f"{part}s"]
    assert {name: found for name, row in rows.items() if (found := mistakes(part, row))} == {}


def reports() -> Iterator[Report]:
    yield Report("check", ("a.sh",), "nothing", "Nothing wrong found in 1 file.", ())
    place = Place("a.sh", 2, 1, 8, 14)
    edit = Edit("a.sh", 2, 8, 14, "replace", "--tp 3", "--tp 2")
    finding = Finding(
        id="odd", rule="odd", subject="a.sh", title="odd", severity="warning", confidence="possible",
        explanation="why", remedies=(Remedy("even", "safe", {"train.tp": UNKNOWN}, (edit,)),),
        evidence=(Evidence("--tp 3", "a.sh", 2, "--tp"), Evidence("line", time=1.5, rank=0)),
        fingerprint="00ff00ff",
    )  # fmt: skip
    fact = Fact("policy", "train.tp", 3, Origin("written", "--tp 3", "--tp", place), system="megatron")
    answered = Suppressed(finding, "we test this", ".rldoctor.yaml", 3, "2031-01-31")
    yield Report("check", ("a.sh",), "nothing", "1 suppressed.", (), suppressed=(answered,))
    yield Report("diagnose", ("run.log",), "config", "odd", (finding,), (fact,), timings={"seconds": 0.1})


@pytest.mark.parametrize("report", list(reports()), ids=lambda report: report.command)
def test_a_report_keeps_the_contract(report: Report) -> None:
    assert mistakes("report", json.loads(as_json(report))) == []


def test_a_report_says_nothing_that_the_contract_does_not_know() -> None:
    data = json.loads(as_json(next(reports())))
    assert mistakes("report", {**data, "score": 1})
    assert mistakes("report", {name: value for name, value in data.items() if name != "verdict"})


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("rule", {"severity": "fatal"}),
        ("concept", {"type": "enum", "meaning": "without choices"}),
        ("concept", {"type": "integer", "meaning": "no such type"}),
        ("dialect-row", {"concept": "train.tp", "key": "--tp", "type": "enum"}),
        ("dialect-row", {"concept": "train.tp", "key": "--tp", "type": "int", "unit": "gpus"}),
        ("event-line", {"v": 2, "t": 1.0, "kind": "step_finished"}),
        ("event-line", {"v": 1, "kind": "step_finished"}),
        ("config-revision", {"revision": 0}),
    ],
)
def test_what_the_pages_forbid_is_refused(name: str, bad: dict[str, Any]) -> None:
    assert mistakes(name, bad)


def test_events_and_revisions_of_a_run_folder_keep_the_contract() -> None:
    line = {
        "v": 1,
        "t": 1.5,
        "step": 3,
        "kind": "step_finished",
        "phase": "train",
        "seconds": 2.0,
        "tokens": 10,
    }
    assert mistakes("event-line", line) == []
    assert mistakes("config-revision", {"revision": 1, "model": {"path": "m"}}) == []


def test_the_project_file_of_the_page_keeps_the_contract_and_loads() -> None:
    page = (ROOT / "docs/contracts/project.md").read_text(encoding="utf-8")
    text = page.split("```yaml\n")[1].split("```")[0]
    raw = yaml.load(text, Loader=yaml.BaseLoader)
    assert mistakes("project", raw) == []
    assert load_project("page", text.encode(), index().ids).suppress[0].until == "2026-12-31"
    for wrong in ({"suppres": []}, {"suppress": [{"rule": "a"}]}):
        assert mistakes("project", wrong)
        with pytest.raises(RLDoctorError):
            load_project("wrong", json.dumps(wrong).encode(), index().ids)
