from __future__ import annotations

import json
from pathlib import Path

import pytest

from rldoctor.logs import read


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "logs").mkdir(parents=True)
    events = [
        {"v": 1, "t": 1000.0, "step": 0, "kind": "run_started", "version": "0.1"},
        {
            "v": 1,
            "t": 1010.0,
            "step": 1,
            "kind": "step_finished",
            "seconds": 9.5,
            "metrics": {"grad_norm": 0.25, "odd": 1},
        },
        {
            "v": 1,
            "t": 1020.0,
            "step": 2,
            "kind": "step_finished",
            "seconds": 9.5,
            "metrics": {"grad_norm": float("nan")},
        },
        {
            "v": 1,
            "t": 1021.0,
            "step": 3,
            "kind": "out_of_memory",
            "phase": "train",
            "device": "cpu_limit",
            "rank": 1,
        },
    ]
    text = "".join(json.dumps(event) + "\n" for event in events)
    (folder / "events.jsonl").write_text(text + '{"v": 1, "t": 1022.0, "ki')
    (folder / "journal.jsonl").write_text(
        '{"kind": "finding", "text": "CUDA out of memory. Tried to allocate 1 GiB"}\n'
    )
    (folder / "logs" / "rank1.log").write_text(
        "RuntimeError: can't allocate memory: you tried to allocate 99 bytes\n"
    )
    return folder


def test_events_are_read_as_they_were_told(run: Path) -> None:
    reading = read([str(run)], ["out of memory"])
    told = [event for event in reading.events if event.lines[0].file.endswith("events.jsonl")]
    assert [event.kind for event in told] == [
        "run_started",
        "step_finished",
        "step_finished",
        "out_of_memory",
    ]
    last = told[-1]
    assert (last.phase, last.who.rank, last.time, last.fields["device"]) == ("train", 1, 1021.0, "cpu_limit")
    assert last.lines[0].number == 4
    assert "trainer_core" in reading.systems


def test_metrics_and_steps_come_from_events(run: Path) -> None:
    reading = read([str(run)], [])
    assert next((s.step, s.value) for s in reading.samples if s.metric == "grad_norm") == (1, 0.25)
    assert [s.value for s in reading.samples if s.metric == "step_time"] == [9.5, 9.5]
    assert [sample.step for sample in reading.steps] == [1, 2]
    assert not [sample for sample in reading.samples if sample.metric == "odd"]


def test_processes_logs_beside_are_read_and_the_doctors_journal_is_not(run: Path) -> None:
    reading = read([str(run)], ["Tried to allocate"])
    assert reading.counts["Tried to allocate"] == 0
    assert {Path(name).name for name in reading.subjects} == {"events.jsonl", "rank1.log"}
    assert len([event for event in reading.events if event.kind == "out_of_memory"]) == 2


def test_the_runs_own_configuration_lies_beside(run: Path) -> None:
    (run / "config.yaml").write_text("revision: 3\ntrain:\n  micro_batch: 2\n")
    (printed,) = read([str(run)], []).configs
    keys = {setting.key: setting.value for setting in printed.document.worlds[0][0].settings}
    assert (keys["train.micro_batch"], printed.form) == (2, "run_folder")
    assert str(run / "config.yaml") in printed.document.files


def test_rank_of_a_file_comes_from_its_name(run: Path) -> None:
    reading = read([str(run)], ["can't allocate"])
    assert reading.hits["can't allocate"][0].who.rank == 1


def test_a_copy_under_another_name_is_told_by_its_first_words(tmp_path: Path) -> None:
    path = tmp_path / "what_they_sent_me.txt"
    step = '{{"v": 1, "t": {0}.5, "kind": "step_finished", "step": {0}, "metrics": {{"loss": 0.5}}}}\n'
    path.write_text("".join(step.format(number) for number in range(1, 4)))
    reading = read([str(path)], [])
    assert [event.kind for event in reading.events] == ["step_finished"] * 3
    assert reading.systems == ("trainer_core",)


def test_other_lines_of_json_are_no_events_of_the_trainer(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_text('{"v": 1, "time": 5, "kind": "request", "path": "/generate"}\n' * 3)
    assert read([str(path)], []).systems == ()
