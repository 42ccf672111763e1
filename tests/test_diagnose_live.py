"""Following a run that is still under way: by a clock of the test's own, and as a real process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rldoctor.diagnose.live import Clock, follow
from rldoctor.diagnose.writers import are_written
from rldoctor.facts import ToldFacts
from rldoctor.types import Report, RLDoctorError

STEP = "step:{n} - actor/grad_norm:0.3 - actor/pg_loss:0.1\n"
ERROR = (
    'Traceback (most recent call last):\n  File "/home/me/zoo.py", line 3, in score\n    feed()\n'
    "zoo.ZooError: the giraffe has no neck\n"
)


class Life:
    """A clock that lets a run write while diagnose sleeps."""

    def __init__(self, *moments: Callable[[], object]) -> None:
        self.time, self.moments = 0.0, list(moments)

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        if self.moments:
            self.moments.pop(0)()

    def follow(self, path: Path, idle: float) -> Report:
        return follow([str(path)], None, ToldFacts(), idle, Clock(lambda: self.time, self.sleep))


def write(path: Path, text: str) -> Callable[[], object]:
    def grow() -> None:
        with path.open("a") as file:
            file.write(text)

    return grow


def test_it_reports_as_soon_as_the_failure_is_certain(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    life = Life(write(log, STEP.format(n=1)), write(log, STEP.format(n=2)), write(log, ERROR))
    report = life.follow(tmp_path, idle=1000)
    assert "ZooError" in report.summary
    assert life.time < 30


def test_a_failure_that_the_run_survives_is_waited_out(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    more = [write(log, STEP.format(n=n)) for n in range(3, 8)]
    life = Life(write(log, STEP.format(n=1)), write(log, ERROR), *more)
    report = life.follow(tmp_path, idle=100)
    assert report.verdict == "nothing"
    assert "nothing was written for 100 s" in report.notes[0]


def test_silence_ends_it_and_is_said(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text(STEP.format(n=1))
    life = Life()
    assert "the run has ended or hangs" in life.follow(tmp_path / "run.log", idle=50).notes[0]
    assert 50 <= life.time < 60


def test_files_that_come_and_go_are_survived(tmp_path: Path) -> None:
    log, other = tmp_path / "run.log", tmp_path / "other.log"
    other.write_text("hello\n")
    life = Life(other.unlink, write(log, STEP.format(n=1)), write(log, ERROR))
    assert "ZooError" in life.follow(tmp_path, idle=1000).summary


def test_a_log_that_never_comes_and_standard_input_are_errors(tmp_path: Path) -> None:
    with pytest.raises(RLDoctorError, match="no log came"):
        Life().follow(tmp_path / "run.log", idle=20)
    with pytest.raises(RLDoctorError, match="cannot be followed"):
        follow(["-"], None, ToldFacts())


def interruptible() -> None:
    """Take interrupts again where the tests run in the background, which ignores them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_live_process_is_followed_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text(STEP.format(n=1))
    words = [sys.executable, "-m", "rldoctor", "diagnose", "--follow", str(log)]
    told = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=told) as watched:
        time.sleep(1)
        write(log, ERROR)()
        out, _ = watched.communicate(timeout=120)
    assert watched.returncode == 1 and "ZooError" in out
    log.write_text(STEP.format(n=1))
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=told, preexec_fn=interruptible
    ) as watched:
        time.sleep(3)
        watched.send_signal(signal.SIGINT)
        _, err = watched.communicate(timeout=60)
    assert watched.returncode == 130 and "Traceback" not in err


def test_a_run_whose_writer_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    writes = f"import sys, time; print({STEP.format(n=1)!r}, flush=True); sys.stdin.read()"
    with log.open("w") as out, subprocess.Popen([sys.executable, "-c", writes], stdin=-1, stdout=out) as run:
        while not log.stat().st_size:
            time.sleep(0.01)
        life = Life(lambda: None, lambda: None, lambda: run.communicate())
        out.close()
        report = life.follow(log, idle=1000)
    assert "no process writes to its logs any more" in report.notes[0]
    assert life.time < 30


def test_who_only_reads_a_log_does_not_keep_a_run_alive(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text(STEP.format(n=1))
    reads = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", reads, str(log)], stdin=-1, stdout=-1, text=True) as reader:
        assert reader.stdout is not None and reader.stdout.readline() == "open\n"
        assert not are_written([str(log)])
        reader.communicate()
