# ruff: noqa: E501 lines of logs are as long as they are
"""Runs under Slurm, with an .out and an .err file and srun's label before each line: one test, one trap."""

from pathlib import Path

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.logs.anatomy import read_line
from rldoctor.types import Finding, Report


def told(folder: Path, out: str, err: str) -> Report:
    (folder / "71.out").write_text(out)
    (folder / "71.err").write_text(err)
    return diagnose([str(folder)], None, ToldFacts())


def alarms(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity in ("error", "warning")]


def steps(first: int, last: int) -> str:
    return "".join(
        f"7:  [2026-05-04 03:{n // 60:02}:{n % 60:02}.100000] iteration {n:8}/    9000 | consumed samples: {n * 8:8} | "
        f"elapsed time per iteration (ms): 990.1 | lm loss: 2.{900 - n}E+00 | grad norm: 0.7 | number of skipped iterations:   0 |\n"
        for n in range(first, last + 1)
    )


PLUGIN = (
    "0: /opt/tools/quant/logging.py:115: UserWarning: Failed to import audio plugin due to: "
    "ImportError('soundbox>=0.9 is required for a normal functioning of this module, but found soundbox==0.8.')\n"
)
ENVIRONMENT = "_CUDA_COMPAT_STATUS=System has unsupported display driver / cuda driver combination (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH) cuInit()=803\n"
LIMIT = "slurmstepd: error: *** JOB 71 ON n12 CANCELLED AT 2026-05-04T03:06:30 DUE TO TIME LIMIT ***\n"


def failed(rank: int, error: str) -> str:
    """Return what a rank prints under srun and torchrun, torn where srun's buffer was full."""
    return (
        f"0: [rank{rank}]: Traceback (most recent call last):\n"
        f'0: [rank{rank}]:   File "/work/eval/greedy.py", line 41, in main\n'
        f"0: [rank{rank}]:     logits = forward(batch)\n"
        f'0: [rank{rank}]:   File "/work/eval/greedy.py", line 90, in forw\n'
        "0: ard\n"
        f"0: [rank{rank}]:     return head(hidden)\n"
        f"0: [rank{rank}]: {error}\n"
    )


TABLE = """0: torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
0: ============================================================
0: /work/eval/greedy.py FAILED
0: ------------------------------------------------------------
0: Root Cause (first observed failure):
0: [0]:
0:   time      : 2026-05-04_03:00:31
0:   host      : n12
0:   rank      : 2 (local_rank: 2)
0:   exitcode  : 1 (pid: 1711)
0:   error_file: <N/A>
0:   traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
0: ============================================================
"""
END = "srun: error: n12: task 0: Exited with exit code 1\n"


def test_an_optional_import_that_failed_and_an_environment_that_is_shown_are_no_failure(
    tmp_path: Path,
) -> None:
    report = told(tmp_path, steps(1, 40) + "[after training is done] datetime: x\n", ENVIRONMENT + PLUGIN * 4)
    assert report.verdict == "nothing"
    assert not report.findings


def test_a_time_limit_is_no_consequence_of_what_the_run_outlived(tmp_path: Path) -> None:
    cache = (
        "24: [rank24]:E0504 03:00:20.340000 695 torch/_inductor/codecache.py:1052] [1/1] FileNotFoundError: "
        "[Errno 2] No such file or directory: '/lustre/tmp/torchinductor_kim/fxgraph/ta/.106.70.tmp'\n"
    )
    report = told(tmp_path, steps(1, 380), cache + LIMIT)
    (only,) = alarms(report)
    assert only.rule == "stopped-from-outside"
    assert only.part == "root"


def test_a_torn_line_of_another_is_no_exception(tmp_path: Path) -> None:
    error = "AssertionError: the head must gather its logits"
    report = told(tmp_path, "", failed(3, error) + failed(2, error) + TABLE + END)
    (root,) = alarms(report)
    assert root.title == f"No rule knows this failure: {error}"
    assert root.evidence[0].rank in (2, 3)


