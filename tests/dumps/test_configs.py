"""Resolved configurations beside logs, as Hydra, W&B and trainers leave them."""

from pathlib import Path

from rldoctor import dumps

VERL = """actor_rollout_ref:
  actor:
    strategy: megatron
    megatron:
      expert_model_parallel_size: 2
trainer:
  nnodes: 2
"""
WANDB = """_wandb:
    value:
        cli_version: 0.19.1
actor_rollout_ref:
    desc: null
    value:
        actor:
            strategy: megatron
            megatron: {expert_model_parallel_size: 4}
"""


def read(folder: Path, name: str, text: str) -> dumps.DumpReading:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return dumps.read(dumps.split([str(folder)])[0])


def keys(reading: dumps.DumpReading) -> dict[str, object]:
    ((document, _),) = reading.configs
    return {setting.key: setting.value for setting in document.worlds[0][0].settings}


def test_hydras_is_found_in_its_hidden_folder_and_said(tmp_path: Path) -> None:
    reading = read(tmp_path, "outputs/.hydra/config.yaml", VERL)
    assert keys(reading)["actor_rollout_ref.actor.megatron.expert_model_parallel_size"] == 2
    assert "config.yaml was taken into account" in reading.notes[0]


def test_the_wrapping_of_wandb_is_taken_off(tmp_path: Path) -> None:
    reading = read(tmp_path, "wandb/run-1/files/config.yaml", WANDB)
    assert keys(reading)["actor_rollout_ref.actor.megatron.expert_model_parallel_size"] == 4


def test_a_file_that_nobody_speaks_or_that_is_broken_is_left_alone(tmp_path: Path) -> None:
    assert read(tmp_path, "config.yaml", "color: red\n").configs == ()
    assert read(tmp_path, "config.yaml", "a: [1, 2\nb: {value: }}\n").configs == ()


def test_aliases_of_aliases_do_not_grow(tmp_path: Path) -> None:
    rows = "\n".join(f"a{n}: {{value: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12))
    assert read(tmp_path, "config.yaml", "a0: {value: &a0 [x]}\n" + rows).configs == ()


def test_beside_the_trainers_events_the_log_reader_takes_it(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("{}\n")
    assert read(tmp_path, "config.yaml", VERL).configs == ()
