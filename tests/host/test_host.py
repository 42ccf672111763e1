"""``rldoctor host`` as a user sees it, and its facts in a check."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from rldoctor import host
from rldoctor.host import facts
from rldoctor.host.lines import Line
from rldoctor.types import RLDoctorError

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/contracts/schemas/host.schema.json").read_text())
SCRIPT = """\
python3 train.py --actor-num-nodes 2 --actor-num-gpus-per-node 8 --colocate \\
  --hf-checkpoint /models/Qwen3-4B --num-rollout 10 --rollout-batch-size 8 --n-samples-per-prompt 8
"""


def rldoctor(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rldoctor", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_one_status_a_line_and_the_same_as_json(tmp_path: Path) -> None:
    text = rldoctor("host", folder=tmp_path)
    statuses = {line.split()[0] for line in text.stdout.splitlines()[:-1] if not line.startswith(" ")}
    assert statuses <= {"ok", "note", "warning", "error", "unknown"}
    for topic in (
        "gpus:",
        "memory:",
        "shared memory:",
        "ulimit:",
        "disk for Ray:",
        "port:",
        "clock:",
        "proxy:",
    ):
        assert topic in text.stdout
    done = rldoctor("host", "--format", "json", folder=tmp_path)
    report = json.loads(done.stdout)
    jsonschema.validate(report, SCHEMA)
    loud = [line for line in report["lines"] if line["status"] in ("warning", "error")]
    assert done.returncode == text.returncode == (1 if loud else 0)


def test_a_machine_without_trouble_is_code_0_and_says_so() -> None:
    lines = [Line("gpus", "note", "no GPU: x"), Line("clock", "unknown", "y")]
    assert not host.is_loud(lines)
    assert host.as_text(lines).endswith("Nothing stands in the way of a run here.\n")


def test_a_check_knows_the_machine(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text(SCRIPT)
    told = {"cluster.gpus_per_node": 4, "cluster.gpu_memory_gib": 79.6, "cluster.cpus": 96}
    (tmp_path / "node.json").write_text(json.dumps({"command": "host", "lines": [], "facts": told}))
    words = ("check", "train.sh", "--host", "node.json", "--nodes", "2", "--format", "json")
    done = rldoctor(*words, folder=tmp_path)
    found = {fact["concept"]: fact["value"] for fact in json.loads(done.stdout)["facts"]}
    assert {name: found[name] for name in told} == told
    assert any(each["rule"] == "fewer-gpus-than-asked" for each in json.loads(done.stdout)["findings"])
    above = rldoctor(
        "check", "train.sh", "--host", "node.json", "--gpus", "8", "--format", "json", folder=tmp_path
    )
    assert {f["concept"]: f["value"] for f in json.loads(above.stdout)["facts"]}["cluster.gpus_per_node"] == 8


def test_a_check_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text(SCRIPT)
    done = rldoctor("check", "train.sh", "--host", "this", "--format", "json", folder=tmp_path)
    found = {fact["concept"]: fact["value"] for fact in json.loads(done.stdout)["facts"]}
    assert found["cluster.cpus"] == int(facts.of_this()["cluster.cpus"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no report of a host"),
        ('{"command": "check", "facts": {}}', "rldoctor check"),
        ("[]", "no report"),
    ],
)
def test_what_is_no_report_of_a_host(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "node.json").write_text(text)
    with pytest.raises(RLDoctorError, match=said):
        facts.of_file(str(tmp_path / "node.json"))
    with pytest.raises(RLDoctorError, match="no such file"):
        facts.of_file(str(tmp_path / "none.json"))
