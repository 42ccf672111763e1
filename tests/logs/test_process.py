# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rldoctor.logs import LogReading, read
from rldoctor.types import Event, Identity

TABLE = """E0501 10:00:01.123000 77 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -9) local_rank: 1 (pid: 4712) of binary: /opt/env/bin/python
Traceback (most recent call last):
  File "/opt/env/lib/python3.11/site-packages/torch/distributed/launcher/api.py", line 383, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
train.py FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-05-01_10:00:01
  host      : node-3
  rank      : 8 (local_rank: 0)
  exitcode  : -15 (pid: 4711)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 4711
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-05-01_10:00:00
  host      : node-3
  rank      : 9 (local_rank: 1)
  exitcode  : -9 (pid: 4712)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 4712
============================================================
"""


def events(reading: LogReading, kind: str) -> list[Event]:
    return [event for event in reading.events if event.kind == kind]


def test_torchruns_table_names_who_died_first(reading: Callable[..., LogReading]) -> None:
    (event,) = events(reading(TABLE), "process_death")
    assert (event.fields["exit_code"], event.fields["signal"]) == (-9, "SIGKILL")
    assert event.lines[0].text.startswith("failed (exitcode: -9) local_rank: 1")
    assert Identity("node-3", 9, 4712) in event.spread


@pytest.mark.parametrize(
    ("line", "signal"),
    [
        ("Fatal Python error: Segmentation fault", "SIGSEGV"),
        ("[launch.py:321:sigkill_handler] ['python', 'a.py'] exits with return code = -7", "SIGBUS"),
        ("[launch.py:321:sigkill_handler] ['python', 'a.py'] exits with return code = -11", "SIGSEGV"),
        ("./launch.sh: line 12:  4711 Killed                  python train.py", "SIGKILL"),
        ("./launch.sh: line 7: 38788 Floating point exceptionpython -u train.py", "SIGFPE"),
        (
            " 12%|#   | 6/50 [1:00<9:00, 8.1s/it]./launch.sh: line 12:  4711 Bus error    python train.py",
            "SIGBUS",
        ),
        ("srun: error: node-7: task 3: Killed", "SIGKILL"),
        ("process 2 terminated with signal SIGABRT", "SIGABRT"),
        ("(W pid=2) *** SIGSEGV received at time=178035196 on cpu 7 ***", "SIGSEGV"),
        (
            "W0501 10:00:01.123000 77 torch/api.py:1] Received 15 death signal, shutting down workers",
            "SIGTERM",
        ),
        (
            "[2026-05-01 10:00:00] Received sigquit from a child process. It usually means the child failed.",
            "SIGQUIT",
        ),
        ("kernel: Out of memory: Killed process 4711 (python) total-vm:1kB", "SIGKILL"),
    ],
)
def test_deaths_by_signal(reading: Callable[..., LogReading], line: str, signal: str) -> None:
    assert events(reading(line + "\n"), "process_death")[0].fields["signal"] == signal


def test_an_exit_code_of_a_shell_tells_the_signal(reading: Callable[..., LogReading]) -> None:
    line = (
        "E0501 10:00:01.1 7 torch/api.py:1] failed (exitcode: 137) local_rank: 0 (pid: 9) of binary: python\n"
    )
    assert events(reading(line), "process_death")[0].fields["signal"] == "SIGKILL"


def test_v7_diagnose_an_actor_that_died(reading: Callable[..., LogReading]) -> None:
    log = """Traceback (most recent call last):
  File "/app/trainer.py", line 3, in fit
    self.group.update_actor(batch)
ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.
	class_name: Worker
	actor_id: 8d14
	pid: 319017
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker exits unexpectedly.
"""
    result = reading(log)
    (event,) = events(result, "worker_died")
    assert event.fields["actor"] == "Worker"
    assert event.fields["reason"].startswith("SYSTEM_ERROR Worker exits")
    assert event.who.pid == 319017
    assert event.phase == "train"
    assert not events(result, "process_death")


