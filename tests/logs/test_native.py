# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from collections.abc import Callable

import pytest

from rldoctor.logs import LogReading


@pytest.mark.parametrize(
    ("log", "name", "message", "line"),
    [
        (
            "(pid=44) [2026-05-01 11:48:32,338 E 44 44] logging.cc:118: Unhandled exception: St12system_error. what(): Resource temporarily unavailable /opt/x.so(+0x18) [0x7e]\n",
            "std::system_error",
            "Resource temporarily unavailable",
            1,
        ),
        (
            "terminate called after throwing an instance of 'c10::Error'\n  what():  CUDA error: device-side assert triggered\n",
            "c10::Error",
            "CUDA error: device-side assert triggered",
            2,
        ),
        (
            "[2026-05-01 11:48:32,338 C 44 44] (raylet) worker_pool.cc:570:  Check failed: shim_pid.has_value() no pid\n",
            "check failed",
            "shim_pid.has_value() no pid",
            1,
        ),
    ],
)
def test_failures_of_native_code(
    reading: Callable[..., LogReading], log: str, name: str, message: str, line: int
) -> None:
    (failure,) = reading(log).failures
    assert (failure.exception, failure.message, failure.line.number) == (name, message, line)


def test_a_lost_gcs_is_a_lost_connection(reading: Callable[..., LogReading]) -> None:
    line = "[2026-05-01 11:24:34,294 E 39 39] rpc_client.h:204: Failed to connect to GCS within 20 seconds. GCS may have been killed.\n"
    (event,) = reading(line).events
    assert (event.kind, event.fields["peer"]) == ("connection_lost", "GCS")


def test_an_abort_whose_reason_the_watchdog_has_told_is_no_failure_of_its_own(
    reading: Callable[..., LogReading],
) -> None:
    line = "terminate called after throwing an instance of 'c10::DistBackendError'\n"
    assert not reading(line + "step 9\n").failures
    (failure,) = reading(line + "  what():  NCCL error: unhandled system error\n").failures
    assert failure.message == "NCCL error: unhandled system error"


def test_an_exception_that_clangs_library_tells_is_one_too(reading: Callable[..., LogReading]) -> None:
    line = "libc++abi: terminating due to uncaught exception of type std::runtime_error: the gizmo is gone"
    (failure,) = reading(line + "\n").failures
    assert (failure.exception, failure.message) == ("std::runtime_error", "the gizmo is gone")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("run.sh: 18: source: not found", "not found"),
        ("/bin/sh: 1: torchrun: not found", "not found"),
        ('run.sh: 3: Syntax error: "(" unexpected', "mistake in the script"),
        ("run.sh: 2: set: Illegal option -o pipefail", "mistake in the script"),
        ("/tmp/job/run.sh: 5: Bad substitution", "mistake in the script"),
        ("./run.sh: 5: ./run.sh: Bad substitution", "mistake in the script"),
        ("sh: 4: set: Illegal option -o pipefail", "mistake in the script"),
        ("/var/spool/slurmd/job00042/slurm_script: 5: source: not found", "not found"),
    ],
)
def test_what_sh_says_last_is_a_failure(reading: Callable[..., LogReading], line: str, name: str) -> None:
    (failure,) = reading(f"starting\n{line}\n").failures
    assert (failure.exception, failure.message) == (name, line)
