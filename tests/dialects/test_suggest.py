"""The key that somebody meant who wrote one in the wrong section."""

from rldoctor.dialects import suggest

VERL = (
    "actor_rollout_ref",
    "actor_rollout_ref.rollout",
    "actor_rollout_ref.rollout.n",
    "actor_rollout_ref.rollout.val_kwargs.n",
    "actor_rollout_ref.actor.optim.lr",
    "critic.optim.lr",
)
CHATLEARN = (
    "runtime_args",
    "runtime_args.data_path",
    "models.policy.max_response_tokens_length",
    "models.ref_policy.max_response_tokens_length",
    "models.reward.max_response_tokens_length",
)


def meant(key: str, known: tuple[str, ...]) -> str | None:
    found = suggest.nearest(key, known)
    return found.key if found is not None else None


def test_the_section_of_a_key_is_never_meant() -> None:
    assert meant("actor_rollout_ref.n", VERL) == "actor_rollout_ref.rollout.n"


def test_a_key_of_several_roles_is_the_policys() -> None:
    assert (
        meant("runtime_args.max_response_tokens_length", CHATLEARN)
        == "models.policy.max_response_tokens_length"
    )
    assert meant("trainer.lr", VERL) == "actor_rollout_ref.actor.optim.lr"


def test_a_key_whose_section_is_almost_right_stays_in_it() -> None:
    assert meant("critic.lr", VERL) == "critic.optim.lr"


def test_two_policies_leave_it_open() -> None:
    assert meant("seq_len", ("models.a.seq_len", "models.b.seq_len")) is None


def test_two_letters_turned_round_are_one_slip() -> None:
    assert suggest.word("gpdo", ("gae", "grpo", "gdpo")) == "gdpo"
    assert suggest.word("gpro", ("gae", "grpo", "gdpo")) == "grpo"
    assert suggest.word("disabled", ("auto", "disable", "resume_path")) == "disable"


def test_a_flag_is_looked_for_behind_the_prefix_of_a_part() -> None:
    known = ("--sglang-max-running-requests", "--rollout-top-k", "--micro-batch-size")
    assert meant("--max-running-requests", known) == "--sglang-max-running-requests"
    assert meant("--rollout-micro-batch-size", known) == "--micro-batch-size"
    assert meant("--max-log-len", known) is None


def test_a_section_is_misspelt_as_a_whole() -> None:
    known = ("actor.mb_spec.n_mbs", "actor.optimizer.lr", "rollout.backend", "ref.mb_spec.n_mbs")
    assert suggest.section("actor.mb_spc", known, ()) == suggest.Suggestion("actor.mb_spec", True)
    assert suggest.section("rololut", known, ()) == suggest.Suggestion("rollout", True)
    assert suggest.section("actor.mb_spc", known, ("actor.mb_spec.n_mbs",)) is None
    assert suggest.section("actor.engine", known, ()) is None
