# ruff: noqa: E501 lines of logs are as long as they are
"""Which of several failures is the root, on runs of many processes that mislead: one test, one trap."""

from pathlib import Path

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding, Report


def told(folder: Path, **files: str) -> Report:
    """Diagnose texts as the files of one run; ``__`` in a name parts folders, ``_x_`` stands for a dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_x_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    only = [folder / name.replace("__", "/").replace("_x_", ".") for name in files]
    return diagnose([str(only[0] if len(only) == 1 else folder)], None, ToldFacts())


def roots(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.part == "root"]


def proof(report: Report) -> list[str]:
    """Return the first pieces of evidence of the first root."""
    return [piece.text for piece in roots(report)[0].evidence[:3]]


def steps(first: int, last: int) -> str:
    return "".join(
        f"step:{n} - actor/pg_loss:0.012 - actor/grad_norm:0.33 - critic/score/mean:0.41\n"
        for n in range(first, last + 1)
    )


SCORING = """(RewardWorker pid=31) Traceback (most recent call last):
(RewardWorker pid=31)   File "/opt/recipe/reward.py", line 44, in score
(RewardWorker pid=31)     value = float(parse(answer))
(RewardWorker pid=31) ValueError: could not convert string to float: 'x'
"""
TIMED_OUT = """Traceback (most recent call last):
  File "/opt/train/scorer.py", line 40, in ask
    answer = requests.post(url, json=body, timeout=30)
requests.exceptions.ReadTimeout: HTTPConnectionPool(host='10.0.0.9', port=8800): Read timed out.
"""
MEMORY = """torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 18.55 GiB. GPU 3 has a total capacity of 79.11 GiB of which 3.02 GiB is free.
"""
LAUNCH = "+ python3 -m verl.trainer.main_ppo data.train_batch_size={} trainer.nnodes=1\n"
PORT = """Traceback (most recent call last):
  File "/opt/train/main.py", line 42, in main
    start(config)
torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. port: 29500, code: -98, name: EADDRINUSE, message: address already in use
"""


def test_an_exception_that_became_a_zero_reward_is_not_what_ended_the_same_step(tmp_path: Path) -> None:
    text = steps(1, 5) + SCORING + "(RewardWorker pid=31) WARNING could not score sample 12, using 0.0\n"
    text += """(TaskRunner pid=20) collected 512 rewards
Traceback (most recent call last):
  File "/opt/recipe/trainer.py", line 77, in pick
    return [rows[i] for i in order]
IndexError: list index out of range
"""
    assert proof(told(tmp_path, run_x_log=text))[0] == "IndexError: list index out of range"


def test_the_last_time_out_ends_the_run_that_had_survived_its_like(tmp_path: Path) -> None:
    survived = "".join(steps(6 * n, 6 * n + 5) + TIMED_OUT for n in range(4))
    end = """
During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/opt/train/run.py", line 61, in main
    rewards = scorer(batch)
scorer.RewardServerGone: giving up after 5 tries
srun: error: n1: task 0: Exited with exit code 1
"""
    assert "Read timed out" in " ".join(proof(told(tmp_path, run_x_log=survived + end)))
    assert not roots(told(tmp_path, well_x_log=survived + steps(24, 30)))


def test_of_two_runs_in_one_log_the_last_counts(tmp_path: Path) -> None:
    first = LAUNCH.format(256) + steps(1, 3) + MEMORY
    failed = told(tmp_path, a_x_log=first + LAUNCH.format(128) + PORT)
    assert [finding.rule for finding in roots(failed)] == ["meeting-port-taken"]
    assert not roots(told(tmp_path, b_x_log=first + LAUNCH.format(128) + steps(1, 9)))


def test_a_second_run_that_has_not_ended_hides_nothing(tmp_path: Path) -> None:
    first = LAUNCH.format(256) + steps(1, 3) + MEMORY
    assert "CUDA out of memory" in proof(told(tmp_path, run_x_log=first + LAUNCH.format(128)))[0]


def test_another_program_of_the_same_script_is_no_second_run(tmp_path: Path) -> None:
    convert = "+ python3 -m verl.model_merger --local_dir=/ckpt\n"
    text = LAUNCH.format(256) + steps(1, 3) + MEMORY + convert + PORT
    assert "CUDA out of memory" in proof(told(tmp_path, run_x_log=text))[0]


def test_a_launcher_that_was_told_to_end_does_not_hide_the_rank_that_failed(tmp_path: Path) -> None:
    report = told(
        tmp_path,
        logs__0__stderr_x_log="torch.distributed.elastic.multiprocessing.api.SignalException: Process 3101 got signal: 15\n",
        logs__7__stderr_x_log="""Traceback (most recent call last):
  File "/opt/train/pack.py", line 18, in pack
    assert total <= budget, (total, budget)