def test_the_code_of_a_process_that_left_by_itself_is_no_signal(tmp_path: Path) -> None:
    usage = "".join("0: greedy.py: error: unrecognized arguments: --head-type learnable\n" for _ in range(4))
    report = told(tmp_path, "", usage + TABLE.replace("exitcode  : 1", "exitcode  : 2") + END)
    assert alarms(report)[0].rule == "argument-unknown-to-this-release"
    assert not {"instruction-unknown-to-this-processor", "native-crash"} & {f.rule for f in report.findings}


def test_what_a_launcher_ended_for_comes_before_the_next_program_s_failure(tmp_path: Path) -> None:
    error = "AssertionError: the head must gather its logits"
    later = (
        "0: Traceback (most recent call last):\n"
        '0:   File "/work/eval/score.py", line 3, in <module>\n'
        "0:     from scoring import table\n"
        "0: ModuleNotFoundError: No module named 'scoring'\n"
    )
    first, second = alarms(told(tmp_path, "", failed(2, error) + TABLE + END + later + END))
    assert error in first.title
    assert (first.part, second.part, second.rule) == ("root", "root", "module-missing")


def test_a_rank_s_own_mark_counts_more_than_srun_s_label() -> None:
    line = read_line(b"4: [default1]:[rank9]: Traceback (most recent call last):")
    assert (line.who.node, line.who.rank, line.text) == ("4", 9, "Traceback (most recent call last):")
    plain = read_line(b"12:  [2026-05-04 03:00:31.100000] iteration        1/    9000 | lm loss: 2.1")
    assert plain.who.rank == 12
    assert plain.time is not None
    assert plain.text.startswith("iteration ")


def test_a_message_behind_a_bar_has_its_rank_and_time() -> None:
    raw = b"  0%|          | 1/200 [00:03<12:08,  3.66s/it][rank1]:[E405 03:51:41.285624929 ProcessGroupNCCL.cpp:688] late"
    line = read_line(raw, 2026)
    assert (line.who.rank, line.text) == (1, "late")
    assert line.time is not None


def test_a_year_that_one_file_tells_dates_the_other(tmp_path: Path) -> None:
    lost = "[rank5]:E0504 03:00:20.340000 695 torch/x.py:1] FileNotFoundError: [Errno 2] No such file or directory: '/lustre/tmp/torchinductor_kim/fxgraph/ta/.106.70.tmp'\n"
    assert not alarms(told(tmp_path, steps(1, 380), lost))


def test_sizes_that_differ_between_ranks_are_told(tmp_path: Path) -> None:
    def waits(rank: int, number: int, elements: int) -> str:
        return (
            f"[rank{rank}]:[E405 03:51:41.285624929 ProcessGroupNCCL.cpp:688] [Rank {rank}] Watchdog caught collective operation timeout: "
            f"WorkNCCL(SeqNum={number}, OpType=_ALLGATHER_BASE, NumelIn={elements}, NumelOut={2 * elements}, Timeout(ms)=600000) ran for 600053 milliseconds before timing out.\n"
            f"[rank{rank}]:[E405 03:51:41.286127773 ProcessGroupNCCL.cpp:2277] [PG ID 3 PG GUID 4 Rank {rank}]  failure detected by watchdog at work sequence id: {number} "
            f"PG status: last enqueued work: {number + 1}, last completed work: {number - 1}\n"
        )

    (root, *_) = told(tmp_path, "", waits(0, 404, 1140480) + waits(1, 405, 1216512)).findings
    assert root.rule == "ranks-disagree-on-shape-or-dtype"
    assert "1216512 elements, number 405" in root.title
    (alike, *_) = told(tmp_path, "", waits(0, 404, 1140480) + waits(1, 404, 1140480)).findings
    assert alike.rule == "collective-timeout"


def test_an_error_without_a_time_is_survived_if_its_log_is_dated_before_further_steps(tmp_path: Path) -> None:
    early = (
        "Traceback (most recent call last):\n"
        '  File "/home/kim/.local/bin/tracker", line 5, in <module>\n'
        "    from tracker.cli import main\n"
        "ModuleNotFoundError: No module named 'dataclasses'\n"
    )
    dated = (
        "7: [rank7]:[W504 03:00:02.651494569 ProcessGroupNCCL.cpp:927] Warning: a variable is deprecated\n"
    )
    report = told(tmp_path, steps(1, 380), early + dated + LIMIT)
    assert [finding.rule for finding in alarms(report)] == ["stopped-from-outside"]
    late = told(tmp_path, steps(1, 3), dated.replace("03:00:02", "03:09:02") + early)
    assert [finding.rule for finding in alarms(late)] == ["module-missing"]


