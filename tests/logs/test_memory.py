# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from collections.abc import Callable

import pytest

from rldoctor.logs import LogReading
from rldoctor.logs.detect.memory import amounts
from rldoctor.types import Event

GIB = 1 << 30
MESSAGE = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 3 has a total capacity of 80.00 GiB of "
    "which 1.00 GiB is free. Process 71 has 78.00 GiB memory in use. Of the allocated memory 70.00 GiB is allocated by "
    "PyTorch, and 6.00 GiB is reserved by PyTorch but unallocated."
)


def memory(reading: LogReading) -> list[Event]:
    return [event for event in reading.events if event.kind == "out_of_memory"]


def traceback(*frames: tuple[str, str], message: str = MESSAGE, prefix: str = "") -> str:
    lines = ["Traceback (most recent call last):"]
    for file, function in frames:
        lines += [f'  File "{file}", line 5, in {function}', "    call()"]
    return "".join(f"{prefix}{line}\n" for line in [*lines, message])


@pytest.mark.parametrize(
    "message",
    [
        "RuntimeError: CUDA out of memory",
        "OutOfMemoryError: HIP out of memory",
        "RuntimeError: CUDA driver error: out of memory",
        "RuntimeError: HIP error: out of memory",
    ],
)
def test_a_shortage_in_few_words(message: str, reading: Callable[..., LogReading]) -> None:
    (event,) = memory(reading(message + "\n"))
    assert event.fields["device"] == "gpu"


def test_advice_against_a_shortage_is_none(reading: Callable[..., LogReading]) -> None:
    assert memory(reading("WARNING: lower it to avoid CUDA out of memory\n")) == []


def test_amounts_of_today_and_of_old() -> None:
    assert amounts(MESSAGE) == {
        "bytes_asked": 5 * GIB // 2,
        "bytes_total": 80 * GIB,
        "bytes_free": GIB,
        "bytes_allocated": 70 * GIB,
        "bytes_reserved": 76 * GIB,
        "gpu": 3,
    }
    old = (
        "CUDA out of memory. Tried to allocate 512.00 MiB (GPU 0; 40.00 GiB total capacity; 35.00 GiB already allocated; "
        "256.00 MiB free; 38.00 GiB reserved in total by PyTorch)"
    )
    assert amounts(old) == {
        "bytes_asked": GIB // 2,
        "bytes_total": 40 * GIB,
        "bytes_allocated": 35 * GIB,
        "bytes_free": GIB // 4,
        "bytes_reserved": 38 * GIB,
        "gpu": 0,
    }


PHASES = [
    (
        [
            ("/v/verl/workers/fsdp_workers.py", "update_actor"),
            ("/torch/autograd/graph.py", "_engine_run_backward"),
        ],
        "train",
    ),
    (
        [("/v/verl/workers/fsdp_workers.py", "compute_log_prob"), ("/t/modeling_qwen.py", "forward")],
        "train.logprob",
    ),
    ([("/s/vllm/v1/worker/gpu_worker.py", "capture_model")], "rollout.graph_capture"),
    ([("/s/vllm/v1/worker/gpu_worker.py", "determine_available_memory")], "rollout.start"),
    ([("/s/sglang/srt/managers/scheduler.py", "event_loop_normal")], "rollout"),
    ([("/a/trainer.py", "fit"), ("/a/trainer.py", "update_weights"), ("/a/nccl.py", "broadcast")], "sync"),
    ([("/a/manager.py", "save_checkpoint"), ("/s/torch/serialization.py", "save")], "checkpoint"),
    ([("/a/main.py", "load_checkpoint")], "start.resume"),
    ([("/s/transformers/modeling_utils.py", "from_pretrained")], "start.load"),
    ([("/s/torch/utils/checkpoint.py", "forward"), ("/a/train.py", "training_step")], "train"),
]


@pytest.mark.parametrize(("frames", "phase"), PHASES)
def test_a6_diagnose_the_stack_tells_the_phase(
    reading: Callable[..., LogReading], frames: list[tuple[str, str]], phase: str
) -> None:
    (event,) = memory(reading(traceback(*frames)))
    assert event.phase is not None and event.phase.startswith(phase)
    assert event.fields["device"] == "gpu"
    assert event.fields["frames"][-1].startswith(frames[-1][1])


def test_a6_diagnose_pieces_of_a_torn_stack_tell_the_phase(reading: Callable[..., LogReading]) -> None:
    for piece, phase in (
        (".../conversion/model_bridge.py  stream_weights_to_hf", "sync"),
        ("calculate_log_probs (/work/ppo_utils.py:672)", "train.logprob"),
        ("the words update_weights alone tell nothing", None),
    ):
        (event,) = memory(reading(f"{piece}\n{MESSAGE}\n"))
        assert event.phase == phase


