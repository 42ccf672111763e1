# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rldoctor.logs import LogReading, read

THREAD = """[Bug] saving hangs with many experts
With 4 nodes a save takes 20 minutes and then all ranks die.

```
[rank5]:[E501 12:26:40.073 ProcessGroupNCCL.cpp:629] [Rank 5] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=31, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=600000) ran for 600021 milliseconds before timing out.
[rank5]:[E501 12:26:40.074 ProcessGroupNCCL.cpp:2168] [PG ID 0 PG GUID 0(default_pg) Rank 5]  failure detected by watchdog at work sequence id: 31 PG status: last enqueued work: 31, last completed work: 30
[rank5]:[E501 12:26:40.075 ProcessGroupNCCL.cpp:664] Stack trace of the failed collective:
#0 all_reduce from /usr/local/lib/python3.10/dist-packages/torch/distributed/distributed_c10d.py:2806
#1 sync_all from /usr/local/lib/python3.10/dist-packages/megatron/core/dist_checkpointing/strategies/async_utils.py:149
#2 save_checkpoint from /home/me/verl/utils/checkpoint/megatron_checkpoint_manager.py:356
#3 <module> from /usr/local/lib/python3.10/dist-packages/ray/_private/workers/default_worker.py:327
```
> Which version do you use?

0.5, and this is my script:
```
EP=1
python3 -m verl.trainer.main_ppo --config-name=ppo_megatron_trainer \\
 actor_rollout_ref.actor.strategy=megatron \\
 actor_rollout_ref.actor.megatron.expert_model_parallel_size=$EP \\
 trainer.nnodes=4
```
Same here:
`Error executing job with overrides: ['actor_rollout_ref.actor.strategy=megatron', 'actor_rollout_ref.actor.megatron.expert_model_parallel_size=2'] Traceback (most recent call last): File "/work/verl/trainer/main_ppo.py", line 39, in main run_ppo(config) File "/work/verl/trainer/ppo/ray_trainer.py", line 900, in _save_checkpoint self.actor_rollout_wg.save_checkpoint(path) ray.exceptions.ActorUnavailableError: The actor 27ab is unavailable: RpcError: keepalive watchdog timeout; rpc_code: 14.
[36m(WorkerDict pid=38, ip=10.25.0.39)[0m [rank11]:[E510 04:53:05.583 ProcessGroupNCCL.cpp:629] [Rank 11] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=46, OpType=ALLGATHER, NumelIn=1, NumelOut=1, Timeout(ms)=600000) ran for 600067 milliseconds before timing out.[32m [repeated 14x across cluster][0m
"""


def test_v1_v2_v3_v7_v10_diagnose_a_thread_read_as_plain_text(reading: Callable[..., LogReading]) -> None:
    result = reading(THREAD)
    collectives = [event for event in result.events if event.kind == "collective_timeout"]
    assert [(event.fields["op"], event.fields["ranks_waiting"], event.phase) for event in collectives] == [
        ("ALLREDUCE", [5], "checkpoint"),
        ("ALLGATHER", [11], "checkpoint"),
    ]
    assert [event.phase for event in result.events if event.kind == "connection_lost"] == ["checkpoint"]
    assert [printed.form for printed in result.configs] == ["command", "hydra_overrides"]
    late = result.config_for(collectives[1].lines[0])
    assert late is not None and late.form == "hydra_overrides"
    assert result.systems == ("verl", "megatron")
    assert collectives[1].lines[0].repeated == 14


HEALTHY = """2026-05-01 10:00:00,000 INFO main: world size 8
[W501 10:00:01.0 socket.cpp:207] [c10d] The hostname of the client socket cannot be retrieved. err=-3
WARNING urllib3.connectionpool: Retrying (Retry(total=2)) after connection broken: /health
(W pid=4) /opt/env/lib/python3.11/site-packages/torch/utils/checkpoint.py:87: UserWarning: None of the inputs have requires_grad=True
(W pid=4) INFO 05-01 10:00:02 [core.py:58] Initializing a V1 LLM engine (v0.9.2) with config: model='/m', dtype=torch.bfloat16
(W pid=4) [response] an error: timeout, memory, killed, nan and failed connection are words of the model
step 1 loss 0.5 grad_norm 0.25
step 2 loss 0.4 grad_norm 0.25
[rank0]:[W501 10:09:00.8 ProcessGroupNCCL.cpp:1487] Warning: destroy_process_group() was not called before program exit
training finished
"""


