"""Trainers that people made of a system: what their own tree says counts, not what a release of it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.check import check
from rldoctor.dialects import release
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding

MAIN = """\
import hydra


@hydra.main(config_path={path!r}, config_name="ppo_trainer", version_base=None)
def main(config):
    run(config)
"""
CONFIG = """\
data:
  train_files: ~/train.parquet
  train_batch_size: 256
  max_turns_of_search: 2
actor_rollout_ref:
  model: {path: ~/model}
  actor:
    strategy: fsdp
    ppo_mini_batch_size: 64
    ppo_micro_batch_size_per_gpu: 8
    use_dynamic_bsz: false
    fsdp_config: {grad_offload: false}
  rollout: {name: vllm, n: 1, log_prob_micro_batch_size_per_gpu: 8}
trainer: {nnodes: 1, n_gpus_per_node: 8}
"""
LAUNCH = """\
python3 -m {program} \\
    data.train_batch_size={batch} \\
    actor_rollout_ref.actor.ppo_mini_batch_size=64 \\
    {words} \\
    trainer.nnodes=1
"""


def fork(
    root: Path,
    words: str,
    version: str = "0.5.0",
    package: str = "verl/trainer",
    batch: int = 256,
    path: str = "config",
    config: str = CONFIG,
) -> list[Finding]:
    """Check a script in a tree that has a trainer of its own."""
    folder = root / package
    (folder / "config").mkdir(parents=True)
    (folder / "main_ppo.py").write_text(MAIN.format(path=path))
    (folder / "config" / "ppo_trainer.yaml").write_text(config)
    (root / "verl" / "version").mkdir(parents=True, exist_ok=True)
    (root / "verl" / "version" / "version").write_text(version)
    (root / "scripts").mkdir()
    script = root / "scripts" / "run.sh"
    script.write_text(
        LAUNCH.format(program=f"{package.replace('/', '.')}.main_ppo", words=words, batch=batch)
    )
    return list(check([str(script)], ToldFacts()).report.findings)


def about_keys(findings: list[Finding]) -> list[tuple[str, str]]:
    keys = ("unknown-key", "removed-key", "renamed-key")
    return [(found.severity, found.title) for found in findings if found.rule in keys]


def test_a_key_of_the_trees_own_configuration_is_known(tmp_path: Path) -> None:
    assert about_keys(fork(tmp_path, "data.max_turns_of_search=4")) == []


def test_a_slip_in_a_fork_is_still_an_error(tmp_path: Path) -> None:
    ((severity, title),) = about_keys(fork(tmp_path, "actor_rollout_ref.actor.use_kl_lost=True"))
    assert severity == "error" and "use_kl_loss?" in title


@pytest.mark.parametrize("version", ["0.1", "0.1.0.dev"])
def test_before_all_known_releases_the_trees_own_configuration_says_what_there_is(
    tmp_path: Path, version: str
) -> None:
    known = "actor_rollout_ref.actor.fsdp_config.grad_offload=True data.max_turns_of_search=4"
    assert about_keys(fork(tmp_path / "a", known, version)) == []
    ((severity, title),) = about_keys(fork(tmp_path / "b", "data.max_turns_of_serch=4", version))
    assert severity == "error" and version in title and "data.max_turns_of_search?" in title


def test_what_later_releases_refuse_is_possible_before_them(tmp_path: Path) -> None:
    found = {each.rule: each for each in fork(tmp_path, "data.max_turns_of_search=4", "0.1", batch=16)}
    large = found["mini-batch-larger-than-the-batch"]
    assert (large.severity, large.confidence) == ("warning", "possible")
    assert "verl 0.1 refuses what later releases refuse" in large.assumes


def test_the_same_is_certain_where_the_release_is_known(tmp_path: Path) -> None:
    found = {each.rule: each for each in fork(tmp_path, "data.shuffle=True", "0.5.0", batch=16)}
    assert found["mini-batch-larger-than-the-batch"].severity == "error"


def test_a_trainer_of_ones_own_starts_from_its_own_configuration(tmp_path: Path) -> None:
    found = fork(tmp_path, "data.max_turns_of_search=4", package="lab/rl", path="pkg://lab.rl.config")
    assert about_keys(found) == []
    assert "no-micro-batch" not in [each.id for each in found]  # of the critic it says nothing


def test_what_a_tree_ships_is_its_authors_business(tmp_path: Path) -> None:
    idle = "ppo_micro_batch_size_per_gpu: 8\n    ppo_max_token_len_per_gpu: 16384"
    shipped = CONFIG.replace("ppo_micro_batch_size_per_gpu: 8", idle)
    words = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=8192"

    def idles(root: Path, words: str) -> int:
        found = fork(root, words, package="lab/rl", config=shipped)
        return sum(each.rule == "token-budget-inactive" for each in found)

    assert idles(tmp_path / "a", "data.max_turns_of_search=4") == 0
    assert idles(tmp_path / "b", words) == 1


def test_of_a_trainer_that_is_not_here_nothing_is_certain(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(LAUNCH.format(program="lab.rl.main_ppo", words="trainer.n_gpus_per_node=8", batch=256))
    found = check([str(script)], ToldFacts()).report.findings
    assert [each.rule for each in found if each.rule == "no-micro-batch"]
    assert {each.severity for each in found} <= {"warning", "hint"}
    assert all(each.confidence == "possible" for each in found if each.rule == "no-micro-batch")


def test_many_keys_that_no_release_has_are_a_forks_own(tmp_path: Path) -> None:
    words = " ".join(f"retriever.{name}=1" for name in ("url", "topk", "kind"))
    script = tmp_path / "run.sh"
    text = LAUNCH.format(program="verl.trainer.main_ppo", words=words, batch=256)
    script.write_text(text)
    few = text.replace(" retriever.topk=1 retriever.kind=1", "")
    assert {found[0] for found in about_keys(list(check([str(script)], ToldFacts()).report.findings))} == {
        "hint"
    }
    script.write_text(few)
    assert {found[0] for found in about_keys(list(check([str(script)], ToldFacts()).report.findings))} == {
        "error"
    }


@pytest.mark.parametrize(("word", "rules"), [("house_rules", []), ("house_rule", ["unknown-choice"])])
def test_what_the_tree_registers_is_known(tmp_path: Path, word: str, rules: list[str]) -> None:
    managers = tmp_path / "verl" / "workers"
    managers.mkdir(parents=True)
    (managers / "house.py").write_text('@register("house_rules")\nclass House:\n    pass\n')
    found = fork(tmp_path, f"reward_model.reward_manager={word}")
    assert [each.rule for each in found if each.rule == "unknown-choice"] == rules


@pytest.mark.parametrize(("word", "severity"), [("dappo", "error"), ("house_rules", "warning")])
def test_a_registry_takes_words_of_ones_own(tmp_path: Path, word: str, severity: str) -> None:
    script = tmp_path / "run.sh"
    words = f"reward_model.reward_manager={word}"
    script.write_text(LAUNCH.format(program="verl.trainer.main_ppo", words=words, batch=256))
    found = check([str(script)], ToldFacts(versions={"verl": "0.5"})).report.findings
    assert [each.severity for each in found if each.rule == "unknown-choice"] == [severity]


def test_a_value_that_one_of_two_possible_releases_takes_is_not_refused(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    words = "actor_rollout_ref.rollout.mode=sync"
    script.write_text(LAUNCH.format(program="verl.trainer.main_ppo", words=words, batch=256))

    def choices(version: str) -> list[str]:
        found = check([str(script)], ToldFacts(versions={"verl": version})).report.findings
        return [each.rule for each in found if each.rule == "unknown-choice"]

    assert (choices("0.7.0.dev"), choices("0.7")) == ([], ["unknown-choice"])


@pytest.mark.parametrize(("word", "severities"), [("trloo", []), ("trlo", ["error"])])
def test_a_forks_own_source_adds_words_to_a_flag(tmp_path: Path, word: str, severities: list[str]) -> None:
    source = 'parser.add_argument("--advantage-estimator", choices=["grpo", "trloo"])\n'
    (tmp_path / "slime" / "utils").mkdir(parents=True)
    (tmp_path / "slime" / "utils" / "arguments.py").write_text(source)
    (tmp_path / "train.py").write_text("from slime.utils.arguments import parse_args\n")
    script = tmp_path / "run.sh"
    script.write_text(
        f"python3 train.py --hf-checkpoint /m/q --rollout-batch-size 8 --advantage-estimator {word}\n"
    )
    found = check([str(script)], ToldFacts()).report.findings
    assert [each.severity for each in found if each.rule == "unknown-choice"] == severities


AREAL = """\
experiment_name: a
trial_name: b
allocation_mode: sglang:d4p1t1+d4p1t1
train_dataset: {batch_size: 8, path: /d, type: rl}
gconfig: {n_samples: 4, max_new_tokens: 64}
actor:
  path: /models/q
  group_adv_norm: true