def test_one_shortage_on_many_ranks_is_one_event(reading: Callable[..., LogReading]) -> None:
    log = "".join(traceback(("/a/train.py", "train_step"), prefix=f"[rank{rank}]: ") for rank in range(8))
    (event,) = memory(reading(log))
    assert {who.rank for who in event.spread} == set(range(8))
    assert len(event.lines) == 8


def test_a_shortage_steps_later_is_another_one(reading: Callable[..., LogReading]) -> None:
    step = "INFO step {0} loss 0.5 grad_norm 0.1\n"
    oom = traceback(("/a/train.py", "train_step"))
    assert len(memory(reading(step.format(1) + oom + step.format(2) + step.format(3) + oom))) == 2


def test_the_amounts_may_stand_on_the_next_lines(reading: Callable[..., LogReading]) -> None:
    log = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 8.00 GiB.\nGPU 0 has a total capacity of 96.00 GiB "
    (event,) = memory(reading(log + "of which 5.00 GiB is free.\n"))
    assert (event.fields["bytes_asked"], event.fields["bytes_free"]) == (8 * GIB, 5 * GIB)


def test_an_allocator_in_c_is_the_gpu_too(reading: Callable[..., LogReading]) -> None:
    (event,) = memory(reading("CUDA Error: out of memory at /build/csrc/cumem_allocator.cpp:56\n"))
    assert event.fields["device"] == "gpu"


def test_c5_diagnose_rays_monitor_is_the_host(reading: Callable[..., LogReading]) -> None:
    (event,) = memory(
        reading(
            "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\n"
            "Memory on the node (IP: 10.0.0.4, ID: ab12) where the task (actor ID: 9, name=W.__init__, pid=8, memory "
            "used=40.00GB) was running was 380.00GB / 400.00GB (0.950000), which exceeds the memory usage threshold of 0.95.\n"
        )
    )
    assert event.fields["device"] == "host"
    assert (event.fields["bytes_total"], event.fields["bytes_free"]) == (400 * GIB, 20 * GIB)


@pytest.mark.parametrize(
    "line",
    [
        "(raylet) [10:00:01] (raylet) 3 Workers (tasks / actors) killed due to memory pressure (OOM), 0 Workers crashed",
        "[ 1234.5] Out of memory: Killed process 4711 (python) total-vm:1kB",
        "Memory cgroup out of memory: Killed process 4711 (python)",
        "slurmstepd: error: Detected 1 oom_kill event in StepId=1.0. Some of the step tasks have been OOM Killed.",
    ],
)
def test_the_kernels_killers_are_the_host(reading: Callable[..., LogReading], line: str) -> None:
    assert memory(reading(line + "\n"))[0].fields["device"] == "host"


def test_a_limit_on_a_process(reading: Callable[..., LogReading]) -> None:
    (event,) = memory(
        reading(
            "RuntimeError: [enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you "
            "tried to allocate 268435456 bytes. Error code 12 (Cannot allocate memory)\n"
        )
    )
    assert event.fields["device"] == "cpu_limit"
    assert event.fields["bytes_asked"] == 268435456


@pytest.mark.parametrize(
    "line",
    [
        "INFO set max_split_size_mb to avoid CUDA out of memory errors",
        "(raylet) 0 Workers (tasks / actors) killed due to memory pressure (OOM), 2 Workers crashed due to other reasons",
        "worker exited: (1) The process is killed by SIGKILL by OOM killer due to high memory usage. (2) ray stop",
    ],
)
def test_talk_about_memory_is_no_shortage(reading: Callable[..., LogReading], line: str) -> None:
    assert memory(reading(line + "\n")) == []


@pytest.mark.parametrize(
    "line",
    [
        "ray.exceptions.OutOfMemoryError: 2 worker(s) were killed due to the node running low on memory. Memory on "
        "the node (IP: 192.0.2.2, ID: 25aa) was 7.56GB used / 23.54GB limit (0.321166)",
        "[2026-11-21 19:42:35,001 I 117 117] (raylet) node_manager.cc:3199: Killing 2 worker(s), kill details: "
        "Memory on the node (IP: 192.0.2.2, ID: 25aa) was 7.56GB used / 23.54GB limit (0.321166)",
    ],
    ids=["driver", "raylet"],
)
def test_rays_memory_monitor_since_its_new_policy(reading: Callable[..., LogReading], line: str) -> None:
    (event,) = [event for event in reading(line + "\n").events if event.kind == "out_of_memory"]
    assert event.fields["device"] == "host"
    assert (event.fields["bytes_allocated"] >> 20, event.fields["bytes_total"] >> 20) == (7741, 24104)
