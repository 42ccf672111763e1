"""Whose configuration a diagnosis takes, where one lies beside the log."""

from pathlib import Path

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.types import Report

LOG = "".join(
    f"step:{n} - actor/grad_norm:0.3 - actor/pg_loss:0.1 - critic/rewards/mean:0.2\n" for n in (1, 2)
) + (
    "Traceback (most recent call last):\n"
    '  File "/opt/verl/workers/actor/dp_actor.py", line 402, in update_policy\n'
    "    loss.backward()\n"
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 18.54 GiB. GPU 3 has a total capacity of "
    "79.10 GiB of which 7.11 GiB is free.\n"
)
VERL = """\
actor_rollout_ref:
  actor: {use_dynamic_bsz: true, ppo_max_token_len_per_gpu: 32768, strategy: fsdp}
  model: {path: Qwen/Qwen3-8B}
algorithm: {adv_estimator: grpo}
"""
TRAINER = "data: {task: copy}\ntrain: {max_token_in_packing: 4096}\nrollout: {prompts_per_step: 16}\n"


def beside(folder: Path, config: str) -> Report:
    (folder / "run.log").write_text(LOG)
    (folder / "config.yaml").write_text(config)
    return diagnose([str(folder)], None, ToldFacts())


def test_a_configuration_beside_the_log_counts_and_is_named_once(tmp_path: Path) -> None:
    report = beside(tmp_path, VERL)
    assert report.findings[0].remedies[0].command == "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=16384"
    named = [note for note in report.notes if "config.yaml" in note]
    assert named == [f"the configuration is {tmp_path}/config.yaml (a configuration beside the log)"]


def test_another_systems_configuration_beside_the_log_is_left_out(tmp_path: Path) -> None:
    report = beside(tmp_path, TRAINER)
    assert (
        f"{tmp_path}/config.yaml was left out: it is for trainer_core, the log tells of verl" in report.notes
    )
    assert not any("max_token_in_packing" in (each.command or "") for each in report.findings[0].remedies)