AssertionError: (9120, 8192)
""",
    )
    assert proof(report)[0] == "AssertionError: (9120, 8192)"


def test_a_full_disk_explains_time_outs_that_something_else_might_explain_too(tmp_path: Path) -> None:
    disk = """[rank0]: Traceback (most recent call last):
[rank0]:   File "/usr/lib/python3.11/site-packages/torch/serialization.py", line 967, in save
[rank0]:     _save(obj, opened_zipfile, pickle_module, pickle_protocol)
[rank0]: OSError: [Errno 28] No space left on device
"""
    waits = "".join(
        f"[rank{r}]:[E304 10:20:00.118400112 ProcessGroupNCCL.cpp:629] [Rank {r}] Watchdog caught collective "
        "operation timeout: WorkNCCL(SeqNum=44, OpType=ALLREDUCE, NumelIn=1, NumelOut=1, Timeout(ms)=600000) "
        "ran for 600001 milliseconds before timing out.\n"
        for r in (1, 2)
    )
    report = told(tmp_path, run_x_log=steps(1, 9) + disk + waits)
    assert [finding.rule for finding in roots(report)] == ["disk-full"]


def test_ctrl_c_is_told_as_such_and_never_hides_a_failure(tmp_path: Path) -> None:
    stop = """^CTraceback (most recent call last):
  File "/opt/train/run.py", line 88, in <module>
    main()