def test_a_healthy_log_is_quiet(reading: Callable[..., LogReading]) -> None:
    result = reading(HEALTHY)
    assert (result.failures, result.events, result.notes) == ((), (), ())
    assert result.versions == {"vllm": "0.9.2"}
    assert result.total_lines == 10


def test_windows_are_lines_of_the_same_stream(reading: Callable[..., LogReading]) -> None:
    log = "".join(f"[rank{number % 4}]: word {number}\n" for number in range(4000))
    result = reading(log, "word 2001")
    (hit,) = result.hits["word 2001"]
    assert [line.text for line in result.window(hit, 2, "process")] == [
        f"word {number}" for number in (1993, 1997, 2001, 2005, 2009)
    ]
    assert [line.text for line in result.window(hit, 1, "run")] == ["word 2000", "word 2001", "word 2002"]


def test_an_unmarked_line_may_belong_to_anyone(reading: Callable[..., LogReading]) -> None:
    result = reading("[rank1]: head\n#0 frame\n[rank2]: other\n", "head")
    assert [line.text for line in result.window(result.hits["head"][0], 5, "rank")] == ["head", "#0 frame"]


def test_windows_of_a_node(reading: Callable[..., LogReading]) -> None:
    log = "".join(f"(W pid={number}, ip=10.0.0.{number % 2}) line {number}\n" for number in range(10))
    result = reading(log, "line 4")
    assert [line.text for line in result.window(result.hits["line 4"][0], 1, "node")] == [
        "line 2",
        "line 4",
        "line 6",
    ]


def test_several_files_are_one_reading(tmp_path: Path) -> None:
    for rank in range(3):
        (tmp_path / f"rank_{rank}.log").write_text(
            "Traceback (most recent call last):\n"
            '  File "/app/train.py", line 5, in train_step\n    call()\n'
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
        )
    result = read([str(tmp_path)], ["Tried to allocate"])
    (event,) = [event for event in result.events if event.kind == "out_of_memory"]
    assert {who.rank for who in event.spread} == {0, 1, 2}
    assert len(result.subjects) == 3 and result.total_lines == 12
    assert [hit.file for hit in result.hits["Tried to allocate"]] == list(result.subjects)


def test_one_exception_on_many_ranks_is_one_event(reading: Callable[..., LogReading]) -> None:
    log = "".join(
        f"[rank{rank}]: Traceback (most recent call last):\n"
        f'[rank{rank}]:   File "/app/train.py", line 5, in main\n[rank{rank}]:     check()\n'
        f"[rank{rank}]: ValueError: rank {rank} has 3 rows\n"
        for rank in range(6)
    )
    result = reading(log)
    (event,) = result.events
    assert (event.kind, len(event.spread), len(result.failures)) == ("exception", 6, 6)
    assert event.fields["type"] == "ValueError"


HOSTILE = {
    "different errors": (
        f'Traceback (most recent call last):\n  File "/a{n}.py", line {n}, in f\nE{n}Error: {n}\n'
        for n in range(30_000)
    ),
    "heads without ends": ("Traceback (most recent call last):\n" for _ in range(50_000)),
    "endless stack": (
        [
            'Traceback (most recent call last):\n  File "a.py", line 1, in f\n'
            + '  File "a.py", line 2, in g\n    g()\n' * 50_000
            + "RecursionError: x\n"
        ]
    ),
    "open brackets": ("{'actor_rollout_ref': {'actor': {[(" * 40 + "\n" for _ in range(2000)),
    "endless command": ("python3 -m verl.trainer.main_ppo a.b=1 \\\n" for _ in range(30_000)),
    "one long line": (["[" * 400_000 + " Error: " + 'File "a", line 1, ' * 20_000]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_logs_come_to_an_end(reading: Callable[..., LogReading], name: str) -> None:
    result = reading("".join(HOSTILE[name]))
    assert len(result.failures) < 2000
