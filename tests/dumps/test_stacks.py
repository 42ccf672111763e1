"""Stacks of faulthandler and py-spy, and what ``ray status`` prints, told by their text."""

from pathlib import Path

from rldoctor import dumps

FAULT = """Thread 0x00007f3a11111640 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 324 in wait
  File "/usr/lib/python3.11/threading.py", line 1002 in _bootstrap

Current thread 0x00007f3a22222740 (most recent call first):
  File "/opt/lib/site-packages/torch/distributed/distributed_c10d.py", line 2501 in all_reduce
  File "/app/train.py", line 88 in step
  File "/app/train.py", line 120 in <module>
"""
SPY = """Process 4711: python train.py
Python v3.11.9 (/usr/bin/python3.11)

Thread 4711 (idle): "MainThread"
    read (/app/data.py:31)
    next_batch (/app/train.py:60)
    <module> (/app/train.py:120)
Thread 4800 (idle): "pin"
    wait (threading.py:324)
"""
STATUS = """======== Autoscaler status: 2026-03-02 10:00:00.123456 ========
Node status
---------------------------------------------------------------
Active:
 1 node_a
Resources
---------------------------------------------------------------
Usage:
 8.0/64.0 CPU
 8.0/8.0 GPU
 0B/1.2TiB memory
Demands:
 {'CPU': 1.0, 'GPU': 1.0} * 8 (PACK): 1+ pending placement groups
"""


def events(folder: Path, **texts: str) -> tuple[object, ...]:
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return dumps.read(dumps.split([str(folder)])[0]).events


def test_the_process_that_stands_elsewhere_comes_first(tmp_path: Path) -> None:
    (event,) = events(tmp_path, stacks_rank0=FAULT, stacks_rank1=FAULT, stacks_rank2=SPY)
    assert event.kind == "hang" and event.fields["ranks"] == [0, 1, 2]
    assert event.lines[0].text == "rank 2 at read (/app/data.py:31) < next_batch (/app/train.py:60)"
    assert event.lines[1].text.startswith("ranks 0-1 at all_reduce (/opt/lib/site-packages/torch")
    assert event.lines[1].text.endswith("< step (/app/train.py:88)")


def test_a_log_that_only_quotes_a_stack_stays_a_log(tmp_path: Path) -> None:
    assert dumps.split([str(tmp_path)])[0] == ()
    (tmp_path / "run.txt").write_text("step:1 - loss:0.3\n" + FAULT)
    assert dumps.split([str(tmp_path)])[0] == ()


def test_ray_status_tells_a_demand_that_nothing_can_meet(tmp_path: Path) -> None:
    (event,) = events(tmp_path, ray_status=STATUS)
    assert event.kind == "resources_missing"
    assert (event.fields["asked_gpus"], event.fields["present_gpus"]) == (1.0, 8.0)
    assert event.lines[0].text.startswith("{'CPU': 1.0") and event.lines[0].number == 13


def test_a_demand_that_fits_is_no_failure(tmp_path: Path) -> None:
    assert events(tmp_path, ray_status=STATUS.replace("8.0/8.0 GPU", "0.0/8.0 GPU")) == ()


def test_a_dump_of_text_is_read_as_a_log_as_well_so_that_rules_see_its_lines(tmp_path: Path) -> None:
    named = tmp_path / "driver.txt"
    for text in (SPY, FAULT, STATUS):
        named.write_text(text)
        found, logs = dumps.split([str(named)])
        assert [one.path for one in found] == [str(named)]
        assert logs == (str(named),)
