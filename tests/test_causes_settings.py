"""From a failing line to the user's own keys: names in code and messages, values, which way to turn them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor.diagnose import diagnose
from rldoctor.facts import ToldFacts
from rldoctor.types import Remedy

LIBRARY = "/opt/venv/lib/python3.11/site-packages"


def _cures(folder: Path, log: str) -> tuple[Remedy, ...]:
    path = folder / "run.log"
    path.write_text(log)
    return next(f for f in diagnose([str(path)], None, ToldFacts()).findings if f.part == "root").remedies


def _verl(error: str, code: str, *overrides: str, file: str = "/app/verl/workers/heron.py") -> str:
    told = ", ".join(f"'{each}'" for each in (*overrides, "actor_rollout_ref.rollout.name=vllm"))
    return (
        f"Error executing job with overrides: [{told}]\nTraceback (most recent call last):\n"
        '  File "/app/verl/trainer/main_ppo.py", line 31, in main\n    run_ppo(config)\n'
        f'  File "{file}", line 61, in check\n    {code}\n{error}\n'
    )


def _raised(error: str, file: str, code: str = "raise ValueError(") -> str:
    return f'Traceback (most recent call last):\n  File "{file}", line 9, in turn\n    {code}\n{error}\n'


def test_an_assertion_over_the_configuration_names_keys_values_places_and_multiples(tmp_path: Path) -> None:
    config = "self.config"
    code = (
        f"assert {config}.data.train_batch_size % {config}.actor_rollout_ref.actor.ppo_mini_batch_size == 0"
    )
    log = _verl(
        "AssertionError", code, "data.train_batch_size=100", "actor_rollout_ref.actor.ppo_mini_batch_size=30"
    )
    first = _cures(tmp_path, log)[0]
    assert "data.train_batch_size=100 (run.log:1) a multiple of" in first.title
    assert "actor_rollout_ref.actor.ppo_mini_batch_size=30" in first.title
    assert "90 or 120 would be" in first.title
    assert first.command == "data.train_batch_size=90"


def test_an_engines_own_argument_is_named_as_the_users_system_hands_it_on(tmp_path: Path) -> None:
    error = "ValueError: heron kv_cache_dtype fp3 is not supported with tensor parallel size 4"
    first = _cures(tmp_path, _verl(error, "raise ValueError(", file=f"{LIBRARY}/vllm/heron.py"))[0].title
    assert "Give +actor_rollout_ref.rollout.engine_kwargs.vllm.kv_cache_dtype another value" in first
    assert "do without actor_rollout_ref.rollout.tensor_model_parallel_size" in first


def test_slime_takes_megatrons_and_sglangs_names_as_flags(tmp_path: Path) -> None:
    train = _raised(
        "AssertionError",
        "/root/slime/slime/ray/heron.py",
        "assert args.rollout_batch_size <= args.num_rollout",
    )
    assert "Lower --rollout-batch-size, or raise --num-rollout" in _cures(tmp_path, train)[0].title
    serve = (
        "Traceback (most recent call last):\n"
        '  File "/root/slime/slime/ray/heron.py", line 3, in start\n    go()\n'
        '  File "/sgl-workspace/sglang/python/sglang/srt/heron.py", line 9, in turn\n    raise ValueError(\n'
        "ValueError: heron max_running_requests (40) exceeds the 32 perches\n"
    )
    assert "Lower --sglang-max-running-requests to at most 32" in _cures(tmp_path, serve)[0].title


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (
            "herons require sequence_parallel when tensor_model_parallel_size > 1",
            "Set --sequence-parallel, as --ten",
        ),
        ("cannot have both micro-batch-size and seq-length specified", "Leave out all but one of"),
        ("herons need transformer_impl=='local' here", "Set --transformer-impl to local"),
        (
            "When --fp8-param-gather is on, herons need fp8_recipe==1",
            "Set --fp8-recipe to 1, or change --fp8-param-gather",
        ),
        (
            "both fp8_param_gather and reuse_grad_buf_for_mxfp8_param_ag must be True for herons",
            "Set --fp8-param-gather, --reuse-grad-buf-for-mxfp8-param-ag to True",
        ),
        (
            "if fp8_param_gather is used then expert_model_parallel_size must be set",
            "Set --expert-model-parallel-size, as --fp8-param-gather asks for it",
        ),
    ],
)
def test_a_message_of_megatron_says_which_way_to_turn(tmp_path: Path, error: str, cure: str) -> None:
    log = _raised(f"ValueError: {error}", "/app/megatron/training/heron.py")
    assert cure in _cures(tmp_path, log)[0].title


def test_what_must_be_none_is_left_out(tmp_path: Path) -> None:
    code = "assert args.virtual_pipeline_model_parallel_size is None, 'x'"
    log = _raised("AssertionError", "/app/megatron/training/heron.py", code)
    assert "to None" not in _cures(tmp_path, log)[0].title


def test_a_field_of_the_engines_code_is_named_with_the_flag_that_switches_it_off(tmp_path: Path) -> None:
    code = "assert not config.apply_rope_fusion"
    log = _raised("AssertionError", "/app/megatron/core/heron.py", code)
    assert "Do without apply_rope_fusion (--no-rope-fusion" in _cures(tmp_path, log)[0].title
    error = "ValueError: multi_latent_attention does not support apply_rope_fusion for herons."
    log = _raised(error, "/app/megatron/core/heron.py")
    assert "do without apply_rope_fusion (--no-rope-fusion" in _cures(tmp_path, log)[0].title
    section = "actor_rollout_ref.actor.megatron.override_transformer_config"
    verl = _verl("AssertionError", code, file="/app/megatron/core/heron.py")
    assert f"+{section}.apply_rope_fusion" in _cures(tmp_path, verl)[0].title


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (
            "eval_steps (9) must be divisible by logging_steps (4) for herons.",
            "9 is no multiple of 4, 8 or 12",
        ),
        ("`sync_module_states` must be `True` for herons", "Set sync_module_states to True"),
        (
            "'dataset_text_field' and 'packing_strategy' are mutually exclusive",
            "Leave out all but one of dataset",
        ),
        ("save_total_limit should be at least 3 for herons", "Raise save_total_limit to at least 3"),
        ("save_total_limit must be larger than 3 for herons", "Raise save_total_limit to more than 3"),
        ("the heron is longer than max_prompt_length", "Raise max_prompt_length"),
        ("--dataset_text_field must be set for herons", "Set dataset_text_field"),
        ("a heron needs dataset_text_field", "Set dataset_text_field"),
        ("dataset_text_field is not compatible with herons", "Give dataset_text_field another value"),
    ],
)
def test_an_argument_of_a_trainer_without_a_catalogue_is_turned_as_the_message_demands(
    tmp_path: Path, error: str, cure: str
) -> None:
    titles = [
        each.title for each in _cures(tmp_path, _raised(f"ValueError: {error}", f"{LIBRARY}/trl/heron.py"))
    ]
    assert cure in titles[0]


def test_what_is_no_argument_of_anything_is_not_named(tmp_path: Path) -> None:
    error = "ValueError: heron_wing_count must be larger than 3"
    assert "Raise" not in _cures(tmp_path, _raised(error, f"{LIBRARY}/trl/heron.py"))[0].title


def test_a_list_of_names_speaks_of_none_of_them(tmp_path: Path) -> None:
    names = "save_steps save_total_limit max_steps num_train_epochs warmup_steps eval_steps logging_steps"
    error = f"ValueError: must be larger than nothing: {names}"
    assert (
        "save_steps" not in _cures(tmp_path, _raised(error, f"{LIBRARY}/trl/heron.py"))[0].title.split(":")[0]
    )


def test_a_path_in_the_message_is_found_in_the_configuration(tmp_path: Path) -> None:
    log = _verl(
        "HeronError: no nest in /models/grey/nest.json",
        "raise HeronError(",
        "actor_rollout_ref.model.path=/models/grey",
    )
    assert (
        "/models/grey stands in actor_rollout_ref.model.path=/models/grey (run.log:1)"
        in _cures(tmp_path, log)[0].title
    )


def test_an_argument_that_the_callee_does_not_know_is_to_be_left_out_where_it_is_written(
    tmp_path: Path,
) -> None:
    error = "TypeError: Heron.__init__() got an unexpected keyword argument 'max_num_batched_tokens'"
    key = "actor_rollout_ref.rollout.max_num_batched_tokens"
    written = _cures(tmp_path, _verl(error, "Heron(**kwargs)", f"{key}=9000"))
    assert f"Leave {key}=9000 (run.log:1) out" in written[0].title
    assert all("Leave" not in each.title for each in _cures(tmp_path, _verl(error, "Heron(**kwargs)")))


def test_a_number_that_came_out_negative_is_no_settings_value(tmp_path: Path) -> None:
    error = "ValueError: `max_new_tokens` must be greater than 0, but is -930."
    assert (
        "longer than the whole context" in _cures(tmp_path, _raised(error, f"{LIBRARY}/heron/a.py"))[0].title
    )


def test_a_rule_that_names_no_setting_says_the_one_of_its_line(tmp_path: Path) -> None:
    error = "AssertionError: chunked_prefill_size must be divisible by page_size"
    file = "/sgl-workspace/sglang/python/sglang/srt/server_args.py"
    log = (
        'Traceback (most recent call last):\n  File "/sgl-workspace/sglang/python/sglang/launch_server.py", '
        f'line 14, in <module>\n    launch_server(args)\n  File "{file}", line 20, in check_server_args\n'
        f"    self.chunked_prefill_size % self.page_size == 0\n{error}\n"
    )
    assert _cures(tmp_path, log)[0].title.startswith("Make --chunked-prefill-size a multiple of --page-size")


def test_fields_that_a_schema_refuses_are_told_each_with_its_cure(tmp_path: Path) -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/app/nest/main.py", line 4, in main\n    NestConfig(**told)\n'
        "pydantic_core._pydantic_core.ValidationError: 3 validation errors for NestConfig\n"
        "wings.count\n"
        "  Extra inputs are not permitted [type=extra_forbidden, input_value=2, input_type=int]\n"
        "    For further information visit https://errors.pydantic.dev/2.12/v/extra_forbidden\n"
        "beak\n  Field required [type=missing, input_value={'wings': 2}, input_type=dict]\n"
        "legs\n  Input should be a valid integer [type=int_type, input_value=None, input_type=NoneType]\n"
    )
    first = _cures(tmp_path, log)[0].title
    assert first.startswith("Leave wings.count out, or move it")
    assert "; Set beak; Give legs another value (it is None): Input should be a valid integer" in first
    assert first.count("Set beak") == 1


def test_a_deepspeed_word_on_the_failing_line_is_told(tmp_path: Path) -> None:
    log = _raised(
        "ZeroDivisionError: float floor division by zero",
        f"{LIBRARY}/deepspeed/runtime/heron.py",
        "share = 100.0 * count // self.reduce_bucket_size",
    )
    assert any("Its line takes reduce_bucket_size" in each.title for each in _cures(tmp_path, log))


def test_an_environment_variable_is_turned_against_the_setting_that_it_bounds(tmp_path: Path) -> None:
    bound = "(default 4096) must be larger or equal to chunked_prefill_size"
    error = f"HeronError: SGLANG_HERON_TOKENS_PER_RANK {bound}"
    file = "/sgl-workspace/sglang/python/sglang/srt/heron.py"
    first = _cures(tmp_path, _raised(error, file, "assert chunk <= rank_tokens"))[0].title
    assert first.startswith("Raise SGLANG_HERON_TOKENS_PER_RANK, or lower --chunked-prefill-size")


def test_a_variable_that_only_helps_to_report_is_not_turned(tmp_path: Path) -> None:
    error = "HeronError: invalid wing (run with NCCL_DEBUG=WARN for details or CUDA_LAUNCH_BLOCKING=1)"
    assert all(
        "another value" not in each.title for each in _cures(tmp_path, _raised(error, f"{LIBRARY}/h.py"))
    )


@pytest.mark.parametrize(
    ("told", "cure"),
    [
        ("VLLM_USE_HERON=1", "Set VLLM_USE_HERON=0 (where it is left out, a default may choose 1), or do"),
        (
            "VLLM_HERON=grey",
            "Unset VLLM_HERON, or give it another value than grey, or do without --heron-cls",
        ),
    ],
)
def test_a_variables_value_that_is_refused_is_no_instruction(tmp_path: Path, told: str, cure: str) -> None:
    error = f"NotImplementedError: {told} is not supported with --heron-cls."
    titles = [each.title for each in _cures(tmp_path, _raised(error, f"{LIBRARY}/vllm/heron.py"))]
    assert titles[0].startswith(cure)
    assert not any(title.startswith("Do what the message says") for title in titles)


def test_a_literal_that_code_asserts_is_the_value_to_set(tmp_path: Path) -> None:
    file, code = f"{LIBRARY}/trl/heron.py", "assert args.truncation_mode == 'keep_end'"
    titles = [each.title for each in _cures(tmp_path, _raised("AssertionError", file, code))]
    assert "Set truncation_mode to keep_end" in titles[0]


def test_of_two_ways_out_that_code_asserts_the_last_is_set_and_the_first_changed(tmp_path: Path) -> None:
    code = 'assert not args.fp8_param_gather or args.fp8_recipe == "delayed", ('
    log = _raised("AssertionError", "/app/megatron/training/heron.py", code)
    assert "Set --fp8-recipe to delayed, or change --fp8-param-gather" in _cures(tmp_path, log)[0].title


def test_what_an_assertion_takes_for_true_is_set_and_nothing_advised_against_it(tmp_path: Path) -> None:
    error = "AssertionError: With herons and tensor parallelism, sequence parallelism must be used."
    file = "/workspace/Megatron-LM/megatron/training/arguments.py"
    titles = [
        each.title for each in _cures(tmp_path, _raised(error, file, "assert args.sequence_parallel, \\"))
    ]
    assert "Set --sequence-parallel" in titles[0]
    assert not any("do without sequence" in title for title in titles)


def test_what_a_message_replaces_is_not_to_be_set(tmp_path: Path) -> None:
    error = "ValueError: provide the heron as a positional argument instead of via the `--model` option."
    titles = [each.title for each in _cures(tmp_path, _raised(error, f"{LIBRARY}/vllm/heron.py"))]
    assert not any("Set --model" in title for title in titles)


def test_a_setting_that_the_message_says_to_try_is_passed_on(tmp_path: Path) -> None:
    error = "HeronError: 500 wings cannot be reached! Try setting `heron_length` to 'auto' OR 31."
    titles = [each.title for each in _cures(tmp_path, _raised(error, f"{LIBRARY}/vllm/heron.py"))]
    assert titles[0] == "Do what the message says: Try setting `heron_length` to 'auto' OR 31."
