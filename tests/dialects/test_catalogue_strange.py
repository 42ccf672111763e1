from __future__ import annotations

from pathlib import Path

from rldoctor import check
from rldoctor.dialects import suggest
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

RULES = ("unknown-key", "renamed-key", "removed-key", "wrong-type-of-key", "unknown-choice", "duplicate-key")


def found(path: Path, **versions: str) -> dict[str, Finding]:
    report = check.check([str(path)], ToldFacts(versions=versions)).report
    return {finding.id: finding for finding in report.findings if finding.rule in RULES}


def script(folder: Path, text: str) -> Path:
    path = folder / "run.sh"
    path.write_text(text)
    return path


MEGATRON = "torchrun --nproc_per_node 8 {} --num-layers 32 --mine 1 --tensor-model-parallel-size 2\n"


def test_flags_that_the_entry_script_adds_are_known(tmp_path: Path) -> None:
    path = script(tmp_path, MEGATRON.format("pretrain_gpt.py"))
    assert "unknown-key:--mine" in found(path)
    (tmp_path / "pretrain_gpt.py").write_text(
        "from extra import add_extra\npretrain(extra_args_provider=add_extra)\n"
    )
    (tmp_path / "extra.py").write_text(
        "def add_extra(parser):\n    parser.add_argument('--mine', type=int)\n"
    )
    assert "unknown-key:--mine" not in found(path)


def test_a_program_that_nobody_knows_is_only_asked_about_slips(tmp_path: Path) -> None:
    path = script(tmp_path, MEGATRON.format("my_pretrain_thing.py"))
    assert found(path) == {}


AREAL = """\
experiment_name: a
trial_name: b
judge:
  url: http://127.0.0.1
actor:
  backend: "fsdp:d4"
  path: /models/q
rollout:
  backend: "sglang:d4"
gconfig:
  n_samples: 8
"""


def test_fields_of_a_subclass_beside_the_file_are_known(tmp_path: Path) -> None:
    path = tmp_path / "grpo.yaml"
    path.write_text(AREAL)
    assert found(path)["unknown-key:judge"].severity == "hint"
    (tmp_path / "train.py").write_text(
        "@dataclass\nclass Judge:\n    url: str = ''\n\n"
        "@dataclass\nclass Mine(GRPOConfig):\n    judge: Judge = field(default_factory=Judge)\n"
    )
    assert found(path) == {}


def test_own_configuration_over_one_of_verl_adds_keys(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mine.yaml").write_text(
        "hydra:\n  searchpath:\n    - file://verl/trainer/config\ndefaults:\n  - ppo_trainer\n  - _self_\n"
        "tools:\n  limit: 3\n"
    )
    path = script(
        tmp_path,
        "python3 -m verl.trainer.main_ppo --config-path=$PWD/config --config-name=mine \\\n"
        "    tools.limit=4 trainer.nnodes=1 trainer.n_gpus_per_nod=8\n",
    )
    assert list(found(path)) == ["unknown-key:trainer.n_gpus_per_nod"]


def test_a_configuration_of_another_package_is_nobodys_to_judge(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        "python3 -m verl.trainer.main_ppo actor@actor_rollout_ref.actor=theirs_actor \\\n"
        "    actor_rollout_ref.actor.engine.tp=2 'hydra.searchpath=[pkg://theirs.config]'\n",
    )
    assert found(path) == {}


def test_other_entry_points_have_other_configurations(tmp_path: Path) -> None:
    words = "async_training.staleness_threshold=0.1 trainer.nnodes=1\n"
    other = script(tmp_path, f"python3 -m verl.experimental.fully_async_policy.fully_async_main {words}")
    assert found(other) == {}
    plain = script(tmp_path, f"python3 -m verl.trainer.main_ppo {words}")
    assert list(found(plain)) == ["unknown-key:async_training.staleness_threshold"]


def test_a_value_that_hangs_on_a_variable_is_left_alone(tmp_path: Path) -> None:
    path = script(tmp_path, "torchrun pretrain_gpt.py --num-layers $LAYERS --train-iters ${ITERS}\n")
    assert found(path) == {}


def test_each_key_is_a_finding_of_its_own(tmp_path: Path) -> None:
    path = script(
        tmp_path, "torchrun pretrain_gpt.py --num-layer 2 --hidden-siz 8 --tensor-model-parallel-size 1\n"
    )
    assert set(found(path)) == {"unknown-key:--num-layer", "unknown-key:--hidden-siz"}


def test_a_told_release_leaves_no_doubt(tmp_path: Path) -> None:
    path = script(tmp_path, "torchrun pretrain_gpt.py --num-layers 2 --use-custom-fsdp\n")
    assert found(path)["renamed-key:--use-custom-fsdp"].severity == "hint"
    told = found(path, megatron="0.18")["renamed-key:--use-custom-fsdp"]
    assert (told.severity, told.confidence) == ("error", "certain")


KNOWN = ["actor.optim.lr", "actor.use_kl_loss", "critic.optim.lr", "critic.model.path", "--micro-batch-size"]


def test_letters_before_ends_before_likeness() -> None:
    typo = suggest.nearest("actor.use_kl_lost", KNOWN)
    assert typo == suggest.Suggestion("actor.use_kl_loss", True)
    assert suggest.nearest("actor.use-kl-loss", KNOWN) == suggest.Suggestion("actor.use_kl_loss", True)
    assert suggest.nearest("critic.path", KNOWN) == suggest.Suggestion("critic.model.path")
    assert suggest.nearest("trainer.my_own", KNOWN) is None


