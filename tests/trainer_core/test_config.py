from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer_core.config import Config
from trainer_core.config.reading import ConfigError, knobs, parse, read, scan, splice
from trainer_core.types import UserError

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def complaints(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "c.yaml")
    return str(caught.value).splitlines()


def test_nothing_written_means_all_defaults() -> None:
    assert parse("") == Config() == parse("train:\nrun: {}\n")


def test_numbers_as_people_write_them() -> None:
    config = parse(
        "train: {learning_rate: 2e-3}\nrun: {steps: 1_000, stop_at_reward: 1}\n"
        "rollout: {stop_token_ids: [1, 2]}"
    )
    assert config.train.learning_rate == 0.002
    assert config.run.steps == 1000
    assert config.run.stop_at_reward == 1.0
    assert config.rollout.stop_token_ids == (1, 2)


def test_all_mistakes_at_once_with_place_and_nearest_name() -> None:
    told = complaints(
        "trian: {}\n"
        "train:\n"
        "  learnig_rate: 1\n"
        "  packing: maybe\n"
        "  ulysses: 0\n"
        "  on_nan: stpo\n"
        "  dtype: float32\n"
        "  dtype: bfloat16\n"
        "run: {steps: 1.5, max_token_in_packing: 5}\n"
        "reward: [1]\n"
    )
    assert told == [
        "c.yaml:1:1: unknown setting trian; did you mean train?",
        "c.yaml:3:3: unknown setting train.learnig_rate; did you mean train.learning_rate?",
        "c.yaml:4:12: train.packing must be true or false, not maybe",
        "c.yaml:5:12: train.ulysses must be at least 1, not 0",
        "c.yaml:6:11: train.on_nan must be one of stop, skip, not stpo; did you mean stop?",
        "c.yaml:8:3: train.dtype is set twice",
        "c.yaml:9:14: run.steps must be a whole number, not 1.5",
        "c.yaml:9:19: unknown setting run.max_token_in_packing; did you mean train.max_token_in_packing?",
        "c.yaml:10:9: reward must hold settings, one a line",
    ]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("train: {ulysses: 2, packing: false}", "1:9", "train.ulysses=2 needs train.packing: true"),
        ("model: {heads: 4, kv_heads: 3}", "1:19", "must divide model.heads=4"),
        ("train:\n  ulysses: 3\n", "2:3", "must divide model.heads=4"),
        ("data: {path: x, task: sort}", "1:17", "contradicts data.path"),
        ("model:\n  path: m\n  layers: 3\n", "3:3", "config.json gives the shape"),
        ("cluster: {kind: ray}", "1:11", "needs cluster.workers"),
        ("cluster: {address: a}", "1:11", "needs cluster.kind: ray"),
        ("cluster: {kind: ray, workers: 3}\ntrain: {ulysses: 2}", "2:9", "must divide cluster.workers=3"),
        ("rollout: {stop_token_ids: [999]}", "1:11", "not in the vocabulary"),
        ("data: {prompts: 3}", "1:1", "rollout.prompts_per_step=16 > data.prompts=3"),
        ("data: {alphabet: ''}", "1:8", "no letter"),
    ],
)
def test_settings_that_contradict_each_other(text: str, place: str, words: str) -> None:
    told = complaints(text)
    assert len(told) == 1
    assert words in told[0]
    assert place in told[0] or place == "1:1"


@pytest.mark.parametrize(
    "text", ["a: [", "\t", "- 1", "x", "&a [*a]", "? {a: b}\n: c", "{{}}", "train: *b", "\x00"]
)
def test_what_is_no_configuration_is_refused_with_a_place(text: str) -> None:
    assert all(line.startswith("c.yaml:") for line in complaints(text))


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        assert error.problems


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such configuration"):
        read(tmp_path / "none.yaml")


def test_overrides_are_checked_like_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("train: {ulysses: 1}  # one\n")
    config, text = read(file, ["train.ulysses=2", "run.seed=5"])
    assert (config.train.ulysses, config.run.seed) == (2, 5)
    assert text.startswith("train: {ulysses: 2}  # one\n")
    for wrong, words in [
        ("train.ulises=2", "did you mean train.ulysses"),
        ("x", "key=value"),
        ("train.ulysses=a", "whole number"),
    ]:
        with pytest.raises(UserError, match=words):
            read(file, [wrong])


@pytest.mark.parametrize(
    ("text", "path", "value", "becomes"),
    [
        ("# a\ntrain:\n  ulysses: 1 # b\n", "train.ulysses", "2", "# a\ntrain:\n  ulysses: 2 # b\n"),
        ("train:\n  ulysses: 1\n", "train.packing", "true", "train:\n  packing: true\n  ulysses: 1\n"),
        ("train: {ulysses: 1}\n", "train.packing", "true", "train: {packing: true, ulysses: 1}\n"),
        ("train: {}\n", "train.packing", "true", "train: {packing: true}\n"),
        ("train:\nrun: {}", "train.packing", "true", "train:\n  packing: true\nrun: {}"),
        ("run: {}", "train.packing", "true", "run: {}\ntrain:\n  packing: true\n"),
        ("{}", "train.packing", "true", "{train: {packing: true}}"),
        ('{"run": {"steps": 1}}', "train.packing", "true", '{train: {packing: true}, "run": {"steps": 1}}'),
        ("run: {}\n", "revision", "3", "run: {}\nrevision: 3\n"),
        ("train:\n  ulysses: oops\n", "train.ulysses", "2", "train:\n  ulysses: 2\n"),
    ],
)
def test_a_setting_is_changed_in_place(text: str, path: str, value: str, becomes: str) -> None:
    assert splice(text, path, value) == becomes
    parse(becomes)


@given(
    st.sampled_from(["train.ulysses", "train.max_token_in_packing", "run.steps", "revision"]),
    st.integers(1, 99),
)
def test_a_changed_setting_is_read_back(path: str, value: int) -> None:
    text = "# t\nrun:\n  folder: x\ntrain: {packing: true}\n"
    assert scan(splice(text, path, str(value))).values[path] == value


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_examples_are_valid(path: Path) -> None:
    read(path)


def test_every_setting_says_what_it_means() -> None:
    assert all(about["meaning"] for _, about in knobs().values())
    assert {section.name for section in fields(Config)} >= {"model", "data", "rollout", "train", "run"}
    hot = {path for path, (_, about) in knobs().items() if about["hot"]}
    assert {"train.max_token_in_packing", "train.micro_batch_size", "run.steps"} <= hot
    assert not hot & {"rollout.prompts_per_step", "train.ulysses", "cluster.workers", "model.layers"}
