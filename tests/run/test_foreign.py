"""Foreign launches under supervision."""

from __future__ import annotations

import signal
import time

from driving import Driven, wait_for

VERL = """\
set -e
python3 -m verl.trainer.main_ppo \\
    algorithm.adv_estimator=grpo \\
    data.max_prompt_length=1024 \\
    data.max_response_length=4096 \\
    actor_rollout_ref.actor.use_dynamic_bsz=True \\
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu=65536 \\
    actor_rollout_ref.model.path=/models/Qwen3-8B \\
    trainer.n_gpus_per_node=8
"""
STAND_IN = '''\
import sys
if any("65536" in word for word in sys.argv):
    print(
        """step:1 - actor/grad_norm:0.31 - actor/pg_loss:0.010 - critic/rewards/mean:0.200
(WorkerDict pid=12) Traceback (most recent call last):
(WorkerDict pid=12)   File "/opt/verl/workers/actor/dp_actor.py", line 402, in update_policy
(WorkerDict pid=12)     loss.backward()
(WorkerDict pid=12) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 18.54 GiB. GPU 3 has a \
total capacity of 79.10 GiB of which 7.11 GiB is free."""
    )
    sys.exit(1)
print("training is done")
'''


def launch(driven: Driven, *words: str) -> tuple[int, str]:
    verl = driven.home / "verl" / "trainer"
    verl.mkdir(parents=True, exist_ok=True)
    (verl / "main_ppo.py").write_text(STAND_IN)
    (driven.home / "launch.sh").write_text(VERL)
    process = driven.start("--run-folder", str(driven.folder), *words, "--", "bash", "launch.sh")
    return driven.result(process)


def test_run_a_foreign_failure_is_diagnosed_and_nothing_is_edited(driven: Driven) -> None:
    code, out = launch(driven)
    assert code == 1, out
    assert "loss.backward()" in out  # what it prints is shown as it comes
    assert "out-of-memory-in-training" in out
    assert "ppo_max_token_len_per_gpu" in out
    assert (driven.home / "launch.sh").read_text() == VERL
    assert len(driven.journal("launched")) == 1


def test_run_a_foreign_failure_is_healed_on_a_copy_of_the_script(driven: Driven) -> None:
    code, out = launch(driven, "--autotune")
    assert code == 0, out
    assert "training is done" in out
    assert (driven.home / "launch.sh").read_text() == VERL
    assert "65536" not in (driven.folder / "script/launch.sh").read_text()
    assert driven.journal("cure")[0]["finding"] == "out-of-memory-in-training"


def test_run_a_foreign_command_ends_well(driven: Driven) -> None:
    code, out = driven.result(driven.start("--run-folder", str(driven.folder), "--", "echo", "--hello", "--"))
    assert code == 0, out
    assert "--hello --" in out


def test_run_ctrl_c_ends_a_foreign_tree(driven: Driven) -> None:
    script = "trap '' TERM; setsid sleep 600 & sleep 600"
    process = driven.start("--run-folder", str(driven.folder), "--", "bash", "-c", script)
    wait_for(lambda: len(driven.left()) >= 2)
    process.send_signal(signal.SIGINT)
    time.sleep(1.5)  # twice within half a second is one wish, and a signal may come late
    process.send_signal(signal.SIGINT)
    code, _ = driven.result(process)
    assert code == 130
    assert driven.left() == []


def test_run_a_command_that_does_not_exist_is_bad_input(driven: Driven) -> None:
    code, out = driven.result(driven.start("--run-folder", str(driven.folder), "--", "no-such-command"))
    assert code == 2
    assert "cannot start no-such-command" in out


def test_run_a_command_that_fails_without_a_reason_is_not_called_well(driven: Driven) -> None:
    words = ("--run-folder", str(driven.folder), "--", "bash", "-c", "echo started; exit 3")
    code, out = driven.result(driven.start(*words))
    assert code == 1, out
    assert "ended with exit code 3 and gave no reason" in out
    assert "Nothing wrong" not in out


def test_run_a_silent_foreign_command_is_ended_as_a_hang(driven: Driven) -> None:
    script = "trap 'exit 0' TERM; for n in 1 2 3; do echo step $n; sleep 0.6; done; sleep 600 & wait"
    words = ("--run-folder", str(driven.folder), "--hang-after", "1.5", "--", "bash", "-c", script)
    code, out = driven.result(driven.start(*words))
    assert code == 1, out
    assert "step 3" in out  # printing is a sign of life
    assert "[run-hangs]" in out
    (ended,) = driven.journal("ended")
    assert ended["hung"] >= 1.5
    assert driven.left() == []