"""
DECLARED = """\
@dataclass
class PPOActorConfig:
    path: str = ""
    group_adv_norm: bool = False

@dataclass
class GRPOConfig:
    actor: PPOActorConfig = field(default_factory=PPOActorConfig)
"""


def test_fields_that_the_tree_declares_are_known(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    file = tmp_path / "examples" / "grpo.yaml"
    file.write_text(AREAL)
    assert "unknown-key" in {each.rule for each in check([str(file)], ToldFacts()).report.findings}
    (tmp_path / "areal" / "api").mkdir(parents=True)
    (tmp_path / "areal" / "api" / "cli_args.py").write_text(DECLARED)
    assert "unknown-key" not in {each.rule for each in check([str(file)], ToldFacts()).report.findings}


def test_a_section_that_another_class_leaves_open_frees_no_key(tmp_path: Path) -> None:
    file = tmp_path / "grpo.yaml"
    file.write_text(AREAL + "  behave_imp_weight_cap: 5.0\n")
    (tmp_path / "areal" / "api").mkdir(parents=True)
    other = "\n@dataclass\nclass RWConfig:\n    actor: Elsewhere = field(default_factory=Elsewhere)\n"
    (tmp_path / "areal" / "api" / "cli_args.py").write_text(DECLARED + other)
    found = check([str(file)], ToldFacts(versions={"areal": "1.0.4"})).report.findings
    assert "renamed-key:actor.behave_imp_weight_cap" in [each.id for each in found]


@pytest.mark.parametrize(("word", "refused"), [("xla", []), ("mine", ["unknown-choice"])])
def test_a_back_end_that_the_project_knows_is_no_strange_one(
    tmp_path: Path, word: str, refused: list[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'lab'\n")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "workers.py").write_text('if config.actor.strategy == "xla":\n    pass\n')
    (tmp_path / "run.sh").write_text(
        f"python3 -m verl.trainer.main_ppo actor_rollout_ref.actor.strategy={word} trainer.nnodes=1\n"
    )
    found = check([str(tmp_path / "run.sh")], ToldFacts()).report.findings
    assert [each.rule for each in found if each.rule == "unknown-choice"] == refused


def test_a_file_alone_is_of_no_model_in_particular(tmp_path: Path) -> None:
    file = tmp_path / "grpo.yaml"
    file.write_text(
        "actor_rollout_ref:\n  actor: {use_dynamic_bsz: true, ppo_max_token_len_per_gpu: 16384}\n"
        "  rollout: {name: vllm, max_model_len: 12288}\ntrainer: {nnodes: 1}\n"
    )
    found = check([str(file)], ToldFacts()).report.findings
    assert "context-longer-than-the-model" not in {each.rule for each in found}


JOINING = """\
if [ "$NODE_RANK" -eq 0 ]; then
    ray start --head --num-gpus 8
