"""Attempts of a supervised run: what an earlier one died of is not what ended the run."""

from pathlib import Path

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.types import Report

STEPS = "".join(f"step:{n} - actor/grad_norm:0.3 - actor/pg_loss:0.1\n" for n in (1, 2, 3))
ERROR = (
    'Traceback (most recent call last):\n  File "/home/me/zoo.py", line 3, in score\n    feed()\n'
    "zoo.ZooError: the giraffe has no neck\n"
)


def run(folder: Path, *attempts: str) -> Report:
    (folder / "logs").mkdir(exist_ok=True)
    for number, text in enumerate(attempts, start=1):
        (folder / "logs" / f"trainer_{number}.log").write_text(text)
    return diagnose([str(folder)], None, ToldFacts())


def roots(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings if finding.part == "root"]


def test_a_run_that_was_started_once_more_and_went_well_is_well(tmp_path: Path) -> None:
    report = run(tmp_path, STEPS + ERROR, STEPS)
    assert roots(report) == []
    assert report.verdict == "nothing"


def test_the_last_attempt_tells_what_ended_the_run(tmp_path: Path) -> None:
    report = run(
        tmp_path, STEPS + ERROR, STEPS + ERROR.replace("ZooError: the giraffe has no neck", "BarError: no")
    )
    assert roots(report) == ["unrecognised"]
    assert "BarError" in report.summary


def test_an_attempts_log_that_is_read_alone_is_a_run_of_its_own(tmp_path: Path) -> None:
    run(tmp_path, STEPS + ERROR, STEPS)
    alone = diagnose([str(tmp_path / "logs" / "trainer_1.log")], None, ToldFacts())
    assert roots(alone) == ["unrecognised"]


def verdict(folder: Path, text: str) -> str:
    (folder / "run.log").write_text(text)
    notes = diagnose([str(folder / "run.log")], None, ToldFacts()).notes
    return next(note for note in notes if note.startswith("verdict: "))


def test_a_wrapper_that_restarts_in_vain_is_told_so(tmp_path: Path) -> None:
    again = "[run.sh] training failed (exit 1), restarting (attempt {} of 3)\n"
    said = verdict(tmp_path, ERROR + again.format(2) + ERROR + again.format(3) + ERROR)
    assert said.endswith("do not restart as it is: it failed the same way in 3 attempts")
    assert verdict(tmp_path, "=== try 1 ===\nKilled\n=== try 2 ===\nKilled\n").endswith("in 2 attempts")


def test_ranks_that_fail_alike_are_one_attempt(tmp_path: Path) -> None:
    assert "attempts" not in verdict(tmp_path, ERROR + "loading shard 2 of 8\n" + ERROR)


def test_the_last_of_torchruns_attempts_tells_what_ended_the_run(tmp_path: Path) -> None:
    for attempt, text in enumerate((STEPS + ERROR, STEPS)):
        folder = tmp_path / f"attempt_{attempt}" / "0"
        folder.mkdir(parents=True)
        (folder / "stdout.log").write_text(STEPS)
        (folder / "stderr.log").write_text(text)
    assert roots(diagnose([str(tmp_path)], None, ToldFacts())) == []
    assert roots(diagnose([str(tmp_path / "attempt_0")], None, ToldFacts())) == ["unrecognised"]
    (tmp_path / "attempt_1" / "0" / "stderr.log").write_text(ERROR)
    assert roots(diagnose([str(tmp_path)], None, ToldFacts())) == ["unrecognised"]


def test_an_attempt_that_only_failed_to_start_is_not_what_ended_the_run(tmp_path: Path) -> None:
    for attempt, text in enumerate((STEPS + ERROR, ERROR.replace("the giraffe has no neck", "no store"))):
        (tmp_path / f"attempt_{attempt}" / "0").mkdir(parents=True)
        (tmp_path / f"attempt_{attempt}" / "0" / "stdout.log").write_text(text)
    assert "giraffe" in diagnose([str(tmp_path)], None, ToldFacts()).summary


