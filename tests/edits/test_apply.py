import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rldoctor.edits import apply
from rldoctor.types import Edit, RLDoctorError

NOBODY = 65534
SCRIPT = b"#!/bin/bash\nTP=8\npython3 -m verl.trainer.main_ppo trainer.nnodes=1\n"


def edit(path: Path, old: str, new: str, data: bytes = SCRIPT) -> Edit:
    start = data.index(old.encode())
    return Edit(str(path), 1, start, start + len(old), "replace", old, new)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="rldoctor-edits-"))
    path.chmod(0o777)
    yield path
    path.chmod(0o777)
    shutil.rmtree(path)


@pytest.fixture
def script(folder: Path) -> Path:
    path = folder / "run.sh"
    path.write_bytes(SCRIPT)
    path.chmod(0o754)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused_as_nobody(action: Callable[[], object]) -> str:
    """Run an action in a child without root's powers and return what it was refused with."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        message = "no refusal"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            action()
        except RLDoctorError as error:
            message = str(error)
        finally:
            os.write(writing, message.encode())
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode()


def test_writes_and_keeps_a_backup(script: Path) -> None:
    edits = [edit(script, "TP=8", "TP=4"), edit(script, "nnodes=1", "nnodes=2")]
    (applied,) = apply(edits, {str(script): SCRIPT})
    assert script.read_bytes() == SCRIPT.replace(b"TP=8", b"TP=4").replace(b"nnodes=1", b"nnodes=2")
    assert applied.file == str(script)
    assert applied.edits == tuple(edits)
    assert Path(str(applied.backup)).name == "run.sh.rldoctor-backup"
    assert Path(str(applied.backup)).read_bytes() == SCRIPT
    assert set(tree(script.parent)) == {"run.sh", "run.sh.rldoctor-backup"}


def test_mode_and_owner_stay(script: Path) -> None:
    if os.geteuid() == 0:
        os.chown(script, NOBODY, NOBODY)
    before = script.stat()
    (applied,) = apply([edit(script, "TP=8", "TP=4")], {str(script): SCRIPT})
    for path in (script, Path(str(applied.backup))):
        now = path.stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_backups_are_numbered_and_can_be_left_out(script: Path) -> None:
    for old, new in (("TP=8", "TP=4"), ("TP=4", "TP=2"), ("TP=2", "TP=1")):
        data = script.read_bytes()
        apply([edit(script, old, new, data)], {str(script): data})
    kept = tree(script.parent)
    assert kept["run.sh.rldoctor-backup"] == SCRIPT
    assert kept["run.sh.rldoctor-backup.1"] == SCRIPT.replace(b"TP=8", b"TP=4")
    assert kept["run.sh.rldoctor-backup.2"] == SCRIPT.replace(b"TP=8", b"TP=2")
    data = script.read_bytes()
    (applied,) = apply([edit(script, "TP=1", "TP=8", data)], {str(script): data}, backup=False)
    assert applied.backup is None
    assert len(tree(script.parent)) == 4


def test_a_file_changed_since_it_was_read_stops_all_files(script: Path) -> None:
    other = script.with_name("other.sh")
    other.write_bytes(SCRIPT + b"# a person was here\n")
    before = tree(script.parent)
    edits = [edit(script, "TP=8", "TP=4"), edit(other, "TP=8", "TP=4")]
    with pytest.raises(RLDoctorError, match="changed after it was read") as caught:
        apply(edits, {str(script): SCRIPT, str(other): SCRIPT})
    assert caught.value.file == str(other)
    assert tree(script.parent) == before


def test_a_span_that_does_not_hold_the_old_text_stops_all_files(script: Path) -> None:
    other = script.with_name("other.sh")
    other.write_bytes(SCRIPT)
    before = tree(script.parent)
    wrong = Edit(str(other), 1, 0, 4, "replace", "TP=8", "TP=4")
    with pytest.raises(RLDoctorError, match="not there any more"):
        apply([edit(script, "TP=8", "TP=4"), wrong], {str(script): SCRIPT, str(other): SCRIPT})
    assert tree(script.parent) == before


def test_a_read_only_folder_is_refused_with_nothing_written(script: Path) -> None:
    script.chmod(0o666)
    script.parent.chmod(0o555)
    before = tree(script.parent)
    message = refused_as_nobody(lambda: apply([edit(script, "TP=8", "TP=4")], {str(script): SCRIPT}))
    assert f"the folder {script.parent} is read-only" in message
    assert tree(script.parent) == before


def test_a_read_only_file_is_refused_with_nothing_written(script: Path) -> None:
    script.chmod(0o444)
    before = tree(script.parent)
    message = refused_as_nobody(lambda: apply([edit(script, "TP=8", "TP=4")], {str(script): SCRIPT}))
    assert "the file is read-only" in message
    assert tree(script.parent) == before


def test_an_owner_that_cannot_be_kept_is_refused(script: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give the file another owner")
    os.chown(script, 12345, 12345)
    script.chmod(0o666)
    before = tree(script.parent)
    message = refused_as_nobody(lambda: apply([edit(script, "TP=8", "TP=4")], {str(script): SCRIPT}))
    assert "cannot be written: Operation not permitted" in message
    assert tree(script.parent) == before


def test_links_are_followed_inside_their_folder_only(script: Path, tmp_path: Path) -> None:
    inside, outside = script.with_name("link.sh"), script.with_name("far.sh")
    inside.symlink_to("run.sh")
    far = tmp_path / "shared.sh"
    far.write_bytes(SCRIPT)
    outside.symlink_to(far)
    with pytest.raises(RLDoctorError, match=r"a link to .*shared\.sh, outside"):
        apply([edit(outside, "TP=8", "TP=4")], {str(outside): SCRIPT})
    assert far.read_bytes() == SCRIPT
    apply([edit(inside, "TP=8", "TP=4")], {str(inside): SCRIPT})
    assert inside.is_symlink()
    assert b"TP=4" in script.read_bytes()


def test_one_file_under_two_names_gets_the_edits_of_both(script: Path) -> None:
    link = script.with_name("link.sh")
    link.symlink_to("run.sh")
    edits = [edit(script, "TP=8", "TP=4"), edit(link, "nnodes=1", "nnodes=2")]
    apply(edits, {str(script): SCRIPT, str(link): SCRIPT})
    assert b"TP=4" in script.read_bytes()
    assert b"nnodes=2" in script.read_bytes()


def test_what_is_no_plain_file_is_refused(folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(RLDoctorError, match="not a regular file"):
        apply([edit(pipe, "TP=8", "TP=4")], {str(pipe): SCRIPT})
    gone = folder / "gone.sh"
    with pytest.raises(RLDoctorError, match="is gone"):
        apply([edit(gone, "TP=8", "TP=4")], {str(gone): SCRIPT})


def test_a_failure_at_the_second_file_brings_the_first_back(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = script.with_name("other.sh")
    other.write_bytes(SCRIPT)
    before = tree(script.parent)
    real = Path.replace

    def failing(self: Path, target: Path) -> Path:
        if Path(target) == other:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    edits = [edit(script, "TP=8", "TP=4"), edit(other, "TP=8", "TP=4")]
    with pytest.raises(RLDoctorError, match="No space left"):
        apply(edits, {str(script): SCRIPT, str(other): SCRIPT})
    assert tree(script.parent) == before


def test_a_change_by_another_hand_in_the_middle_brings_all_back(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = script.with_name("other.sh")
    other.write_bytes(SCRIPT)
    real = Path.replace

    def meddling(self: Path, target: Path) -> Path:
        if Path(target) == script:
            other.write_bytes(b"mine now\n")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", meddling)
    edits = [edit(script, "TP=8", "TP=4"), edit(other, "TP=8", "TP=4")]
    with pytest.raises(RLDoctorError, match="changed after it was read"):
        apply(edits, {str(script): SCRIPT, str(other): SCRIPT})
    assert tree(script.parent) == {"run.sh": SCRIPT, "other.sh": b"mine now\n"}


KILLED = """
import os, signal, sys
from pathlib import Path
from rldoctor.edits import apply
from rldoctor.types import Edit
path, deadly = sys.argv[1], int(sys.argv[2])
calls = 0
def trace(frame, event, arg):
    global calls
    if event in ("call", "c_call"):
        calls += 1
        if calls == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
data = Path(path).read_bytes()
start = data.index(b"TP=8")
edit = Edit(path, 2, start, start + 4, "replace", "TP=8", "TP=4")
sys.setprofile(trace)
apply([edit], {path: data})
sys.setprofile(None)
"""


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_text_whole(script: Path) -> None:
    old, new = SCRIPT, SCRIPT.replace(b"TP=8", b"TP=4")
    seen = set()
    for deadly in (40, 120, 200, 260, 300, 340, 380, 420, 460, 500, 10_000):
        script.write_bytes(SCRIPT)
        script.chmod(0o754)
        done = subprocess.run([sys.executable, "-c", KILLED, str(script), str(deadly)])
        assert done.returncode in (0, -signal.SIGKILL)
        assert script.read_bytes() in (old, new)
        assert script.stat().st_mode & 0o777 == 0o754
        seen.add((done.returncode, script.read_bytes() == new))
        for backup in script.parent.glob("*.rldoctor-backup*"):
            assert backup.read_bytes() in (old, b"")
    assert (-signal.SIGKILL, False) in seen
    assert (0, True) in seen
