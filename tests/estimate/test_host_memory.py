"""Host memory while weights load: with meta initialisation and without, and what a remedy makes of it."""

from pathlib import Path
from typing import Any

import pytest

from rldoctor.estimate import Ask, estimate
from rldoctor.facts import ToldFacts
from rldoctor.report.sizes import as_text

SCRIPT = """\
python chatlearn/entrypoint.py grpo --config-file template/grpo_fsdp.yaml \\
    runtime_args.train_backend=fsdp models.policy_trainer.num_gpu=8 models.ref_policy.num_gpu=8 \\
    models.policy.load=/models/Qwen3-32B models.policy_trainer.load=/models/Qwen3-32B \\
    models.policy_trainer.meta_init=False models.policy_trainer.packing=True \\
    models.policy_trainer.max_token_in_packing=16384 models.policy.num_gpu=8 \\
    models.policy.max_prompt_tokens_length=1024 models.policy.max_response_tokens_length=3072
"""
TOLD = {"cluster.gpu_memory_gib": "139.8", "cluster.host_memory_gib": "512"}
WEIGHTS = 32_762_123_264 * 2 / 2**30


def loading(found: Any) -> dict[str, Any]:
    (place,) = (each for each in found["host"] if each["phase"] == "start.load")
    return dict(place)


def test_meta_init_reads_a_model_once_a_node_and_makes_it_fit(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(SCRIPT)
    ask = Ask(what_if=("mem.meta_init=true",))
    report = estimate([str(path)], ToldFacts(set=TOLD), ask)
    assert report.memory is not None
    (found,) = report.memory["estimates"]
    before, after = loading(found), loading(found["what_if"][0])
    weights = {name: place["terms"][0]["gib"] for name, place in (("before", before), ("after", after))}
    assert weights["before"] == pytest.approx(8 * 2 * WEIGHTS, rel=0.001)  # eight ranks, policy and reference
    assert weights["after"] == pytest.approx(2 * WEIGHTS, rel=0.001)
    assert (before["fits"], after["fits"]) == (False, True)
    text = as_text(report)
    assert text.split("host of a node, start.load")[1].splitlines()[0].endswith(": does not fit")
    assert f"{before['gib']:.1f} → {after['gib']:.1f} GiB: fits" in text


def test_a_reference_of_verl_is_read_in_a_dtype_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(
        "python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo data.train_batch_size=64 "
        "data.max_prompt_length=512 data.max_response_length=512 actor_rollout_ref.actor.use_kl_loss=True "
        "actor_rollout_ref.ref.fsdp_config.model_dtype=bf16 "
        "actor_rollout_ref.model.path=Qwen/Qwen2.5-0.5B actor_rollout_ref.actor.ppo_mini_batch_size=64 "
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4 actor_rollout_ref.rollout.name=vllm "
        "trainer.n_gpus_per_node=8 trainer.nnodes=1\n"
    )
    (found,) = (estimate([str(path)], ToldFacts(set=TOLD)).memory or {})["estimates"]
    tied = 494_032_768  # tied embeddings: every rank builds the model
    assert loading(found)["terms"][0]["gib"] == pytest.approx(8 * tied * (4 + 2) / 2**30, rel=0.001)


def test_rollouts_lie_in_rays_object_store(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(SCRIPT.rstrip() + " runtime_args.sample_per_episode=4096\n")
    (found,) = (estimate([str(path)], ToldFacts(set=TOLD)).memory or {})["estimates"]
    (place,) = (each for each in found["host"] if each["phase"] == "train")
    (store,) = (term["gib"] for term in place["terms"] if term["name"] == "Ray object store")
    assert store == pytest.approx(2 * 4096 * 4096 * 48 / 2**30, rel=0.001)
