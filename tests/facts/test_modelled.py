"""Facts from the files of models and checkpoints."""

import json

import pytest

from rldoctor.facts import ToldFacts, walk
from rldoctor.sources import read
from rldoctor.types import UNKNOWN

MAIN = "python3 -m verl.trainer.main_ppo "
CONFIG = {
    "model_type": "qwen3_moe",
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
    "num_experts": 16,
    "moe_intermediate_size": 32,
    "num_experts_per_tok": 2,
}


def facts(tmp_path, text, **told):
    script = tmp_path / "run.sh"
    script.write_text(text)
    return walk(read(str(script)), ToldFacts(**told))[0]


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 9]}')
    return folder


def test_s10_a_model_beside_the_script_tells_shape_and_stop_tokens(tmp_path, model):
    run = facts(tmp_path, MAIN + "actor_rollout_ref.model.path=model\n")
    assert (run.value("model.num_experts"), run.value("model.num_heads")) == (16, 8)
    assert run.value("model.stop_token_ids") == [7, 9]
    assert run.fact("model.num_experts").origin.inputs == (("policy", "model.path"),)


def test_a_known_name_tells_the_shape_and_a_path_only_suggests_it(tmp_path):
    run = facts(tmp_path, MAIN + "actor_rollout_ref.model.path=Qwen/Qwen3-30B-A3B\n")
    assert run.value("model.num_experts") == 128 and run.fact("model.num_experts").state == "known"
    assert run.value("model.stop_token_ids") is UNKNOWN
    path = facts(tmp_path, MAIN + "actor_rollout_ref.model.path=$HOME/models/Qwen3-30B-A3B\n")
    assert path.value("model.num_experts") == 128
    assert path.fact("model.num_experts").assumes == (
        "the model is what its name says: models/Qwen3-30B-A3B",
    )


def test_v8_a_dense_model_has_no_experts(tmp_path):
    run = facts(tmp_path, MAIN + "actor_rollout_ref.model.path=Qwen/Qwen2.5-32B\n")
    assert run.value("model.num_experts") is None and run.fact("model.num_experts").state == "known"
    assert run.value("model.experts_per_rank") is None


def test_a_model_that_nobody_knows_stays_unknown(tmp_path):
    run = facts(tmp_path, MAIN + "actor_rollout_ref.model.path=/data/our-own\n")
    assert run.value("model.num_experts") is UNKNOWN and run.value("model.num_heads") is UNKNOWN


def test_a_broken_config_leaves_the_model_unknown_and_says_why(tmp_path, model):
    (model / "config.json").write_text("{")
    fact = facts(tmp_path, MAIN + "actor_rollout_ref.model.path=model\n").fact("model.num_heads")
    assert fact.value is UNKNOWN and any("config.json" in text for text in fact.depends)


def test_arguments_of_the_command_stand_above_the_model(tmp_path, model):
    text = "python3 train.py --hf-checkpoint model --rollout-batch-size 2 --num-layers 2 --hidden-size 64\n"
    run = facts(tmp_path, text)
    assert run.value("model.num_layers") == 2 and run.value("model.num_experts") is None
    assert run.value("model.max_positions") == 4096


def test_the_critic_may_be_another_model(tmp_path, model):
    text = (
        MAIN
        + "algorithm.adv_estimator=gae actor_rollout_ref.model.path=model critic.model.path=Qwen/Qwen2.5-7B\n"
    )
    run = facts(tmp_path, text)
    assert run.value("model.num_experts") == 16 and run.value("critic.model.num_experts") is None
    assert run.value("critic.model.num_heads") == 28


SLIME = "python3 train.py --rollout-batch-size 2 --num-rollout 3 --load {load}\n"


def test_s1_a_folder_without_a_marker_is_a_known_none(tmp_path):
    (tmp_path / "ckpt" / "iter_0000010").mkdir(parents=True)
    run = facts(tmp_path, SLIME.format(load="ckpt"))
    assert run.value("ckpt.load_marker") is None and run.fact("ckpt.load_marker").state == "known"
    assert run.value("ckpt.load_iterations") == [10]


def test_s1_a_marker_tells_the_iteration(tmp_path):
    folder = tmp_path / "ckpt" / "iter_0000020"
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text('{"sharded_backend": "torch_dist"}')
    (tmp_path / "ckpt" / "latest_checkpointed_iteration.txt").write_text("20")
    run = facts(tmp_path, SLIME.format(load="ckpt"))
    assert (run.value("ckpt.load_marker"), run.value("ckpt.load_format")) == (20, "torch_dist")


def test_s1_a_folder_that_is_not_here_stays_unknown(tmp_path):
    run = facts(tmp_path, SLIME.format(load="/cluster/ckpt"))
    assert run.value("ckpt.load_marker") is UNKNOWN and run.value("ckpt.load_format") is UNKNOWN