KeyboardInterrupt
"""
    assert [finding.rule for finding in roots(told(tmp_path, a_x_log=steps(1, 9) + stop))] == [
        "stopped-by-hand"
    ]
    failed = told(tmp_path, b_x_log=steps(1, 9) + MEMORY + stop)
    assert "CUDA out of memory" in proof(failed)[0]


def test_stacks_without_any_error_name_the_rank_that_stands_elsewhere(tmp_path: Path) -> None:
    waiting = 'Process 1{}: python run.py\n\nThread 1{} (idle): "MainThread"\n    all_reduce (torch/distributed/distributed_c10d.py:28)\n    <module> (/opt/train/run.py:88)\n'
    reads = 'Process 12: python run.py\n\nThread 12 (active): "MainThread"\n    read (/opt/train/shards.py:40)\n    <module> (/opt/train/run.py:88)\n'
    report = told(
        tmp_path,
        train_x_log=steps(1, 4),
        dumps__rank0_x_txt=waiting.format(0, 0),
        dumps__rank1_x_txt=waiting.format(1, 1),
        dumps__rank2_x_txt=reads,
    )
    assert roots(report)[0].rule == "processes-stand-still"
    assert "rank 2 at read" in proof(report)[0]


GONE = {
    "starlette": "starlette.requests.ClientDisconnect",
    "anyio": "asyncio.exceptions.CancelledError: Cancelled by cancel scope 7f81",
    "aiohttp": "ConnectionResetError: Cannot write to closing transport",
}


@pytest.mark.parametrize("error", GONE.values(), ids=GONE)
def test_a_request_that_its_client_cut_is_no_failure(tmp_path: Path, error: str) -> None:
    text = f"""ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/uvicorn/protocols/http/httptools_impl.py", line 409, in run_asgi
    result = await app(self.scope, self.receive, self.send)
{error}
INFO:     10.0.0.1:33446 - "POST /generate HTTP/1.1" 200 OK
"""
    assert not roots(told(tmp_path, server_x_log=text))


PASTES = {
    "last frames alone": '```\n  File "/x/vllm/core/sched.py", line 90, in schedule\n    assert num_new_tokens > 0\nAssertionError\n```\n',
    "one error line": "> RuntimeError: The size of tensor a (4096) must match the size of tensor b (4097)\n",
    "in a sentence": "When I start I get KeyError: 'reward_model' after loading. My data has a prompt column.\n",
    "cut at both ends": '    return fn(*args)\n  File "/x/attn.py", line 88, in forward\n    out = flash(q, k, v)\nRuntimeError: only fp16 and bf16 data ty\n',
}


@pytest.mark.parametrize("text", PASTES.values(), ids=PASTES)
def test_a_piece_of_a_traceback_is_enough(tmp_path: Path, text: str) -> None:
    said = " ".join(proof(told(tmp_path, paste_x_md=text)))
    assert any(word in said for word in ("AssertionError", "size of tensor a", "reward_model", "fp16"))


def test_a_failure_that_a_step_was_finished_behind_yields_to_one_that_none_was(tmp_path: Path) -> None:
    stack = 'Traceback (most recent call last):\n  File "/opt/train/run.py", line 61, in main\n    loss = model(**batch)\n'
    end = "Traceback (most recent call last):\n  File \"/opt/train/run.py\", line 70, in main\n    name = tags[label]\nKeyError: 'math'\n"
    report = told(tmp_path, run_x_log=steps(1, 4) + stack + MEMORY + steps(5, 5) + end)
    assert proof(report)[0] == "KeyError: 'math'"
    assert (
        "CUDA out of memory" in proof(told(tmp_path, oom_x_log=steps(1, 4) + stack + MEMORY + steps(5, 5)))[0]
    )


TWO = """[rank5]: Traceback (most recent call last):
[rank5]:   File "/opt/train/run.py", line 64, in main
[rank5]:     check(total)
[rank5]: RuntimeError: total is 7, expected 8
[rank2]: Traceback (most recent call last):
[rank2]:   File "/opt/train/run.py", line 60, in main
[rank2]:     rows = read(shard)
[rank2]: ValueError: shard 2 has no prompts
"""
TABLE = """Root Cause (first observed failure):
[0]:
  time      : 2026-03-04_10:00:00
  host      : n1
  rank      : {0} (local_rank: {0})
  exitcode  : 1 (pid: 440{0})
  error_file: <N/A>