else
    ray start --address="$HEAD:6379" --num-gpus 8
fi
ray job submit --address=http://127.0.0.1:8265 -- python3 train.py \\
    --actor-num-nodes 1 --actor-num-gpus-per-node 8 \\
    --rollout-num-gpus 8 --hf-checkpoint /models/Qwen3-4B --rm-type math
"""


@pytest.mark.parametrize(
    ("text", "short"), [(JOINING, False), (JOINING.replace('--address="$HEAD:6379"', "--head"), True)]
)
def test_a_cluster_that_further_nodes_join_may_have_what_is_asked_for(
    tmp_path: Path, text: str, short: bool
) -> None:
    (tmp_path / "run.sh").write_text(text)
    found = check([str(tmp_path / "run.sh")], ToldFacts()).report.findings
    assert ("fewer-gpus-than-asked" in {each.rule for each in found}) is short


@pytest.mark.parametrize(("declares", "refused"), [("megatron/arguments.py", False), ("README.md", True)])
def test_a_megatron_from_before_its_core_has_flags_of_its_own(
    tmp_path: Path, declares: str, refused: bool
) -> None:
    (tmp_path / "megatron").mkdir()
    (tmp_path / declares).write_text("def add(group):\n    pass\n")
    (tmp_path / ".git").mkdir()
    launch = tmp_path / "pretrain.sh"
    launch.write_text(
        "torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 24 --hidden-size 2048 --data-impl mmap \\\n"
        "    --num-attention-heads 16 --seq-length 1024 --micro-batch-size 4 --checkpoint-activations\n"
    )
    found = check([str(launch)], ToldFacts()).report.findings
    assert bool([each for each in found if each.severity == "error"]) is refused


def test_a_plus_before_a_key_that_the_tree_lacks_is_right(tmp_path: Path) -> None:
    def refused(folder: str, key: str) -> bool:
        found = fork(tmp_path / folder, f"+actor_rollout_ref.{key}=1", "0.6.0")
        return "duplicate-key" in {each.rule for each in found if each.severity == "error"}

    assert not refused("a", "rollout.max_num_seqs")  # a key of the release, not of this tree
    assert refused("b", "rollout.n")


def test_a_section_that_the_tree_takes_from_elsewhere_is_asked_of_the_release(tmp_path: Path) -> None:
    composed = "defaults:\n- actor@actor_rollout_ref.actor: dp_actor\n- _self_\ntrainer: {nnodes: 1}\n"
    words = "+actor_rollout_ref.actor.use_torch_compile=True"
    found = fork(tmp_path, words, "0.6.0", config=composed)
    assert "duplicate-key" in {each.rule for each in found if each.severity == "error"}


def test_a_version_between_two_releases_is_no_internal_error(tmp_path: Path) -> None:
    assert about_keys(fork(tmp_path, "data.max_turns_of_search=4", "0.5.0.dev")) == []


def test_a_slip_above_a_configuration_that_is_not_here_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "train.sh"
    words = "python3 -m verl.trainer.main_ppo --config-path=/c --config-name=m data.{}=256 trainer.nnodes=1\n"
    file.write_text(words.format("train_bath_size"))
    found = {each.rule: each.severity for each in check([str(file)], ToldFacts()).report.findings}
    assert found["unknown-key"] == "error"
    file.write_text(words.format("my_own_field"))
    found = {each.rule: each.severity for each in check([str(file)], ToldFacts()).report.findings}
    assert found.get("unknown-key", "hint") == "hint"


@pytest.mark.parametrize("name", ["other", "ppo_megatron_trainer"])  # of one's own, and of every release
def test_a_key_of_the_configuration_that_is_named_is_known(name: str, tmp_path: Path) -> None:
    own = CONFIG.replace("max_turns_of_search", "max_turns_of_talk")
    words = "data.max_turns_of_search=4 --config-name={}"
    assert about_keys(fork(tmp_path / "a", words.format("ppo_trainer"), config=own)) != []
    fork(tmp_path / "b", words.format(name), config=own)
    (tmp_path / "b" / "verl" / "trainer" / "config" / f"{name}.yaml").write_text(CONFIG)
    script = str(tmp_path / "b" / "scripts" / "run.sh")
    assert about_keys(list(check([script], ToldFacts()).report.findings)) == []


def test_a_plus_adds_to_a_section_that_the_tree_leaves_empty(tmp_path: Path) -> None:
    key = "actor_rollout_ref.rollout.engine_kwargs.vllm.disable_mm_preprocessor_cache"
    empty = CONFIG.replace("rollout: {name: vllm,", "rollout: {engine_kwargs: {vllm: {}}, name: vllm,")
    found = fork(tmp_path, f"+{key}=True", version="0.5.0", config=empty)
    assert [each.id for each in found if each.rule == "duplicate-key"] == []


@pytest.mark.parametrize("inner", ["", "verl"])
def test_a_checkout_within_the_project_says_what_there_is(inner: str, tmp_path: Path) -> None:
    fork(tmp_path / inner, "data.max_turns_of_search=4", version="0.5.0")
    script = tmp_path / "launch.sh"
    script.write_text((tmp_path / inner / "scripts" / "run.sh").read_text())
    assert release.beside("verl", str(tmp_path)) is not None
    assert about_keys(list(check([str(script)], ToldFacts()).report.findings)) == []


@pytest.mark.parametrize(
    ("flags", "severity"),
    [
        ("prm-model prm-gpus prm-m", "warning"),
        ("prm-model prm-gpus prm-m prm-votes prm-words prm-turns", "hint"),
    ],
)
def test_many_flags_that_no_release_has_are_a_forks_own(flags: str, severity: str, tmp_path: Path) -> None:
    file = tmp_path / "run.sh"
    words = " ".join(f"--{flag} 1" for flag in flags.split())
    file.write_text(f"python3 train_async.py --rollout-batch-size 8 --n-samples-per-prompt 8 {words}\n")
    found = [each for each in check([str(file)], ToldFacts()).report.findings if each.rule == "unknown-key"]
    assert {each.severity for each in found} == {severity} and len(found) == len(flags.split())


def test_a_key_of_ones_own_is_not_made_another_one(tmp_path: Path) -> None:
    names = ("initial_rollouts", "beam_size", "branch_probability", "entropy_weight")
    words = " ".join(f"actor_rollout_ref.rollout.{name}=4" for name in names)
    file = tmp_path / "run.sh"
    file.write_text(f"python3 -m verl.trainer.main_ppo trainer.nnodes=1 {words}\n")
    found = [each for each in check([str(file)], ToldFacts()).report.findings if each.rule == "unknown-key"]
    assert len(found) == len(names) and {each.severity for each in found} == {"hint"}
    assert [edit for each in found for remedy in each.remedies for edit in remedy.edits] == []
