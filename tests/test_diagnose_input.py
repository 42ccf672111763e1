"""Folders and bad input as they come: never a traceback, never without bound, what can be read is read."""

import gzip
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import zstandard

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.logs.anatomy import read_line
from rldoctor.logs.opening import LogFile
from rldoctor.types import Report, RLDoctorError

STEP = "step:{n} - actor/grad_norm:0.3 - actor/pg_loss:0.1\n"
ERROR = (
    'Traceback (most recent call last):\n  File "/home/me/zoo.py", line 3, in score\n    feed()\n'
    "zoo.ZooError: the giraffe has no neck\n"
)


def run(path: Path) -> Report:
    return diagnose([str(path)], None, ToldFacts())


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("none_ab1/attempt_0/3/stderr.log", "rank 3"),
        ("logs/rank_5.log", "rank 5"),
        ("session_1/logs/worker-0123456789abcdef-01000000-4711.err", "WorkerDict, process 4711"),
        ("slurm-77-node012.out", "node node012"),
    ],
)
def test_the_path_tells_who_failed_first(tmp_path: Path, name: str, who: str) -> None:
    head = ":job_id:01000000\n:actor_name:WorkerDict\n" if "session" in name else ""
    put(tmp_path / name, head + ERROR)
    put(tmp_path / Path(name).parent / "other.log", STEP.format(n=1))
    assert f"; {who} failed first" in run(tmp_path).findings[0].explanation


def test_loops_links_pipes_and_unreadable_files_of_a_folder_are_survived(tmp_path: Path) -> None:
    put(tmp_path / "a" / "run.log", ERROR)
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "self.log").symlink_to(tmp_path / "a" / "self.log")
    (tmp_path / "a" / "again.log").symlink_to(tmp_path / "a" / "run.log")
    (tmp_path / "a" / "gone.log").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "a" / "pipe.log")
    put(tmp_path / "a" / "locked.log", "secret").chmod(0)
    report = run(tmp_path)
    assert "ZooError" in report.summary
    assert len([name for name in report.subjects if "run" in name or "again" in name]) == 1


def test_a_log_that_vanishes_while_it_is_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "b.log", ERROR)
    gone = put(tmp_path / "a.log", STEP.format(n=1) * 100)
    ordinary = LogFile.chunks

    def vanishing(log: LogFile) -> object:
        if log.name == str(gone):
            gone.unlink(missing_ok=True)
        return ordinary(log)

    monkeypatch.setattr(LogFile, "chunks", vanishing)
    report = run(tmp_path)
    assert "ZooError" in report.summary
    assert any("a.log" in note and "vanished" in note for note in report.notes)


def test_what_a_cut_archive_holds_is_diagnosed_and_said(tmp_path: Path) -> None:
    noise = "".join(f"line {random.Random(n).random()}\n" for n in range(20_000))
    text = (ERROR + noise).encode()
    cut = {"gz": gzip.compress(text), "zst": zstandard.compress(text)}
    for kind, packed in cut.items():
        report = run(put(tmp_path / kind / f"run.log.{kind}", packed[: len(packed) // 2]))
        assert "ZooError" in report.summary
        assert any("cut off" in note or "broken" in note for note in report.notes)


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 5000 + ERROR.encode(),
        ERROR.encode("utf-16"),
        b"\xfa\xff broken \xc3\x28\n" + ERROR.encode(),
        b"x" * 3_000_000 + b"\n" + ERROR.encode(),
        ("> " + ERROR.replace("\n", "\n> ")).encode(),
        ("I get this:\n```\n" + ERROR.replace("    feed()\n", "    ...\n") + "```\nThanks!\n").encode(),
        ERROR.replace("\n", "\r\n").encode(),
    ],
    ids=["nul", "utf-16", "not utf-8", "endless line", "quoted", "fenced", "crlf"],
)
def test_texts_of_any_dress_are_read(tmp_path: Path, data: bytes) -> None:
    found = run(put(tmp_path / "run.log", data)).findings[0]
    assert "ZooError: the giraffe has no neck" in found.title
    assert not any("```" in piece.text for piece in found.evidence)


def test_a_hundred_thousand_different_errors_are_bounded(tmp_path: Path) -> None:
    errors = "".join(
        f"Zoo{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}Error: number {n} is wrong\n" for n in range(100_000)
    )
    report = run(put(tmp_path / "run.log", errors))
    assert report.findings and len(report.findings) <= 25


def test_the_output_of_nccl_tells_node_and_process() -> None:
    line = read_line(b"node3:411:500 [3] transport/net_ib.cc:12 NCCL WARN NET/IB : Got completion, status=12")
    assert (line.who.node, line.who.pid) == ("node3", 411)
    assert read_line(b"see NCCL WARN in a log").who.node is None


def test_nothing_to_read_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RLDoctorError, match="no log found"):
        run(tmp_path)


def test_a_pickle_that_executes_is_refused_by_the_program(tmp_path: Path) -> None:
    hostile = b"cposix\nsystem\n(S'touch it-ran'\ntR."
    put(tmp_path / "nccl_trace_rank_0", b"\x80\x02" + hostile)
    put(tmp_path / "run.log", ERROR)
    told = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    words = [sys.executable, "-m", "rldoctor", "diagnose", "-v", "."]
    done = subprocess.run(words, cwd=tmp_path, env=told, capture_output=True, text=True)
    assert done.returncode == 1 and "it names posix.system" in done.stdout
    assert not (tmp_path / "it-ran").exists()


def test_a_packed_log_of_which_nothing_is_left_is_not_called_well(tmp_path: Path) -> None:
    import zstandard

    packed = zstandard.compress(b"step:1 - actor/grad_norm:0.3\n" * 50)
    (tmp_path / "run.log.zst").write_bytes(packed[: len(packed) - 9])
    assert run(tmp_path).summary.startswith("Nothing could be read")


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, bytes], ids=["gz", "zst", "plain"])
def test_standard_input_may_be_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    piped = put(tmp_path / "piped", pack(ERROR.encode()))
    with piped.open("rb") as stream:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=stream))
        report = diagnose(["-"], None, ToldFacts())
    assert "ZooError" in report.summary


def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    put(tmp_path / "run.log", ERROR)
    words = [sys.executable, "-m", "rldoctor", "diagnose", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert "ZooError" in done.stdout


@pytest.mark.parametrize(
    ("name", "hint"),
    [("D:\\runs\\a.log", "/mnt/d/"), ("https://example.org/a.log", "Nothing is fetched"), ("a.log", "")],
)
def test_a_place_that_is_not_reached_by_that_name_is_explained(name: str, hint: str) -> None:
    with pytest.raises(RLDoctorError) as raised:
        diagnose([name], None, ToldFacts())
    assert (hint in raised.value.hint) and bool(hint) is bool(raised.value.hint)


def test_frames_of_packages_on_windows_are_not_the_user_s(tmp_path: Path) -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "C:\\me\\train.py", line 3, in <module>\n    import zoo\n'
        '  File "C:\\py\\Lib\\site-packages\\zoo\\__init__.py", line 8, in <module>\n    feed()\n'
        "ValueError: the giraffe has no neck\n"
    )
    root = run(put(tmp_path / "win.log", text)).findings[0]
    assert "Your own code is in it: <module> (C:\\me\\train.py:3)" in root.explanation


def test_no_snapshot_of_torch_is_asked_of_a_jax_program(tmp_path: Path) -> None:
    line = "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\n"
    found = run(put(tmp_path / "jax.log", ERROR[:93] + line)).findings
    assert [each.rule for each in found] == ["out-of-memory-in-jax"]
