"""The bundle for an issue upstream: everything in it, nothing secret."""

import json
import zipfile
from pathlib import Path

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.report.bundle import write
from rldoctor.types import Report, RLDoctorError

SECRET = "hf_abcdefghijklmnopqrstuvwxyz"
LOG = (
    "NCCL version 2.27.3+cuda12.9\n" + "hello\n" * 40 + f"export HF_TOKEN={SECRET}\n"
    'Traceback (most recent call last):\n  File "/home/me/zoo.py", line 3, in score\n    feed()\n'
    "zoo.ZooError: the giraffe has no neck ```` \n"
)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    (tmp_path / "run.log").write_text(LOG)
    (tmp_path / "train.sh").write_text(
        f"export WANDB_API_KEY={'0' * 40}\npython3 -m verl.trainer.main_ppo trainer.nnodes=2\n"
    )
    return diagnose([str(tmp_path / "run.log")], str(tmp_path / "train.sh"), ToldFacts())


def test_markdown_holds_report_versions_excerpts_and_config_without_secrets(
    tmp_path: Path, report: Report
) -> None:
    write(report, str(tmp_path / "issue.md"), str(tmp_path / "train.sh"))
    text = (tmp_path / "issue.md").read_text()
    assert "## Report" in text and "nccl 2.27.3" in text and "trainer.nnodes=2" in text
    assert "42: export HF_TOKEN=[redacted]" in text and "46: zoo.ZooError" in text
    assert SECRET not in text and "0" * 40 not in text
    assert "`````text" in text


def test_a_zip_holds_the_json_too(tmp_path: Path, report: Report) -> None:
    write(report, str(tmp_path / "issue.zip"))
    with zipfile.ZipFile(tmp_path / "issue.zip") as bundle:
        assert json.loads(bundle.read("report.json"))["version"] == 1
        assert SECRET not in bundle.read("report.md").decode() + bundle.read("report.json").decode()


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path, report: Report) -> None:
    with pytest.raises(RLDoctorError, match="cannot write the bundle"):
        write(report, str(tmp_path / "nowhere" / "issue.md"))
