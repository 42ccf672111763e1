"""The walk: what is known, what is assumed, and what stays unknown."""

import pytest

from rldoctor import facts as package
from rldoctor.facts import ToldFacts, walk
from rldoctor.sources import read, read_text
from rldoctor.types import UNKNOWN, RLDoctorError

MAIN = "python3 -m verl.trainer.main_ppo "
ACTOR = "actor_rollout_ref.actor."


def facts(text, kind="shell", **told):
    return walk(read_text(text, f"run.{kind}", kind), ToldFacts(**told))[0]


def test_a_written_value_has_its_place_and_what_a_person_would_quote():
    fact = facts(MAIN + f"{ACTOR}megatron.expert_model_parallel_size=2 {ACTOR}strategy=megatron\n").fact(
        "train.ep"
    )
    assert (fact.value, fact.state, fact.origin.kind) == (2, "known", "written")
    assert fact.origin.text == "actor…expert_model_parallel_size=2"
    assert fact.origin.key == ACTOR + "megatron.expert_model_parallel_size"
    assert (fact.origin.place.line, fact.system) == (1, "verl")


def test_a_default_is_known_and_names_the_release_that_is_assumed():
    fact = facts(MAIN + "data.train_batch_size=8\n").fact("rollout.tp")
    assert (fact.value, fact.state, fact.origin.kind) == (2, "known", "default")
    assert fact.origin.text == "default of verl 0.9"
    assert fact.assumes == ("verl 0.9 (newest that the keys seen allow)",)
    told = facts(MAIN + "data.train_batch_size=8\n", versions={"verl": "0.9.0"}).fact("rollout.tp")
    assert told.assumes == ()


def test_a_value_from_an_unset_variable_is_unknown_and_says_what_it_hangs_on():
    fact = facts(MAIN + "data.train_batch_size=$BATCH data.max_prompt_length=1\n").fact(
        "batch.prompts_per_step"
    )
    assert (fact.value, fact.state, fact.depends) == (UNKNOWN, "unknown", ("BATCH",))


def test_what_follows_from_the_unknown_is_unknown_for_the_same_reason():
    fact = facts(MAIN + "data.train_batch_size=$BATCH\n").fact("batch.samples_per_rollout")
    assert fact.value is UNKNOWN and "BATCH" in fact.depends


def test_the_default_of_a_variable_is_an_assumption_that_derived_facts_carry_on():
    run = facts("N=${N:-4}\n" + MAIN + "trainer.nnodes=$N trainer.n_gpus_per_node=8\n")
    assert run.value("train.gpus") == 32
    assert any("N" in text for text in run.fact("train.gpus").assumes)


def test_told_environment_and_arguments_reach_env_names():
    run = facts("export CUDA_DEVICE_MAX_CONNECTIONS=1\n" + MAIN + "data.train_batch_size=8\n")
    assert run.value("env.CUDA_DEVICE_MAX_CONNECTIONS") == "1"
    assert run.value("env.NCCL_DEBUG") is None
    assert run.setting("env.CUDA_DEVICE_MAX_CONNECTIONS") is not None
    assert facts(MAIN + "x=1\n", env={"NCCL_DEBUG": "INFO"}).value("env.NCCL_DEBUG") == "INFO"


def test_a_concept_without_a_row_is_a_known_none():
    run = facts(MAIN + "data.train_batch_size=8\n")
    assert run.fact("rollout.stop_token_ids").value is None
    assert run.fact("rollout.stop_token_ids").state == "known"


def test_names_of_expressions():
    run = facts(MAIN + "data.train_batch_size=8\n")
    assert run.value("system") == "verl" and run.value("version.verl") == "0.9"
    assert run.value("version.slime") is None and run.value("version.vllm") is UNKNOWN
    assert run.resolve("train.nonsense") is None and run.resolve("judge.train.tp") is None
    assert run.written("batch.prompts_per_step") == 8 and run.written("rollout.tp") is None


def test_without_a_document_everything_is_unknown_but_the_spelling_is_not():
    (run,) = walk(None, ToldFacts(system="verl"))
    assert run.value("rollout.tp") is UNKNOWN and run.value("env.X") is UNKNOWN
    assert run.row("rollout.tp").key == "actor_rollout_ref.rollout.tensor_model_parallel_size"
    (nobody,) = walk(None, ToldFacts())
    assert nobody.value("train.tp") is UNKNOWN and nobody.value("system") is UNKNOWN
    assert nobody.row("train.tp") is None