def test_v7_diagnose_an_actor_that_is_unavailable_is_a_lost_connection(
    reading: Callable[..., LogReading],
) -> None:
    log = "ray.exceptions.ActorUnavailableError: The actor 27ab is unavailable: RpcError: keepalive watchdog timeout; rpc_code: 14\n"
    result = reading(log)
    (event,) = events(result, "connection_lost")
    assert "keepalive watchdog timeout" in event.fields["reason"]
    assert not events(result, "worker_died")


TOLD = [
    ("s8", "port_in_use", {"port": 29500}, "[c10d] The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use"),
    ("s8", "port_in_use", {}, "OSError: [Errno 98] Address already in use"),
    ("s8", "connection_lost", {"host": "10.0.0.1", "port": 15000, "path": "/get_model_info"}, "ConnectionError: HTTPConnectionPool(host='10.0.0.1', port=15000): Max retries exceeded with url: /get_model_info (Caused by NewConnectionError)"),
    ("", "disk_full", {"path": "/data/ckpt/step_10/model.pt"}, "OSError: [Errno 28] No space left on device: '/data/ckpt/step_10/model.pt'"),
    ("", "disk_full", {}, "OSError: [Errno 122] Disk quota exceeded"),
    ("", "disk_full", {}, "RuntimeError: [enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0"),
    ("s2", "resources_missing", {"asked_gpus": 8.0}, "(autoscaler +34s) Error: No available node types can fulfill resource request {'CPU': 8.0, 'GPU': 8.0}"),
    ("s2", "resources_missing", {"asked_gpus": 16.0, "present_gpus": 8.0}, "ValueError: Total available GPUs 8.0 is less than total desired GPUs 16"),
    ("s1", "random_weights", {}, "WARNING: could not find the metadata file /m/latest_checkpointed_iteration.txt\n    will not load any checkpoints and will start from random"),
    ("s1", "checkpoint_missing", {"path": "/m/latest_checkpointed_iteration.txt"}, "WARNING: could not find the metadata file /m/latest_checkpointed_iteration.txt"),
    ("s11", "gpu_error", {"message": "an illegal memory access was encountered"}, "RuntimeError: CUDA error: an illegal memory access was encountered"),
    ("", "hardware_error", {"code": "79"}, "NVRM: Xid (PCI:0000:1a:00): 79, pid=1, GPU has fallen off the bus."),
    ("", "checkpoint_saved", {"step": 5, "path": "/c"}, "  successfully saved checkpoint from iteration       5 to /c [ t 1/1, p 1/1 ]"),
    ("s13", "nan", {"name": "local grad norm"}, "AssertionError: Rank 3: found NaN in local grad norm for bucket #0 in backward pass"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "kind", "fields", "line"), TOLD)
def test_s1_s2_s8_s11_s13_diagnose_lines_that_tell_it_all(
    reading: Callable[..., LogReading], row: str, kind: str, fields: dict[str, object], line: str
) -> None:
    (event,) = events(reading(line + "\n"), kind)
    assert fields.items() <= event.fields.items()


@pytest.mark.parametrize(
    "line",
    [
        "RuntimeError: unable to write to file </torch_41>: No space left on device (28) in shared memory",
        "(R pid=1) Failed to establish connection to the metrics exporter agent. Metrics will not be exported; rpc_code: 14",
        "core_worker.cc:9: Force kill actor request: The actor is dead because its owner has died. INTENDED_SYSTEM_EXIT",
        "[shutdown] engine core exited unexpectedly; starting cleanup",
        "[W501 10:00:00.1 ProcessGroupNCCL.cpp:1487] Warning: destroy_process_group() was not called before program exit",
        '(S pid=4) INFO:     10.2.1.1:40 - "POST /generate HTTP/1.1" 200 OK',
        "preempted by PreemptionMode.RECOMPUTE mode because there is not enough KV cache space",
    ],
)
def test_harmless_lines_make_no_event(reading: Callable[..., LogReading], line: str) -> None:
    assert {event.kind for event in reading(line + "\n").events} <= {"exception"}