def test_an_exception_torn_to_pieces_by_four_ranks_shows_its_words(tmp_path: Path) -> None:
    head = "0: Traceback (most recent call last):\n" * 4
    torn = (
        "0: ^\n" * 180
        + "0: FileNotFoundError\n0: : \n0: [Errno 2] No such file or directory: 'lists/a.txt'\n"
    )
    (root,) = alarms(told(tmp_path, "", head + torn + TABLE + END))
    assert "No such file or directory: 'lists/a.txt'" in root.title
    assert root.remedies[0].title.startswith("Put lists/a.txt where the job looks for it")


def test_the_module_that_lacks_a_name_is_the_one_to_change(tmp_path: Path) -> None:
    error = "AttributeError: module 'resilient_saver' has no attribute '__version__'"
    (root,) = alarms(told(tmp_path, "", failed(1, error) + TABLE + END))
    assert "resilient_saver" in root.remedies[0].title


def test_a_helper_that_failed_before_the_ranks_began_did_not_end_them(tmp_path: Path) -> None:
    helper = (
        "Traceback (most recent call last):\n"
        '  File "/home/kim/.local/bin/tracker", line 5, in <module>\n'
        "    from tracker.cli import main\n"
        "ModuleNotFoundError: No module named 'dataclasses'\n"
    )
    begin = "".join(f"{n % 8}: [rank{n % 8}]: a plugin is loaded\n" for n in range(160))
    error = "AssertionError: the head must gather its logits"
    only = [finding.title for finding in alarms(told(tmp_path, "", helper + begin + failed(2, error) + END))]
    assert only == [f"No rule knows this failure: {error}"]
    first = alarms(told(tmp_path, "", begin + helper + END))
    assert [finding.rule for finding in first] == ["module-missing"]


def test_an_exception_that_a_logger_tells_as_a_warning_was_caught(tmp_path: Path) -> None:
    cache = (
        "4: [rank4]:W0504 03:00:20.340000 695 torch/_inductor/codecache.py:1052] [1/2_1] FileNotFoundError: "
        "[Errno 2] No such file or directory: '/lustre/tmp/torchinductor_kim/fxgraph/ta/.106.70.tmp'\n"
    )
    assert not told(tmp_path, "training is over\n", cache).findings
    (root,) = alarms(told(tmp_path, "", cache.replace(":W0504", ":E0504")))
    assert root.rule == "kernel-cache-shared-by-nodes"


def test_words_that_ask_for_nothing_are_not_called_a_demand(tmp_path: Path) -> None:
    (root,) = alarms(told(tmp_path, "", failed(1, "RuntimeError: Invalid backend") + TABLE + END))
    assert root.remedies[0].title.startswith(
        "Find out why forw (/work/eval/greedy.py:90) says: Invalid backend"
    )


def test_what_a_launcher_says_next_is_no_more_of_the_message(tmp_path: Path) -> None:
    (root,) = alarms(
        told(tmp_path, "", failed(1, "TypeError: fold() missing 1 argument: 'b'").replace("0: ", "") + END)
    )
    assert not any("srun" in piece.text for piece in root.evidence[:3])


def test_a_launcher_s_table_may_be_torn(tmp_path: Path) -> None:
    error = "AssertionError: the head must gather its logits"
    torn = TABLE.replace("0: Root Cause (first", "0: Root Ca\n0: use (first")
    later = "0: Traceback (most recent call last):\n" + '0:   File "/work/s.py", line 3, in <module>\n'
    later += "0:     import table\n0: ModuleNotFoundError: No module named 'table'\n"
    head = (
        "0: Traceback (most recent call last):\n"
        + '0:   File "/opt/run.py", line 9, in main\n0:     raise ChildFailedError(\n'
    )
    first, _ = alarms(told(tmp_path, "", failed(2, error) + head + torn + END + later + END))
    assert error in first.title


