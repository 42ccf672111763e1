"""Findings as code reviews take them: SARIF and workflow commands."""

import json

import jsonschema
from msgspec.structs import replace

from rldoctor.report.annotated import as_annotations, as_sarif
from rldoctor.types import Evidence, Finding, Remedy, Report, Suppressed

FINDING = Finding(
    id="a", rule="graphs-time-out", subject="a b/train.sh", title="rollout.tp=4: 100% slow",
    severity="warning", confidence="certain", explanation="Graph capture,\nslow.", phase="rollout",
    fingerprint="f00",
    evidence=(Evidence("a default"), Evidence("rollout.tp=4", "a b/train.sh", 3, "rollout.tp")),
    remedies=(Remedy("No graphs", "safe"),),
)  # fmt: skip
SECRET = replace(FINDING, id="b", explanation="WANDB_API_KEY=abcdefabcdef1234")
REPORT = Report("check", ("a b/train.sh",), "config", "1 warning in 1 file.", (FINDING,))
SHAPE = {  # what readers of SARIF 2.1.0 ask for, of the parts that are written here
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["ruleId", "level", "message", "locations"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {"required": ["text"]},
                            },
                        },
                    }
                },
            },
        },
    },
}


def test_sarif_names_rule_place_and_fingerprint() -> None:
    log = json.loads(as_sarif(REPORT))
    jsonschema.validate(log, SHAPE)
    (run,) = log["runs"]
    (result,) = run["results"]
    place = result["locations"][0]["physicalLocation"]
    assert (result["ruleId"], result["level"]) == ("graphs-time-out", "warning")
    assert place["artifactLocation"]["uri"] == "a%20b/train.sh"
    assert place["region"]["startLine"] == 3
    assert result["partialFingerprints"] == {"rldoctor/v1": "f00"}
    assert "1. No graphs (safe)" in result["message"]["text"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["graphs-time-out"]


def test_sarif_carries_what_was_answered_as_suppressed() -> None:
    answered = Suppressed(FINDING, "wanted here", "train.sh", 3)
    log = json.loads(as_sarif(replace(REPORT, findings=(), suppressed=(answered,))))
    (result,) = log["runs"][0]["results"]
    assert result["suppressions"] == [{"kind": "inSource", "justification": "wanted here"}]
    project = replace(answered, file="x/.rldoctor.yaml")
    log = json.loads(as_sarif(replace(REPORT, findings=(), suppressed=(project,))))
    assert log["runs"][0]["results"][0]["suppressions"][0]["kind"] == "external"


def test_an_annotation_is_one_line_with_its_place_and_nothing_unescaped() -> None:
    lines = as_annotations(REPORT).splitlines()
    assert lines == [
        "::warning file=a b/train.sh,line=3,title=graphs-time-out::rollout.tp=4: 100%25 slow%0AGraph capture,"
        "%0Aslow.%0A1. No graphs",
        "1 warning in 1 file.",
    ]


def test_a_finding_without_a_line_is_placed_at_its_file() -> None:
    told = replace(FINDING, evidence=(), subject="x,y:1.sh", severity="hint")
    assert as_annotations(replace(REPORT, findings=(told,))).startswith(
        "::notice file=x%2Cy%3A1.sh,title=graphs-time-out::"
    )
    log = json.loads(as_sarif(replace(REPORT, findings=(told,))))
    assert "region" not in log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]


def test_secrets_are_in_neither() -> None:
    report = replace(REPORT, findings=(SECRET,))
    assert "abcdefabcdef1234" not in as_sarif(report) + as_annotations(report)