def test_what_is_given_already_was_not_meant() -> None:
    assert suggest.nearest("actor.use_kl_lost", KNOWN, {"actor.use_kl_loss"}) is None


def test_swapped_letters_are_one_slip() -> None:
    assert suggest.distance("--lr-dceay", "--lr-decay") == 1
    assert suggest.distance("abc", "xyzw") == 3


GRPO = """\
experiment_name: a
trial_name: b
rollout: {{backend: "sglang:d4", max_concurrent_rollouts: 8}}
gconfig: {{n_samples: 8}}
actor:
  backend: "fsdp:d4"
  path: /models/q
  {}: 5.0
"""


def test_a_configuration_that_fits_an_older_release_wholly_is_of_that_release(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    text = GRPO.format("behav_imp_weight_cap").replace('backend: "sglang:d4", ', "")
    path.write_text("allocation_mode: sglang:d4+fsdp:d4\n" + text.replace('  backend: "fsdp:d4"\n', ""))
    seen = found(path)["renamed-key:actor.behav_imp_weight_cap"]
    assert (seen.severity, seen.confidence) == ("hint", "possible")


def test_a_key_of_a_class_that_the_back_end_does_not_use_is_refused(tmp_path: Path) -> None:
    said = "python chatlearn/entrypoint.py grpo runtime_args.train_backend={} models.policy_trainer.num_gpu=8"
    keys = "models.policy_trainer.tensor_model_parallel_size=2 models.policy_trainer.num_gpuu=8\n"
    fsdp = found(script(tmp_path, f"{said.format('fsdp')} {keys}"))
    assert "unknown-key:models.policy_trainer.tensor_model_parallel_size" in fsdp
    assert "unknown-key:models.policy_trainer.num_gpuu" in fsdp
    megatron = found(script(tmp_path, f"{said.format('megatron')} {keys}"))
    assert "unknown-key:models.policy_trainer.tensor_model_parallel_size" not in megatron


def test_a_value_of_another_key_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        GRPO.format("eps_clip").replace("8}}", "8}").replace("n_samples: 8", "n_samples: four")
        + ("  reward_norm: {mean_level: group, std_level: group, group_size: '${gconfig.n_samples}'}\n")
    )
    assert [each for each in found(path) if each.startswith("wrong-type")] == [
        "wrong-type-of-key:gconfig.n_samples"
    ]


def test_a_configuration_whose_name_has_a_slip_is_told(tmp_path: Path) -> None:
    said = "python3 -m verl.trainer.main_ppo --config-path={} --config-name={} trainer.nnodes=1\n"
    seen = found(script(tmp_path, said.format("config", "ppo_megatron_trainr.yaml")))
    assert "ppo_megatron_trainer" in seen["unknown-choice:--config-name"].remedies[0].title
    assert found(script(tmp_path, said.format("config", "ppo_megatron_trainer.yaml"))) == {}
    assert found(script(tmp_path, said.format("my/config", "ppo_trainr.yaml"))) == {}
    assert found(script(tmp_path, said.format("config", "my_own"))) == {}


def test_one_stranger_among_known_flags_is_a_mistake_and_many_are_somebodys_own(tmp_path: Path) -> None:
    path = tmp_path / "model_config.yaml"
    known = (
        "MODEL_ARGS:\n  --num-layers: 12\n  --hidden-size: 768\n  --bf16: true\n"
        "  --tensor-model-parallel-size: 1\n  --pipeline-model-parallel-size: 1\n  --lr: 0.1\n"
    )
    path.write_text(f"{known}  --clip-gradient: 1.0\n")
    seen = found(path)["unknown-key:--clip-gradient"]
    assert (seen.severity, seen.remedies[0].edits[0].new) == ("error", "--clip-grad: 1.0")
    own = "".join(f"  --router-part-{letter}: 1\n" for letter in "abcd")
    path.write_text(f"{known}  --clip-gradient: 1.0\n{own}")
    assert not [each for each in found(path).values() if each.severity == "error"]


def test_a_program_that_later_releases_lack_has_the_flags_of_its_own(tmp_path: Path) -> None:
    text = MEGATRON.format("pretrain_bert.py").replace(" --mine 1", "").replace("--num-layers", "--num-layes")
    assert found(script(tmp_path, text))["unknown-key:--num-layes"].severity == "error"


def test_values_of_a_configuration_without_a_program_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "model_config.yaml"
    path.write_text("MODEL_ARGS:\n  --num-layers: 12\n  --hidden-size: 512\n  --train-iters: 10k\n")
    assert found(path)["wrong-type-of-key:--train-iters"].severity == "error"


SEARCHED = """\
python3 -m verl.trainer.main_ppo 'hydra.searchpath=[pkg://mine.config]' algorithm.adv_estimator=grpo \\
    data.train_files=/d/t.parquet trainer.nnodes=1 {} model_engine=mine
"""


def test_groups_of_another_package_leave_the_main_keys_as_they_are(tmp_path: Path) -> None:
    assert found(script(tmp_path, SEARCHED.format("trainer.total_epochs=2"))) == {}
    slip = found(script(tmp_path, SEARCHED.format("trainer.total_epoch=2")))
    assert slip["unknown-key:trainer.total_epoch"].severity == "error"
