from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding


def findings(folder: Path, text: str) -> tuple[Finding, ...]:
    (folder / "job.log").write_text(text)
    return diagnose([str(folder / "job.log")], None, ToldFacts()).findings


def cures(root: Finding) -> list[str]:
    return [remedy.title for remedy in root.remedies[:2]]


@pytest.mark.parametrize(
    ("line", "cure"),
    [
        ("srun: error: gpu-3: task 5: Exited with exit code 127", "PATH"),
        ("srun: error: gpu-3: task 5: Exited with exit code 255", "ssh"),
        ("Error: Process completed with exit code 134.", "PYTHONFAULTHANDLER"),
        ("train.sh exited with code 2", "command line"),
    ],
)
def test_a_code_says_where_to_look_first(tmp_path: Path, line: str, cure: str) -> None:
    root = findings(tmp_path, f"loading the model\n{line}\n")[0]
    first, second = cures(root)
    assert cure in first
    assert "error stream" in second


def test_what_the_program_said_before_counts_for_more_than_its_code(tmp_path: Path) -> None:
    said = "ERROR: the tokenizer of the teacher has no padding"
    root = findings(tmp_path, f"{said}\nsrun: error: gpu-3: task 5: Exited with exit code 1\n")[0]
    assert root.evidence[0].text == said
    assert not any("error stream" in cure for cure in cures(root))


def test_a_code_amid_a_log_is_no_end(tmp_path: Path) -> None:
    steps = "".join(f"step {step} loss 1.{step}\n" for step in range(40))
    assert not findings(tmp_path, f"warm-up job exited with code 2\n{steps}")


@pytest.mark.parametrize(
    "line",
    [
        "Failed to open the gripper session.",
        "[2026-04-02 10:08:39,826 C 533 533] gizmo.cc:296: The gizmo was lost within the timeout setting.",
        "node1:77:78 [0] misc/gizmo.cc:268 NCCL WARN Call to gizmo_create failed",
        "srun: error: Unable to make a gizmo for job 3: Strange thing",
        "F0402 10:08:39.826 533 gizmo.cc:296] The gizmo is gone",
    ],
)
def test_what_a_short_text_ends_with_is_told_though_nothing_was_raised(tmp_path: Path, line: str) -> None:
    root = findings(tmp_path, f"loading the model\n{line}\n")[0]
    assert (root.rule, root.part) == ("unrecognised", "root")
    assert root.evidence[0].text in line


@pytest.mark.parametrize(
    "text",
    [
        "Could not load the library 'libgizmo.so'; it is optional\nall is loaded\nmodel exported\nsaved\n",
        "step 1 loss 2.0\nstep 2 loss 1.9\nFailed to upload the summary\n",
        "WARNING: Failed to upload the summary\n",
    ],
)
def test_what_failed_and_ended_nothing_is_no_end(tmp_path: Path, text: str) -> None:
    assert not findings(tmp_path, text)


def test_what_a_build_says_itself_counts_for_more_than_what_pip_says_of_it(tmp_path: Path) -> None:
    own = "      error: [Errno 71] Protocol of the mirror is not spoken"
    text = f"  error: subprocess-exited-with-error\n  [3 lines of output]\n{own}\n      [end of output]\n"
    root = findings(tmp_path, f"{text}  ERROR: Failed building wheel for quick-kernels\n")[0]
    assert root.evidence[0].text == own.strip()
    alone = findings(tmp_path, "  ERROR: Failed building wheel for quick-kernels\n")[0]
    assert "quick-kernels" in alone.evidence[0].text


@pytest.mark.parametrize(
    ("line", "cure"),
    [
        ("bash: launch.sh: No such file or directory", "exists on that node"),
        ("ValueError: Tried to find ckpt/last but folder does not exist", "Give a path that exists"),
        ("错误: 数据文件损坏: /data/a.parquet", "Search"),
    ],
)
def test_a_last_word_without_a_line_number_or_in_chinese_is_an_end(
    tmp_path: Path, line: str, cure: str
) -> None:
    root = findings(tmp_path, f"loads\n{line}\n")[0]
    assert root.rule == "unrecognised" and root.evidence[0].text == line
    assert any(cure in told for told in cures(root))