def test_an_exit_code_after_an_exception_is_no_death(reading: Callable[..., LogReading]) -> None:
    raised = 'Traceback (most recent call last):\n  File "/app/a.py", line 1, in f\n    x\nValueError: no\n'
    ended = TABLE.replace("-9", "1").replace("  (SIGKILL)", "")
    assert events(reading(raised + ended), "process_death") == []
    assert [event.fields["exit_code"] for event in events(reading(ended), "process_death")] == [1]


@pytest.mark.parametrize(
    "line",
    [
        "[2026-05-01 10:00:00,000 I 9 9] gcs_actor_manager.cc:12: KillActor RPC failed: RpcError: Socket closed rpc_code: 14",
        "INFO trainer: waiting for the server: HTTPConnectionPool(host='10.0.0.1', port=80): Max retries exceeded with url: /health",
        "[W501 10:00:00.1 socket.cpp:752] [c10d] recvValue failed: Connection reset by peer, trying again",
    ],
)
def test_a_connection_that_is_tried_again_is_not_lost(reading: Callable[..., LogReading], line: str) -> None:
    assert reading(line + "\n").events == ()


@pytest.mark.parametrize(
    ("line", "signal"),
    [
        ("Container killed on request. Exit code is 137", "SIGKILL"),
        ("[ExitCode]: 137", "SIGKILL"),
        ("Process finished with exit code 139 (interrupted by signal 11: SIGSEGV)", "SIGSEGV"),
        ("Command terminated by signal 9", "SIGKILL"),
        ("Command '['python', 'train.py']' died with <Signals.SIGBUS: 7>.", "SIGBUS"),
        ("the trainer ended with exit status -11", "SIGSEGV"),
        ("srun: error: node-7: tasks 0-3: Exited with exit code 134", "SIGABRT"),
        ("launcher: returncode=-15, exit code: 143", "SIGTERM"),
    ],
)
def test_a_code_that_is_a_signals_tells_it_whoever_prints_it(
    reading: Callable[..., LogReading], line: str, signal: str
) -> None:
    assert [event.fields["signal"] for event in events(reading(line + "\n"), "process_death")] == [signal]


def test_a_row_of_torchruns_table_is_no_death_of_its_own(reading: Callable[..., LogReading]) -> None:
    told = events(reading(TABLE), "process_death")
    assert [event.fields["signal"] for event in told] == ["SIGKILL"]


@pytest.mark.parametrize(
    "line", ["exit code: 0", "the function returns -9", "exit code 13 of 143", "status 200"]
)
def test_a_number_that_is_no_signals_is_no_death(reading: Callable[..., LogReading], line: str) -> None:
    assert not events(reading(line + "\n"), "process_death")


def test_a_code_is_told_where_only_other_ranks_raised(reading: Callable[..., LogReading]) -> None:
    raised = (
        "[rank8]: Traceback (most recent call last):\n"
        '[rank8]:   File "/job/sft.py", line 71, in main\n'
        "[rank8]:     loss.backward()\n"
        "[rank8]: RuntimeError: Connection closed by peer [10.0.3.8]:5117.\n"
    )
    table = TABLE.replace("exitcode  : -9 (pid: 4712)  (SIGKILL)", "exitcode  : 3 (pid: 4712)")
    table = table.replace("(exitcode: -9)", "(exitcode: 3)")
    (event,) = events(reading(raised + table), "process_death")
    assert (event.fields["exit_code"], event.fields["rank"], event.fields["silent"]) == (3, 9, True)
    assert not events(reading(raised.replace("[rank8]", "[rank9]") + table), "process_death")
    filtered = raised.replace("Connection closed by peer [10.0.3.8]:5117.", "no room on the disk")
    assert not events(reading(filtered + table), "process_death")
    assert not events(reading(raised.replace("[rank8]: ", "") + table), "process_death")


