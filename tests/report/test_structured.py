import json
import math

from rldoctor.report.structured import as_json
from rldoctor.types import UNKNOWN, Edit, Evidence, Fact, Finding, Origin, Place, Remedy, Report


def report() -> Report:
    edit = Edit("t.sh", 3, 10, 18, "replace", "--tp 3", "--tp 2")
    finding = Finding(
        id="odd-tp", rule="odd-tp", subject="t.sh", title="odd", severity="error", confidence="certain",
        explanation="because", evidence=(Evidence("--tp 3", "t.sh", 3, "--tp"),),
        remedies=(Remedy("even", "safe", {"train.tp": 2, "env.X": UNKNOWN}, (edit,)),),
    )  # fmt: skip
    fact = Fact(
        "policy",
        "train.tp",
        UNKNOWN,
        Origin("written", "TP=$X", "--tp", Place("t.sh", 3, 1, 0, 4)),
        "unknown",
    )
    return Report("check", ("t.sh",), "config", "1 error", (finding,), (fact,), timings={"s": math.nan})


def test_the_json_has_the_contracts_fields_in_order() -> None:
    data = json.loads(as_json(report()))
    assert list(data) == [
        "version", "command", "subjects", "verdict", "summary", "findings", "facts",
        "memory", "timings", "notes", "suppressed",
    ]  # fmt: skip
    assert data["version"] == 1
    finding = data["findings"][0]
    assert finding["evidence"] == [
        {"text": "--tp 3", "file": "t.sh", "line": 3, "key": "--tp", "rank": None, "time": None}
    ]
    assert finding["remedies"][0]["edits"][0]["old"] == "--tp 3"
    assert finding["explained_by"] is None


def test_unknown_is_null_and_nan_is_a_word() -> None:
    data = json.loads(as_json(report()))
    assert data["facts"][0]["value"] is None and data["facts"][0]["state"] == "unknown"
    assert data["findings"][0]["remedies"][0]["set"] == {"train.tp": 2, "env.X": None}
    assert data["timings"] == {"s": "nan"}
