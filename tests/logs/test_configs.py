# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from collections.abc import Callable

from rldoctor.logs import LogReading, PrintedConfig
from rldoctor.types import Setting

OVERRIDES = (
    "Error executing job with overrides: ['data.train_batch_size=64', 'actor_rollout_ref.actor.megatron.expert_model_parallel_size=2', "
    "\"data.val_files=['/d/a.parquet']\", 'trainer.logger=[console,wandb]']"
)
TRACE = """Traceback (most recent call last):
  File "/work/verl/trainer/main_ppo.py", line 39, in main
    run_ppo(config)
RuntimeError: no
"""


def settings(printed: PrintedConfig) -> dict[str, Setting]:
    return {setting.key: setting for command in printed.document.worlds[0] for setting in command.settings}


def test_v10_diagnose_hydras_overrides_are_the_configuration(reading: Callable[..., LogReading]) -> None:
    result = reading("start\n" + OVERRIDES + "\n" + TRACE)
    (printed,) = result.configs
    found = settings(printed)
    assert found["actor_rollout_ref.actor.megatron.expert_model_parallel_size"].value == "2"
    assert found["data.val_files"].value == "['/d/a.parquet']"
    assert printed.document.worlds[0][-1].program == "verl.trainer.main_ppo"
    assert (printed.form, printed.line.number, printed.document.kind) == ("hydra_overrides", 2, "log")
    assert result.systems[0] == "verl"
    place = found["data.train_batch_size"].place
    assert place is not None and place.line == 2
    assert printed.document.worlds[0][-1].insert_at is None


def test_v10_diagnose_overrides_and_traceback_on_one_line(reading: Callable[..., LogReading]) -> None:
    result = reading("`" + OVERRIDES + " " + " ".join(TRACE.split()) + "\n")
    assert settings(result.configs[0])["data.train_batch_size"].value == "64"
    assert result.failures[0].exception == "RuntimeError"


def test_v10_diagnose_a_launch_command_with_its_script(reading: Callable[..., LogReading]) -> None:
    log = """Thanks, here is what I run:
set -x
EP=2
python3 -m verl.trainer.main_ppo --config-name=ppo_megatron_trainer \\
    data.train_batch_size=64 \\
    actor_rollout_ref.actor.megatron.expert_model_parallel_size=$EP \\
    trainer.nnodes=2
and it hangs.
"""
    (printed,) = reading(log).configs
    found = settings(printed)
    assert found["actor_rollout_ref.actor.megatron.expert_model_parallel_size"].value == "2"
    place = found["trainer.nnodes"].place
    assert place is not None and (place.line, place.file) == (7, printed.line.file)


def test_v10_diagnose_a_trace_of_the_shell(reading: Callable[..., LogReading]) -> None:
    log = "+ export X=1\n+ python3 -m verl.trainer.main_ppo data.train_batch_size=64 'trainer.logger=[console]'\nhello\n"
    (printed,) = reading(log).configs
    assert settings(printed)["data.train_batch_size"].value == "64"


def test_v10_diagnose_megatrons_dump_of_arguments(reading: Callable[..., LogReading]) -> None:
    rows = {
        "tensor_model_parallel_size": "4",
        "expert_model_parallel_size": "2",
        "sequence_parallel": "True",
        "gradient_accumulation_fusion": "False",
        "context_parallel_size": "None",
        "save": "/ck/run one",
    }
    dump = "".join(
        f"(Actor pid=3)   {name} {'.' * (48 - len(name))} {value}\n" for name, value in rows.items()
    )
    log = f"(Actor pid=3) ------------------------ arguments ------------------------\n{dump}(Actor pid=3) -------------------- end of arguments ---------------------\n"
    (printed,) = reading(log).configs
    found = settings(printed)
    assert found["--tensor-model-parallel-size"].value == "4"
    assert found["--sequence-parallel"].value is True
    assert found["--no-gradient-accumulation-fusion"].value is True
    assert found["--save"].value == "/ck/run one"
    assert "--context-parallel-size" not in found
    place = found["--expert-model-parallel-size"].place
    assert place is not None and place.line == 3


def test_v10_diagnose_verls_printed_dictionary(reading: Callable[..., LogReading]) -> None:
    head = "(TaskRunner pid=8) "
    dump = [
        "{'actor_rollout_ref': {'actor': {'ppo_mini_batch_size': 32,",
        "                                 'strategy': 'fsdp'},",
        "                       'rollout': {'name': 'vllm', 'n': 5}},",
        " 'data': {'train_batch_size': 64, 'truncation': None}}",
    ]
    result = reading("".join(f"{head}{line}\n" for line in dump) + "next\n")
    found = settings(result.configs[0])
    assert found["actor_rollout_ref.rollout.n"].value == 5
    assert found["data.truncation"].value is None
    assert result.configs[0].form == "pprint"


def test_sglangs_server_arguments(reading: Callable[..., LogReading]) -> None:
    log = "[2026-05-01 10:00:00] server_args=ServerArgs(model_path='/m', tp_size=8, mem_fraction_static=0.85, disable_cuda_graph=True, api_key=None)\n"
    found = settings(reading(log).configs[0])
    assert found["--mem-fraction-static"].value == "0.85"
    assert found["--disable-cuda-graph"].value is True


def test_of_several_the_nearest_above_counts(reading: Callable[..., LogReading]) -> None:
    second = OVERRIDES.replace("=64", "=128")
    result = reading(f"{OVERRIDES}\n{TRACE}\nlater\n{second}\n{TRACE}")
    first_failure, last_failure = result.failures
    values = [
        settings(printed)["data.train_batch_size"].value
        for printed in (result.config_for(first_failure.line), result.config_for(last_failure.line))
        if printed is not None
    ]
    assert values == ["64", "128"]


def test_v10_diagnose_what_no_system_speaks_is_no_configuration(reading: Callable[..., LogReading]) -> None:
    log = "python3 -m http.server --bind 0.0.0.0 \\\n  8000\nError executing job with overrides: ['foo.bar=1']\n{'actor_rollout_ref': {'actor': broken\n"
    assert reading(log).configs == ()


def test_code_in_a_dump_is_not_executed(reading: Callable[..., LogReading]) -> None:
    log = "{'actor_rollout_ref': {'actor': {'x': __import__('os').system('touch /tmp/never')}}}\nserver_args=ServerArgs(tp_size=exit())\n"
    assert reading(log).configs == ()
