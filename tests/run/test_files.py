"""The files of a run folder: configuration, journal, events."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rldoctor.run import journal, processes
from rldoctor.run.config_file import ConfigFile, HandEditedError, parse, with_values, without
from rldoctor.run.history import History
from rldoctor.run.journal import Journal
from rldoctor.run.tail import Tail
from rldoctor.types import RLDoctorError

TEXT = b"# mine\nrevision: 3   # counts\ntrain:\n  packing: true\n  max_token_in_packing: 4096  # tokens\n"


@pytest.fixture
def config(tmp_path: Path) -> ConfigFile:
    path = tmp_path / "config.yaml"
    path.write_bytes(TEXT)
    return ConfigFile(path)


def test_a_revision_changes_its_setting_and_its_number_alone(config: ConfigFile) -> None:
    revision = config.revise(with_values(config.known, {"train.max_token_in_packing": 512}))
    assert revision == 4
    assert config.path.read_bytes() == TEXT.replace(b"4096", b"512").replace(b": 3", b": 4")
    assert not list(config.path.parent.glob("*.doctor"))


def test_a_revision_is_added_where_there_is_none() -> None:
    text = with_values(parse(b"train:\n  packing: true\n", "x"), {"revision": 2, "model.meta_init": True})
    assert text.settings == {"train.packing": True, "revision": 2, "model.meta_init": True}


def test_a_setting_is_taken_out() -> None:
    assert without(parse(TEXT, "x"), "train.packing").settings.keys() == {
        "revision",
        "train.max_token_in_packing",
    }


def test_an_edit_by_hand_is_never_overwritten(config: ConfigFile) -> None:
    edited = TEXT.replace(b"true", b"false")
    wanted = with_values(config.known, {"train.max_token_in_packing": 512})
    config.path.write_bytes(edited)
    with pytest.raises(HandEditedError):
        config.revise(wanted)
    assert config.path.read_bytes() == edited


def test_an_edit_by_hand_is_noticed_once_it_is_whole(config: ConfigFile) -> None:
    assert not config.edited_by_hand()
    config.path.write_bytes(TEXT + b"run: {steps: 5}\n")
    assert not config.edited_by_hand()  # it may still be being written
    assert config.edited_by_hand()
    assert config.take_in().settings["run.steps"] == 5
    assert not config.edited_by_hand()


def test_an_own_revision_is_no_edit_by_hand(config: ConfigFile) -> None:
    config.revise(with_values(config.known, {"train.packing": False}))
    assert not config.edited_by_hand()
    assert not config.edited_by_hand()


def test_half_a_configuration_is_an_error(config: ConfigFile) -> None:
    config.path.write_bytes(b"train: [\n")
    with pytest.raises(RLDoctorError):
        config.take_in()


def test_a_journal_goes_on_behind_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / journal.NAME
    path.write_text('{"v": 1, "t": 1, "kind": "launched"}\n{"v": 1, "t"')
    written = Journal(path)
    written.write("ended", exit_code=None, signal="SIGKILL")
    assert [entry["kind"] for entry in journal.read(path)] == ["launched", "ended"]
    assert "exit_code" not in path.read_text()


def test_a_full_disk_makes_entries_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / journal.NAME
    written, real = Journal(path), os.write

    def full(number: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    written.write("diagnosed", finding="disk-full")
    monkeypatch.setattr(os, "write", real)
    written.write("finished", status="stopped")
    assert [entry["kind"] for entry in journal.read(path)] == ["diagnosed", "finished"]


def test_half_an_event_waits_for_its_rest(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert list(tail.new()) == []
    first, second = '{"kind": "run_started"}\n', '{"kind": "step_finished", "step": 1}\n'
    path.write_text(first + second[:10])
    assert [event["kind"] for event in tail.new()] == ["run_started"]
    path.write_text(first + second + "no json\n")
    assert [event["kind"] for event in tail.new()] == ["step_finished"]
    assert list(tail.new()) == []


def test_history_is_the_same_live_and_read_again(tmp_path: Path) -> None:
    written, live = Journal(tmp_path / journal.NAME), History()
    entries = [
        ("supervision", {"options": {"autotune": True}}),
        ("launched", {"attempt": 1, "pid": 5, "created": 1.5, "began": 10.0, "step": 0}),
        ("ended", {"attempt": 1, "step": 3}),
        ("diagnosed", {"finding": "oom", "step": 3, "lost_steps": 3, "micro_batch_tokens": 900}),
        ("cure", {"finding": "oom", "title": "less", "set": {"a": 1}, "step": 3}),
        ("edited", {"changes": {"train.x": [2, 1]}, "reason": "oom", "by": "healing"}),
        ("measured", {"budget": 100, "micro_batch_tokens": 90, "bytes_peak": 5, "verdict": "baseline"}),
        ("experiment", {"number": 1, "before": 100, "after": 200}),
    ]
    for kind, fields in entries:
        live.add(written.write(kind, **fields))
    again = History()
    for entry in journal.read(tmp_path / journal.NAME):
        again.add(entry)
    assert again == live
    assert (again.too_much, again.kept, again.experiments, again.lost_steps) == (900, [100], 1, 3)
    assert again.open_experiment is not None and json.dumps(again.open_cure)


def test_progress_forgets_the_failures_before_it() -> None:
    history = History()
    for step in (3, 3, 9):
        history.add({"t": 1.0, "kind": "diagnosed", "finding": "killed", "step": step})
    assert history.in_a_row["killed"] == 1
    assert history.failures == 3


def test_the_end_of_a_tree_leaves_no_grandchild_in_a_session_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    script = "setsid sleep 300 & setsid sh -c 'sleep 301 & wait' & sleep 302"
    child = processes.start(["sh", "-c", script], folder, tmp_path / "log")
    while len(processes.of_run(folder)) < 5:
        assert child.poll() is None
    processes.end_all(folder, child)
    assert processes.of_run(folder) == []
    assert child.wait() == -9
