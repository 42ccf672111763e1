"""Diagnose with the shipped rules: dumps and configs beside logs, verdicts, what to switch on, a good run."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.report.structured import as_json
from rldoctor.report.text import as_text
from rldoctor.types import Finding, Report

REAL = Path(__file__).parent / "dumps" / "real"
WATCHDOG = (
    "[rank{rank}]:[E710 04:53:05.583801753 ProcessGroupNCCL.cpp:629] [Rank {rank}] Watchdog caught "
    "collective operation timeout: "
    "WorkNCCL(SeqNum=4, OpType=ALLREDUCE, NumelIn=8, NumelOut=8, Timeout(ms)=600000) ran for 600067 "
    "milliseconds before timing out.\n"
)
STEPS = "".join(f"step:{n} - actor/grad_norm:0.3 - actor/pg_loss:0.1\n" for n in range(1, 6))
SCRIPT = (
    "python3 -m verl.trainer.main_ppo --config-name=ppo_megatron_trainer "
    "actor_rollout_ref.actor.strategy=megatron "
    "actor_rollout_ref.actor.megatron.expert_model_parallel_size=2 trainer.nnodes=2\n"
)
OWN_ERROR = (
    "Traceback (most recent call last):\n"
    '  File "/opt/lib/python3.11/site-packages/verl/trainer.py", line 9, in fit\n    reward()\n'
    '  File "/home/me/zoo.py", line 3, in score\n    feed(giraffe)\nzoo.ZooError: the giraffe has no neck\n'
)


def run(folder: Path, text: str | None, **how: str | None) -> Report:
    if text is not None:
        (folder / "run.log").write_text(text)
    told = {"config": None, "against": None, **how}
    return diagnose([str(folder)], told["config"], ToldFacts(), against=told["against"])


def root(report: Report) -> Finding:
    return next(finding for finding in report.findings if finding.part == "root")


def verdict(report: Report) -> str:
    return report.notes[-1].removeprefix("verdict: ")


def test_dumps_beside_a_log_complete_what_the_watchdog_says(tmp_path: Path) -> None:
    for rank in range(3):
        shutil.copy(REAL / f"nccl_trace_rank_{rank}", tmp_path)
    report = run(tmp_path, WATCHDOG.format(rank=0) + WATCHDOG.format(rank=2))
    found = root(report)
    assert found.rule == "rank-missing-from-collective"
    assert "[1] did not come to ALLREDUCE 4" in found.title
    assert found.evidence[0].file == str(tmp_path / "run.log") and found.evidence[0].line == 1
    assert any("rank 1 did not come to it" in piece.text and piece.line is None for piece in found.evidence)
    assert any("3 flight-recorder dumps were taken into account" in note for note in report.notes)


def test_dumps_alone_are_enough(tmp_path: Path) -> None:
    for rank in range(3):
        shutil.copy(REAL / f"nccl_trace_rank_{rank}", tmp_path)
    assert root(run(tmp_path, None)).rule == "rank-missing-from-collective"


def test_a_snapshot_tells_what_held_the_memory_when_the_log_says_out_of_memory(tmp_path: Path) -> None:
    blocks = [{"address": 0, "size": 9 << 30, "state": "active_allocated",
               "frames": [{"name": "logits", "filename": "/app/model.py", "line": 7}]}]  # fmt: skip
    segment = {"device": 0, "address": 0, "total_size": 10 << 30, "blocks": blocks}
    dump = {"segments": [segment], "device_traces": [[]]}
    (tmp_path / "memory_rank0.pickle").write_bytes(pickle.dumps(dump))
    report = run(
        tmp_path, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a\n"
    )
    texts = [piece.text for piece in root(report).evidence]
    assert any(text.startswith("held 9.00 GiB in 1 block: logits") for text in texts)
    assert "missing-evidence" not in {finding.rule for finding in report.findings}


def test_a_config_beside_the_log_counts_and_is_said(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(
        "actor_rollout_ref:\n  actor:\n    strategy: megatron\n"
        "    megatron: {tensor_model_parallel_size: 4}\n"
    )
    report = run(tmp_path, STEPS + OWN_ERROR)
    told = {fact.concept: fact.value for fact in report.facts if fact.role == "policy"}
    assert told["train.tp"] == 4
    assert any(".hydra/config.yaml" in note for note in report.notes)


def test_an_unknown_failure_tells_who_was_first_and_whose_code_it_was(tmp_path: Path) -> None:
    lines = [f"(WorkerDict pid=411, ip=10.0.0.7) {line}\n" for line in OWN_ERROR.splitlines()]
    report = run(tmp_path, STEPS + "".join(lines))
    found = root(report)
    assert (found.rule, report.verdict) == ("unrecognised", "code")
    assert "WorkerDict, process 411, node 10.0.0.7 failed first" in found.explanation
    assert "Your own code is in it: score (/home/me/zoo.py:3)" in found.explanation
    assert "ZooError the giraffe has no neck" in " ".join(remedy.title for remedy in found.remedies)
    assert any("the last finished step is 5" in note for note in report.notes)
    assert verdict(report).startswith(
        "fix the code: score (/home/me/zoo.py:3); a restart as it is will fail again"
    )


def test_what_was_lost_is_counted_from_the_last_checkpoint(tmp_path: Path) -> None:
    text = "  successfully saved checkpoint from iteration       3 to /ckpt\n"
    report = run(tmp_path, STEPS[: STEPS.index("step:4")] + text + STEPS[STEPS.index("step:4") :] + OWN_ERROR)
    assert any(note.startswith("2 steps after the checkpoint of step 3") for note in report.notes)


def test_what_is_missing_is_switched_on_in_the_users_own_file(tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text("#!/bin/bash\n" + SCRIPT)
    logs = tmp_path / "logs"
    logs.mkdir()
    died = "Fatal Python error: Segmentation fault\nSegmentation fault (core dumped)\n"
    report = run(logs, STEPS + died, config=str(script))
    offered = [remedy for finding in report.findings for remedy in finding.remedies]
    news = [edit.new for remedy in offered for edit in remedy.edits]
    assert any("PYTHONFAULTHANDLER=1" in new for new in news)


def test_a_killed_worker_says_restart_and_a_bad_gpu_names_the_node(tmp_path: Path) -> None:
    xid = "[Tue Mar  3 10:00:00 2026] NVRM: Xid (PCI:0000:3b:00): 79, pid=911, GPU has fallen off the bus.\n"
    folder = tmp_path / "node-7"
    folder.mkdir()
    (folder / "dmesg.txt").write_text(xid)
    report = diagnose([str(tmp_path)], None, ToldFacts())
    assert report.verdict == "hardware"
    assert verdict(report).startswith("replace or cordon node node-7")


def test_a_full_disk_wants_room_not_another_machine(tmp_path: Path) -> None:
    full = "mkdir: cannot create directory 'iter_0000100': inode quota exceeded\n"
    report = run(tmp_path, STEPS + full)
    assert verdict(report).startswith("make room on the disk of ")


def test_the_verdict_says_a_remedy_in_short(tmp_path: Path) -> None:
    killed = "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\n"
    report = run(tmp_path, STEPS + killed)
    said, remedy = verdict(report), root(report).remedies[0]
    assert len(remedy.title) > 100 and "(" in remedy.title
    assert "(" not in said and "…" not in said and said.endswith("again the same way")


def test_a_healthy_log_gets_no_verdict_line_and_no_timeline(tmp_path: Path) -> None:
    report = run(tmp_path, STEPS)
    assert (report.verdict, report.notes, report.timeline) == ("nothing", (), ())


def test_against_a_good_run_settings_versions_and_metrics_differ(tmp_path: Path) -> None:
    good = tmp_path / "good.log"
    good.write_text("+ " + SCRIPT.replace("size=2", "size=4") + "NCCL version 2.27.3\n" + STEPS * 1)
    bad = tmp_path / "bad"
    bad.mkdir()
    ill = STEPS.replace("pg_loss:0.1", "pg_loss:9.5")
    report = run(bad, "+ " + SCRIPT + "NCCL version 2.21.5\n" + ill + OWN_ERROR, against=str(good))
    (found,) = [finding for finding in report.findings if finding.rule == "differs-from-good-run"]
    texts = [piece.text for piece in found.evidence]
    assert "nccl 2.21.5 here, 2.27.3 in the good run" in texts
    assert any(text.endswith("expert_model_parallel_size: 2 here, 4 in the good run") for text in texts)
    assert any("9.5 here, 0.1 in the good run" in text for text in texts)
    assert "9.5 here, 0.1 in the good run" in as_text(report)


def test_a_run_that_does_not_differ_from_the_good_one_is_said_so(tmp_path: Path) -> None:
    good = tmp_path / "good.log"
    good.write_text(STEPS)
    report = run(tmp_path, STEPS + OWN_ERROR, against=str(good))
    assert any(note.startswith("nothing that is compared is different in ") for note in report.notes)


def test_the_timeline_goes_across_ranks_and_only_verbose_shows_it(tmp_path: Path) -> None:
    report = run(tmp_path, STEPS + WATCHDOG.format(rank=0) + WATCHDOG.format(rank=2))
    assert any("rank 0,2" in row and "waits in ALLREDUCE 4" in row for row in report.timeline)
    assert "timeline:" in as_text(report, verbose=True) and "timeline:" not in as_text(report)
    assert "timeline" not in json.loads(as_json(report))


@pytest.mark.parametrize("verbose", [False, True])
def test_the_verdict_is_the_last_line(tmp_path: Path, verbose: bool) -> None:
    text = as_text(run(tmp_path, STEPS + OWN_ERROR), verbose)
    assert "\nverdict: fix the code: score" in text
    assert text.index("verdict: ") > text.rindex("note: ")


def test_the_first_screen_is_a_screen(tmp_path: Path) -> None:
    errors = "".join(OWN_ERROR.replace("ZooError", f"Zoo{n}Error") for n in range(200))
    text = as_text(run(tmp_path, "+ " + SCRIPT + STEPS + errors))
    assert len(text.splitlines()) <= 40


def test_a_snapshot_of_the_gpu_is_not_asked_for_where_the_host_ran_out(tmp_path: Path) -> None:
    killed = "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\n"
    report = run(tmp_path, STEPS + killed)
    assert report.findings[0].rule == "host-memory-exhausted"
    assert "More host memory" in report.findings[0].remedies[0].title
    assert not any("snapshot" in remedy.title for finding in report.findings for remedy in finding.remedies)