============================================================
"""


@pytest.mark.parametrize(("rank", "error"), [(2, "shard 2 has no prompts"), (5, "total is 7, expected 8")])
def test_of_two_ranks_the_one_that_torchrun_saw_first_is_the_root(
    tmp_path: Path, rank: int, error: str
) -> None:
    assert error in proof(told(tmp_path, run_x_log=TWO + TABLE.format(rank)))[0]


LAUNCHERS = {
    "mpirun": "mpirun noticed that process rank 3 with PID 881 on node n1 exited on signal 9 (Killed).\n",
    "deepspeed": "[2026-03-04 10:00:01,124] [ERROR] [launch.py:325:sigkill_handler] ['python', 'train.py'] exits with return code = -9\n",
}


@pytest.mark.parametrize("line", LAUNCHERS.values(), ids=LAUNCHERS)
def test_every_launcher_s_word_for_a_kill_is_known(tmp_path: Path, line: str) -> None:
    assert [finding.rule for finding in roots(told(tmp_path, run_x_log=steps(1, 3) + line))] == [
        "process-killed"
    ]


def test_a_log_that_ends_inside_of_a_traceback_says_so(tmp_path: Path) -> None:
    cut = 'Traceback (most recent call last):\n  File "/opt/train/run.py", line 88, in <module>\n    main()\n  File "/opt/train/run.py", line 61, in ma'
    report = told(tmp_path, run_x_log=steps(1, 3) + cut)
    assert "the log ends inside of it" in roots(report)[0].title
    assert "further below" in roots(report)[0].remedies[0].title
    assert not roots(told(tmp_path, well_x_log=cut + "\n" + steps(1, 9)))


def test_what_hydra_refuses_is_never_called_well(tmp_path: Path) -> None:
    text = "Could not override 'actor.foo'.\nTo append to your config use +actor.foo=1\nKey 'foo' is not in struct\n"
    assert "actor.foo" in roots(told(tmp_path, run_x_log=text))[0].title


def test_threads_of_a_tracker_that_lose_their_helper_at_the_end_are_no_failure(tmp_path: Path) -> None:
    text = """Exception in thread NetStatThr:
Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/wandb/sdk/wandb_run.py", line 268, in check_network_status
    self._loop_check_status(
BrokenPipeError: [Errno 32] Broken pipe
"""
    assert not roots(told(tmp_path, run_x_log=steps(1, 9) + text))


UNREWARDED = "".join(
    f"step:{n} - actor/pg_loss:0.0 - actor/grad_norm:0.0 - critic/score/mean:0.0 - critic/score/min:0.0 - critic/score/max:0.0\n"
    for n in range(1, 20)
)
ENDS = {
    "process-killed": "failed (exitcode: -9) local_rank: 1 (pid: 47733) of binary: /opt/venv/bin/python3\n",
    "unrecognised": "Traceback (most recent call last):\n  File \"/opt/a.py\", line 7, in pick\n    name = tags[label]\nKeyError: 'math'\n",
}


@pytest.mark.parametrize(("rule", "end"), ENDS.items(), ids=ENDS)
def test_what_ended_a_run_comes_before_what_it_was_ill_of(tmp_path: Path, rule: str, end: str) -> None:
    ill = "all-rewards-of-a-group-equal"
    assert [finding.rule for finding in roots(told(tmp_path, a_x_log=UNREWARDED))] == [ill]
    assert [finding.rule for finding in roots(told(tmp_path, b_x_log=UNREWARDED + end))] == [rule, ill]


def test_nan_comes_before_the_exception_that_it_leads_to(tmp_path: Path) -> None:
    nan = steps(1, 9) + "".join(
        f"step:{n} - actor/pg_loss:nan - actor/grad_norm:nan\n" for n in range(10, 30)
    )
    end = 'Traceback (most recent call last):\n  File "/opt/a.py", line 7, in check\n    assert ok(loss)\nAssertionError: bad\n'
    assert "step:10" in proof(told(tmp_path, run_x_log=nan + end))[0]


def test_a_crash_explains_that_the_scheduler_ends_the_other_tasks(tmp_path: Path) -> None:
    text = "srun: error: n3: task 17: Segmentation fault (core dumped)\nsrun: Terminating StepId=9.0\n"
    text += "slurmstepd: error: *** STEP 9.0 ON n1 CANCELLED AT 2026-03-04T10:00:00 ***\n"
    report = told(tmp_path, slurm_x_out=steps(1, 5) + text)
    assert [finding.rule for finding in roots(report)] == ["native-crash"]


def test_groups_of_exceptions_inside_of_groups_end_at_the_real_one(tmp_path: Path) -> None:
    text = """  + Exception Group Traceback (most recent call last):
  |   File "/opt/a.py", line 3, in <module>
  |     run()
  | ExceptionGroup: outer (1 sub-exception)
  +-+---------------- 1 ----------------
    | ExceptionGroup: inner (2 sub-exceptions)
    +-+---------------- 1 ----------------
      | Traceback (most recent call last):
      |   File "/opt/a.py", line 9, in f
      |     read(shard)
      | ShardError: shard 3 has no index
      +---------------- 2 ----------------
      | Traceback (most recent call last):
      |   File "/opt/a.py", line 12, in g
      |     await q.get()
      | asyncio.exceptions.CancelledError
      +------------------------------------
"""
    assert "shard 3 has no index" in proof(told(tmp_path, run_x_log=text))[0]


def test_a_line_before_a_traceback_dates_it(tmp_path: Path) -> None:
    driver = "2026-03-04 10:01:40,000 ERROR a worker failed\n" + (
        'Traceback (most recent call last):\n  File "/opt/d.py", line 3, in wait\n    raise Gone(rank)\nd.Gone: 3\n'
    )
    worker = "2026-03-04 10:01:30,000 INFO ok\n" + (
        'Traceback (most recent call last):\n  File "/opt/w.py", line 8, in step\n    y = x / n\nZeroDivisionError: zero\n'
    )
    report = told(tmp_path, driver_x_log=driver, worker_x_log=worker)
    assert proof(report)[0] == "ZeroDivisionError: zero"


GLOO = """[rank{0}]: Traceback (most recent call last):
[rank{0}]:   File "/opt/train/run.py", line 26, in train
[rank{0}]:     dist.all_reduce(x)
[rank{0}]:   File "/usr/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", line 3252, in all_reduce
[rank{0}]:     work.wait()
[rank{0}]: RuntimeError: [/pytorch/gloo/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 12000ms for recv operation to complete
"""
CHILD = """E1121 19:34:09.1 501 torch/distributed/elastic/multiprocessing/api.py:874] failed (exitcode: 1) local_rank: 0 (pid: 5359) of binary: /usr/bin/python3
Traceback (most recent call last):
  File "/usr/bin/torchrun", line 6, in <module>
    sys.exit(main())
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
run.py FAILED
"""
STOOD = """Timeout (0:00:08)!
Thread 0x00007f980afe3b80 (most recent call first):
  File "/opt/train/shards.py", line 17 in load
  File "/opt/train/run.py", line 29 in <module>
"""


def four_ranks(folder: Path, third: str) -> Report:
    files = {f"logs__{rank}__rank{rank}_x_log": GLOO.format(rank) for rank in (0, 1, 3)}
    return told(folder, launcher_x_log=CHILD, **files, logs__2__rank2_x_log=third)


def test_a_rank_that_waits_in_no_collective_is_named_with_its_last_words(tmp_path: Path) -> None:
    report = four_ranks(tmp_path, "starts\nloading shard 7 of 9 from /nfs/data\n")
    assert roots(report)[0].rule == "rank-missing-from-collective"
    assert "[2]" in roots(report)[0].title
    assert "loading shard 7 of 9 from /nfs/data" in proof(report)


def test_the_stack_in_a_rank_s_own_log_tells_where_it_stood(tmp_path: Path) -> None:
    report = four_ranks(tmp_path, "starts\n" + STOOD)
    assert roots(report)[0].rule == "processes-stand-still"
    assert "/opt/train/shards.py:17" in roots(report)[0].title
    assert proof(report)[0] == 'File "/opt/train/shards.py", line 17 in load'


def test_a_stack_inside_of_a_collective_only_waits(tmp_path: Path) -> None:
    waits = STOOD.replace("/opt/train/shards.py", "/usr/lib/torch/distributed/distributed_c10d.py")
    assert "processes-stand-still" not in [finding.rule for finding in roots(four_ranks(tmp_path, waits))]


def test_the_missing_rank_s_exception_is_told_rather_than_its_absence(tmp_path: Path) -> None:
    failed = 'Traceback (most recent call last):\n  File "/opt/moe.py", line 70, in dispatch\n    return perm[idx]\nIndexError: index 64\n'
    assert proof(four_ranks(tmp_path, failed))[0] == "IndexError: index 64"


def test_a_slow_step_whose_stack_was_written_is_survived(tmp_path: Path) -> None:
    assert not roots(told(tmp_path, run_x_log=steps(1, 3) + STOOD + steps(4, 9)))


def test_gloo_s_word_for_uneven_tensors_comes_before_the_abort_it_leads_to(tmp_path: Path) -> None:
    text = """terminate called after throwing an instance of 'gloo::EnforceNotMet'
  what():  [enforce fail at /pytorch/gloo/gloo/transport/tcp/pair.cc:456] op.preamble.length <= op.nbytes. 8 vs 4. Received data size doesn't match expected size.
E1121 19:47:38.895000 14435 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -6) local_rank: 0 (pid: 14441) of binary: /usr/bin/python3
"""
    assert roots(told(tmp_path, run_x_log=steps(1, 3) + text))[0].rule == "gloo-sizes-differ"


def test_a_torn_stack_shows_the_line_that_tells_the_phase(tmp_path: Path) -> None:
    torn = "  .../backends/megatron_utils/update_weight.py  update_weights_from_distributed\n"
    oom = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.97 GiB is free.\n"
    report = told(tmp_path, pasted_x_log=torn + oom)
    assert roots(report)[0].rule == "out-of-memory-in-weight-update"
    assert any("update_weights_from_distributed" in text for text in proof(report))


def test_an_assertion_without_words_shows_its_condition_though_a_rule_knows_it(tmp_path: Path) -> None:
    stack = '  File "/app/model_merger.py", line 5, in merge\n    assert isinstance(weight, DTensor)\n'
    report = told(tmp_path, log=f"Traceback (most recent call last):\n{stack}AssertionError\n")
    assert report.findings[0].rule != "unrecognised"
    assert "assert isinstance(weight, DTensor)" in proof(report)[1]


def test_an_exception_s_own_line_stands_before_the_code_that_raised_it(tmp_path: Path) -> None:
    words = "Could not find the transformer layer class to wrap in the model."
    stack = f'  File "/opt/lib/python3.11/site-packages/accelerate/plugin.py", line 5, in wrap\n    raise Exception("{words}")\n'
    report = told(tmp_path, log=f"Traceback (most recent call last):\n{stack}Exception: {words}\n")
    assert proof(report)[0] == f"Exception: {words}"


def test_a_shortage_is_shown_before_the_wrappers_that_ray_put_around_it(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(
        "ray.exceptions.RayTaskError(OutOfMemoryError): ray::main_task() (pid=5086, ip=10.1.200.6)\n"
        '  File "/app/verl/verl/trainer/ppo/ray_trainer.py", line 901, in fit\n'
        "    actor_output = self.actor_rollout_wg.update_actor(batch)\n"
        "ray.exceptions.RayTaskError(OutOfMemoryError): ray::WorkerDict.actor_rollout_update_actor()\n"
        '  File "/app/verl/verl/workers/actor/dp_actor.py", line 303, in update_policy\n'
        "    loss.backward()\n"
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 4.64 GiB. GPU 1 has a total capacity "
        "of 79.10 GiB of which 2.02 GiB is free.\n"
    )
    root = diagnose([str(path)], None, ToldFacts()).findings[0]
    assert root.evidence[0].text.startswith("torch.OutOfMemoryError: CUDA out of memory.")
    assert root.evidence[1].text.startswith("ray.exceptions.RayTaskError(OutOfMemoryError)")


FULL = "(raylet) [2026-03-02 10:00:0{}] file_system_monitor.cc:116: /tmp/ray/session_1 is over 95% full, available space: 4 GB; capacity: 80 GB. Object creation will fail if spilling is required.\n"


def test_an_excerpt_of_nothing_but_a_remark_is_about_it(tmp_path: Path) -> None:
    report = told(tmp_path, run_x_log="".join(FULL.format(n) for n in range(4)))
    assert report.summary.startswith("Nothing failed for certain; what stands out: ")
    (root,) = roots(report)
    assert (root.rule, root.severity) == ("ray-disk-full", "hint")


def test_a_remark_of_a_run_that_gets_on_is_no_root(tmp_path: Path) -> None:
    assert not roots(told(tmp_path, run_x_log=FULL.format(1) + steps(1, 9)))


def test_a_remark_beside_a_failure_is_no_root(tmp_path: Path) -> None:
    assert "ray-disk-full" not in [
        root.rule for root in roots(told(tmp_path, run_x_log=FULL.format(1) + MEMORY))
    ]