def test_set_stands_above_the_file_and_is_typed():
    run = facts(
        MAIN + "trainer.nnodes=1\n", set={"train.nodes": "4", "critic.train.tp": "2", "rollout.eager": "yes"}
    )
    assert run.value("train.nodes") == 4 and run.fact("train.nodes").origin.kind == "set"
    assert run.value("train.gpus") == 32 and run.value("rollout.eager") is True


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("train.tpp", "4", "unknown concept train.tpp, did you mean train.tp"),
        ("train.tp", "four", "train.tp is a whole number"),
        ("train.tp", "inf", "train.tp is a whole number"),
        ("ckpt.format", "pickle", "ckpt.format is one of"),
        ("rollout.eager", "perhaps", "rollout.eager is true or false"),
    ],
)
def test_a_wrong_set_is_refused(name, value, said):
    with pytest.raises(RLDoctorError, match=said):
        facts(MAIN + "trainer.nnodes=1\n", set={name: value})


def test_changed_derives_everything_again_and_leaves_the_first_alone():
    run = facts(
        MAIN + f"{ACTOR}strategy=megatron {ACTOR}megatron.tensor_model_parallel_size=4 "
        f"trainer.nnodes=4 actor_rollout_ref.model.path=Qwen/Qwen3-30B-A3B\n"
    )
    assert (run.value("train.etp"), run.value("model.experts_per_rank")) == (4, 128)
    more = run.changed({"train.ep": 8, "train.tp": 2, "env.X": "1"})
    assert more.value("train.dp") == 16 and more.value("train.etp") == 2
    assert more.value("model.experts_per_rank") == 16 and more.value("env.X") == "1"
    assert run.value("train.dp") == 8 and run.value("env.X") is None
    assert more.changed({"train.tp": None}).value("train.tp") == 1


def test_a_setting_that_is_taken_away_leaves_the_default():
    run = facts(MAIN + "actor_rollout_ref.rollout.gpu_memory_utilization=0.9\n")
    assert run.changed({"rollout.mem_fraction": None}).value("rollout.mem_fraction") == 0.5


def test_each_world_and_each_launch_has_its_facts():
    text = "if [ -f x ]; then T=8; else T=4; fi\n"
    text += MAIN + "actor_rollout_ref.rollout.tensor_model_parallel_size=$T\n"
    found = walk(read_text(text, "run.sh", "shell"), ToldFacts())
    assert {each.value("rollout.tp") for each in found} == {4, 8}
    twice = walk(read_text(f"{MAIN}trainer.nnodes=1\n{MAIN}trainer.nnodes=2\n", "r.sh", "shell"), ToldFacts())
    assert [each.value("train.nodes") for each in twice] == [1, 2]


def test_a_document_that_nobody_can_place_gives_nothing_until_it_is_named():
    document = read_text("python3 go.py trainer.nnodes=2\n", "run.sh", "shell")
    assert walk(document, ToldFacts()) == ()
    assert walk(document, ToldFacts(system="verl"))[0].value("train.nodes") == 2


def test_hidden_arguments_make_defaults_assumptions():
    text = "source /nowhere/args.sh\n" + MAIN + 'trainer.nnodes=1 "${EXTRA[@]}"\n'
    fact = facts(text).fact("rollout.tp")
    assert fact.value == 2 and fact.state == "assumed"
    assert any(text.endswith("adds no arguments") for text in fact.assumes)


def test_all_facts_are_in_the_vocabularys_order():
    found = facts(MAIN + "trainer.nnodes=1\n").all()
    concepts = list(dict.fromkeys(fact.concept for fact in found if not fact.concept.startswith("env.")))
    order = list(package.walk.__globals__["vocabulary"].load().concepts)
    assert concepts == sorted(concepts, key=order.index)


def test_a_config_file_below_the_command_is_read_and_left_alone(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text(
        "actor_rollout_ref:\n  rollout:\n    n: 8\n    name: sglang\ndata:\n  train_batch_size: 16\n"
    )
    script = tmp_path / "run.sh"
    script.write_text(MAIN + "--config-path=$PWD/conf --config-name=mine data.train_batch_size=32\n")
    (run,) = walk(read(str(script)), ToldFacts())
    assert (run.value("batch.n_samples"), run.value("batch.prompts_per_step")) == (8, 32)
    assert run.fact("batch.n_samples").origin.place.line == 3
    assert run.setting("batch.n_samples") is None and run.row("batch.n_samples") is not None
    assert run.setting("batch.prompts_per_step") is not None
    assert any(name.endswith("mine.yaml") for name in run.document.files)


def test_without_the_config_file_what_is_not_written_stays_unknown(tmp_path):
    script = tmp_path / "run.sh"
    script.write_text(MAIN + "--config-path=$PWD/conf --config-name=lost_config data.train_batch_size=32\n")
    (run,) = walk(read(str(script)), ToldFacts())
    assert run.value("batch.prompts_per_step") == 32
    assert run.value("batch.n_samples") is UNKNOWN and run.value("batch.global") is UNKNOWN