def test_what_a_job_that_succeeded_met_on_its_way_is_no_failure(tmp_path: Path) -> None:
    submitted = "2026-02-27 04:52:30,696\tSUCC cli.py:66 -- Job 'raysubmit_sqPU8h1u' {}\n"
    (tmp_path / "job.log").write_text(ERROR + submitted.format("succeeded"))
    assert roots(diagnose([str(tmp_path / "job.log")], None, ToldFacts())) == []
    (tmp_path / "job.log").write_text(ERROR + submitted.format("failed"))
    assert roots(diagnose([str(tmp_path / "job.log")], None, ToldFacts())) == ["unrecognised"]


def test_a_script_goes_on_behind_a_few_lines_of_python_of_its_own(tmp_path: Path) -> None:
    helper = (
        'Traceback (most recent call last):\n  File "<stdin>", line 5, in <module>\n'
        '  File "/usr/lib/python3.10/os.py", line 680, in __getitem__\n    raise KeyError(key) from None\n'
        "KeyError: 'GPU_LIST'\n"
    )
    (tmp_path / "run.log").write_text(helper + "launching\n" * 20 + ERROR)
    assert "ZooError" in diagnose([str(tmp_path / "run.log")], None, ToldFacts()).summary
    (tmp_path / "run.log").write_text(helper)
    assert "GPU_LIST" in diagnose([str(tmp_path / "run.log")], None, ToldFacts()).summary


def test_what_each_attempt_of_a_launcher_ended_with_was_not_survived(tmp_path: Path) -> None:
    table = (
        "E0501 10:00:01.123000 77 torch/distributed/elastic/multiprocessing/api.py:882] failed (exitcode: 1)"
        " local_rank: 1 (pid: {0}) of binary: /opt/python\nRoot Cause (first observed failure):\n[0]:\n"
        "  rank      : 1 (local_rank: 1)\n  exitcode  : 1 (pid: {0})\n  error_file: <N/A>\n"
    )
    attempts = [STEPS + ERROR + table.format(4000 + number) for number in range(4)]
    (tmp_path / "run.log").write_text("".join(attempts))
    assert roots(diagnose([str(tmp_path / "run.log")], None, ToldFacts())) == ["unrecognised"]
    (tmp_path / "run.log").write_text("".join([*attempts, STEPS]))
    assert roots(diagnose([str(tmp_path / "run.log")], None, ToldFacts())) == []


def job(number: int, *said: str) -> str:
    end = f"slurmstepd: error: *** JOB {number} ON n07 CANCELLED AT 2026-04-02T01:22:18 ***\n"
    return f"loads the data of job {number}\n{''.join(said)}{end}"


def test_what_failed_in_a_job_before_the_last_cancelled_one_ended_that_job(tmp_path: Path) -> None:
    (tmp_path / "slurm.out").write_text(job(70, ERROR) + job(71))
    report = diagnose([str(tmp_path / "slurm.out")], None, ToldFacts())
    assert roots(report) == ["stopped-from-outside"]
    assert report.findings[0].evidence[0].line == 8


def test_the_steps_of_one_job_are_cancelled_together(tmp_path: Path) -> None:
    step = "slurmstepd: error: *** STEP 70.0 ON n07 CANCELLED AT 2026-04-02T01:22:17 ***\n"
    (tmp_path / "slurm.out").write_text(ERROR + step + job(70))
    assert "unrecognised" in roots(diagnose([str(tmp_path / "slurm.out")], None, ToldFacts()))


def test_what_dies_before_a_run_gives_its_last_figures_did_not_end_it(tmp_path: Path) -> None:
    loader = "(TaskRunner pid=7) RuntimeError: DataLoader worker (pid 91) is killed by signal: Killed.\n"
    figures = "(TaskRunner pid=7) (\"Final validation metrics: {'val-core/gsm8k/acc/mean@1': 0.71}\")\n"
    log = tmp_path / "run.log"
    for end, found in ((figures, []), ("", ["host-memory-exhausted"])):
        log.write_text(STEPS + loader + end)
        assert roots(diagnose([str(log)], None, ToldFacts())) == found