def test_a_harmless_line_before_a_shell_s_last_word_does_not_claim_it(tmp_path: Path) -> None:
    left = "0: [rank3]:[W701 00:27:49.922867110 ProcessGroupNCCL.cpp:1569] Warning: WARNING: destroy_process_group() was not called before program exit, which can leak resources.\n"
    lacks = "0: python: can't open file '/work/src/main.py': [Errno 2] No such file or directory\n"
    (root,) = alarms(told(tmp_path, "", left + lacks + END.replace("code 1", "code 2")))
    assert "can't open file '/work/src/main.py'" in root.title


def test_a_launcher_s_report_of_an_earlier_run_is_not_put_before_a_known_failure(tmp_path: Path) -> None:
    head = (
        "Traceback (most recent call last):\n"
        + '  File "/opt/run.py", line 9, in main\n    raise ChildFailedError(\n'
    )
    report = head + TABLE.replace("0: ", "") + "\n"
    known = (
        "Traceback (most recent call last):\n"
        + '  File "/work/s.py", line 3, in <module>\n    import table\n'
    )
    known += "ModuleNotFoundError: No module named 'table'\n"
    (root, *_) = alarms(told(tmp_path, "", report + "starting again\n" * 80 + known + report))
    assert root.rule == "module-missing"


def test_a_bar_that_runs_into_a_frame_is_no_exception(tmp_path: Path) -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/work/serve.py", line 3, in step\n'
        "    outputs = execute(\n"
        'Consumer: 67783:   3%|▎         | 9/300 [00:44<23:57,  4.94s/it]  File "/work/engine.py", line 134, in execute\n'
        "    output = driver.run(request)\n"
        '  File "/work/engine.py", line 11, in run\n'
        "    return model(request)\n"
        "KeyboardInterrupt\n"
    )
    (root,) = alarms(told(tmp_path, "", text))
    assert root.rule == "stopped-by-hand"


def test_scores_of_predictions_are_no_rewards(tmp_path: Path) -> None:
    rows = "".join(
        f"{{'step': {n}, 'topk': [1, 2], 'pred_res': 'the garden', 'score': 0}}\nanother line\nand another\nand more\n"
        for n in range(30)
    )
    assert not told(tmp_path, rows, "").findings


def test_one_of_two_cures_of_a_message_is_told(tmp_path: Path) -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "/work/train.py", line 3, in <module>\n'
        "    check(arguments)\n"
        '  File "/work/train.py", line 2, in check\n'
        "    raise ValueError(message)\n"
        "ValueError: quick_save is not compatible with split_state. Either set quick_save=False, or change split_state.\n"
    )
    (root,) = alarms(told(tmp_path, "", text))
    assert "Do what the message says: Either set quick_save=False" in root.remedies[0].title


def stack(rank: int, place: str) -> str:
    return (
        f"[rank{rank}]: Timeout (0:30:00)!\n"
        "Thread 0x00007f6a1c0a1740 (most recent call first):\n"
        f'  File "{place}\n'
        '  File "/work/eval/greedy.py", line 300 in <module>\n'
    )


def test_ranks_that_stood_still_come_before_the_time_limit_that_ended_them(tmp_path: Path) -> None:
    waits = '/opt/lib/python3.12/site-packages/torch/distributed/distributed_c10d.py", line 4643 in barrier'
    reads = '/opt/lib/python3.12/site-packages/torch/utils/data/dataloader.py", line 1262 in _get_data'
    for rank in range(4):
        folder = tmp_path / "attempt_0" / str(rank)
        folder.mkdir(parents=True)
        (folder / "stderr.log").write_text(stack(rank, reads if rank == 2 else waits))
    root, *others = told(tmp_path, "starting\n", LIMIT).findings
    assert root.rule == "processes-stand-still" and "_get_data" in root.evidence[0].text
    assert [(other.rule, other.part) for other in others[:1]] == [("stopped-from-outside", "consequence")]