KILLED = "/shared/home/me/projects/post-training/launch_eight_gpus.sh: line 149: 164805 Killed                  {}\n"


def test_a_script_far_down_the_tree_tells_of_a_kill_too(reading: Callable[..., LogReading]) -> None:
    (event,) = events(reading(KILLED.format('A="b" torchrun --nproc_per_node=8 train.py')), "process_death")
    assert event.fields["signal"] == "SIGKILL"


@pytest.mark.parametrize(
    "program", ["( while true; do", "python -m vllm.entrypoints.openai.api_server", "sleep 90"]
)
def test_what_a_script_ends_itself_is_no_death(reading: Callable[..., LogReading], program: str) -> None:
    assert not events(reading(KILLED.format(program)), "process_death")


def test_a_part_of_a_server_that_was_told_to_end_has_not_crashed(reading: Callable[..., LogReading]) -> None:
    part = "[2026-08-02 00:17:43] Subprocess detokenizer (pid=31379) crashed with exit code {}. Triggering SIGQUIT for cleanup...\n"
    assert not events(reading(part.format(-15)), "process_death")
    assert events(reading(part.format(-9)), "process_death")


def test_rays_record_of_an_actor_is_no_death_and_its_exit_code_is_read(
    reading: Callable[..., LogReading],
) -> None:
    record = "[2026-04-02 11:20:09,118 I 22 29] actor_manager.cc:236: received notification on actor, state: DEAD, death context type=ActorDiedErrorContext\n"
    assert not events(reading(record), "worker_died")
    told = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker exits unexpectedly. Worker exits with an exit code 9.\n"
    (event,) = events(reading(told), "worker_died")
    assert event.fields["exit_code"] == 9


def test_a_container_stopped_after_another_failed_did_not_end_the_job(
    reading: Callable[..., LogReading],
) -> None:
    own = "<info> 087c0ee7 || INFO: container failed with non-zero exit code:  (exit code 1)\n"
    stopped = own.replace("code 1)", "code 137)")
    (event,) = events(reading(own + stopped), "process_death")
    assert event.fields["reason"].endswith("(exit code 1)")
    (event,) = events(reading(stopped), "process_death")
    assert event.fields["signal"] == "SIGKILL"


def test_a_processor_that_lacks_an_instruction_kills(reading: Callable[..., LogReading]) -> None:
    for line in (
        "Illegal instruction (core dumped)\n",
        "run.sh: line 3:  4711 Illegal instruction     python a.py\n",
    ):
        (event,) = events(reading(line), "process_death")
        assert event.fields["signal"] == "SIGILL"
    assert not events(reading("CUDA error: an illegal instruction was encountered\n"), "process_death")


def test_a_task_that_ray_starts_again_is_no_death(tmp_path: Path) -> None:
    died = (
        '{"message": "A worker died or was killed while executing a task by an unexpected system error."}\n'
    )
    again = "[2026-04-02 11:20:09,118 I 22 29] core_worker.cc:5147: Will resubmit task after a 0ms delay: Type=NORMAL_TASK\n"
    (tmp_path / "event_RAYLET.log").write_text(died)
    (tmp_path / "python-core-driver-01ff_22.log").write_text(again)
    assert not events(read([str(tmp_path)], ()), "worker_died")
    (tmp_path / "event_RAYLET.log").write_text(died * 2)
    assert events(read([str(tmp_path)], ()), "worker_died")


def test_a_crash_shows_where_the_program_was(reading: Callable[..., LogReading]) -> None:
    log = (
        "Fatal Python error: Aborted\n\nThread 0x00007fdc (most recent call first):\n"
        '  File "/lib/threading.py", line 324 in wait\n\nThread 0x00007fdf (most recent call first):\n'
        '  File "/app/torch/distributed/distributed_c10d.py", line 3917 in all_gather\n'
        '  File "/app/train.py", line 437 in <module>\n'
    )
    (event,) = [event for event in reading(log).events if event.kind == "process_death"]
    assert [line.number for line in event.lines] == [1, 7, 8]
