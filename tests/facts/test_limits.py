"""Every row of each ``limits.yaml``: its example is refused, what is fine is not, its first cure ends it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rldoctor.check import check
from rldoctor.dialects import catalogue, limits
from rldoctor.dialects.borrowed import of_own_default
from rldoctor.dialects.limits import Limit
from rldoctor.dialects.versions import version_key
from rldoctor.facts import ToldFacts
from rldoctor.types import Finding, Remedy

SYSTEMS = ("verl", "slime", "megatron", "areal", "chatlearn", "vllm", "sglang")
OWN = [(system, limit) for system in SYSTEMS for limit in limits.load(system) if limit.example]
HEADS = {
    "verl": "python3 -m {program}",
    "megatron": "torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 24",
    "slime": "python3 train.py --hf-checkpoint /models/Qwen3-4B --rm-type math",
    "chatlearn": "python chatlearn/entrypoint.py grpo",
    "vllm": "vllm serve",
    "sglang": "python -m sglang.launch_server",
}
NEWEST = {
    "verl": "0.10.dev",
    "megatron": "0.20",
    "slime": "0.3.2.dev",
    "areal": "1.0.4",
    "chatlearn": "1.2.1",
    "vllm": "0.33.0",
    "sglang": "0.5.23",
}
AREAL = {"gconfig.n_samples": 8, "cluster.name_resolve.type": "nfs", "train_dataset.batch_size": 8}


def text_of(system: str, settings: Mapping[str, Any]) -> str:
    if system == "areal":
        return "".join(f"{line}\n" for line in yaml_lines({**AREAL, **settings}))
    words = {key: value for key, value in settings.items() if key != "program" and not key.startswith("env.")}
    head = HEADS[system].format(program=settings.get("program", "verl.trainer.main_ppo"))
    if system == "slime":
        head = head.replace("train.py", settings.get("program", "train.py"))
    exports = [f"export {key[4:]}={value}\n" for key, value in settings.items() if key.startswith("env.")]
    head = "".join([*exports, head])
    if system in limits.FLAGS:
        said = [key if value is True else f"{key} {quoted(value)}" for key, value in words.items()]
    else:
        said = [f"{key}={value}" for key, value in words.items()]
    return " \\\n    ".join([head, *said]) + "\n"


def quoted(value: Any) -> str:
    return str(value) if str(value).startswith("aime ") else shlex.quote(str(value))


def yaml_lines(settings: Mapping[str, Any]) -> list[str]:
    import yaml

    tree: dict[str, Any] = {}
    for key, value in settings.items():
        *above, last = key.split(".")
        at = tree
        for name in above:
            at = at.setdefault(name, {})
        at[last] = value
    return str(yaml.safe_dump(tree, sort_keys=False)).splitlines()


def findings(
    system: str, settings: Mapping[str, Any], folder: Path, release: str
) -> tuple[Path, tuple[Finding, ...]]:
    path = folder / ("a.yaml" if system == "areal" else "a.sh")
    path.write_text(text_of(system, settings))
    return path, again(system, path, release)


def again(system: str, path: Path, release: str) -> tuple[Finding, ...]:
    told = ToldFacts(system=system, versions={system: release})
    return check([str(path)], told).report.findings


def release_of(system: str, limit: Limit) -> str:
    """Return the newest release in which a limit holds."""
    if limit.until is None:
        return NEWEST[system]
    until = version_key(limit.until)
    return [each for each in catalogue.load(system).releases if version_key(each) < until][-1]


def about(limit: Limit, found: tuple[Finding, ...]) -> list[Finding]:
    if limit.choices:
        return [each for each in found if each.rule == "unknown-choice" and limit.reads[0] in each.title]
    return [each for each in found if each.rule == "refused-setting" and each.title.startswith(limit.says)]


def applied(path: Path, cure: Remedy) -> None:
    data = path.read_bytes()
    for edit in sorted(cure.edits, key=lambda edit: -edit.start):
        data = data[: edit.start] + edit.new.encode() + data[edit.end :]
    path.write_bytes(data)


@pytest.mark.parametrize(("system", "limit"), OWN, ids=[f"{s}-{x.says or x.reads[0]}" for s, x in OWN])
def test_limit(system: str, limit: Limit, tmp_path: Path) -> None:
    release = release_of(system, limit)
    path, found = findings(system, limit.example, tmp_path, release)
    broken = about(limit, found)
    assert broken, [each.title for each in found]
    assert limit.choices or broken[0].severity == limit.severity
    editing = [cure for cure in broken[0].remedies if cure.edits]
    if limit.cures:
        assert editing, "no cure is an edit"
    if editing:
        applied(path, editing[0])
        assert not about(limit, again(system, path, release)), path.read_text()
    assert not about(limit, findings(system, limit.fine, tmp_path, release)[1])


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_name_is_a_key_or_a_concept(system: str) -> None:
    from rldoctor import vocabulary

    parts = {"slime": ("slime", "megatron")}.get(system, (system,))
    known = [catalogue.load(each) for each in parts]
    for limit in limits.load(system):
        for name in limit.reads:
            if name.startswith("env."):
                continue
            behind = name.startswith("--sglang-") and f"--{name[9:]}" in catalogue.load("sglang")
            plain = name.partition(".")[2] if name.startswith(("ref.", "critic.")) else name
            concept = plain in vocabulary.load().concepts
            appended = f"+{name}" in limit.example
            free = ".engine_kwargs." in name or of_own_default(system, name)
            known_key = behind or free or appended or any(name in each for each in known)
            assert concept or known_key, f"{limit.says}: {name}"


OVERRIDE = "+actor_rollout_ref.actor.megatron.override_transformer_config"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"moe_enable_deepep": True, "moe_token_dispatcher_type": "alltoall"}, True),
        ({"moe_enable_deepep": True, "moe_token_dispatcher_type": "flex"}, False),
        ({"moe_enable_deepep": True}, False),  # what verl gives for the other nobody here knows
        ({"num_layers_in_first_pipeline_stage": 25, "num_layers_in_last_pipeline_stage": 25}, True),
        ({"num_layers_in_first_pipeline_stage": 23, "num_layers_in_last_pipeline_stage": 25}, False),
    ],
)
def test_megatrons_own_checks_hold_for_what_verl_hands_to_it(
    words: Mapping[str, Any], told: bool, tmp_path: Path
) -> None:
    settings = {
        "model_engine": "megatron",
        "actor_rollout_ref.model.path": "Qwen/Qwen3-30B-A3B",
        "actor_rollout_ref.actor.megatron.pipeline_model_parallel_size": 2,
        **{f"{OVERRIDE}.{name}": value for name, value in words.items()},
    }
    found = findings("verl", settings, tmp_path, NEWEST["verl"])[1]
    assert (
        any(each.rule == "refused-setting" and "override_transformer" in each.title for each in found) is told
    )


def test_a_word_of_another_system_is_what_it_stands_for(tmp_path: Path) -> None:
    settings = {"algorithm.adv_estimator": "ppo"}
    path, found = findings("verl", settings, tmp_path, NEWEST["verl"])
    (seen,) = [each for each in found if each.id == "unknown-choice:algorithm.adv_estimator"]
    applied(path, seen.remedies[0])
    assert "algorithm.adv_estimator=gae" in path.read_text()


@pytest.mark.parametrize(("words", "told"), [("moe_act layernorm", False), ("moe_act", False), ("moe", True)])
def test_words_of_an_argument_are_whole_words(words: str, told: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.sh"
    flags = "--num-experts 8 --expert-model-parallel-size 2 --bf16 --moe-token-dispatcher-type alltoall"
    asked = (
        f"--overlap-moe-expert-parallel-comm --recompute-granularity selective --recompute-modules {words}"
    )
    path.write_text(f"torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 24 {flags} {asked}\n")
    titles = [each.title for each in again("megatron", path, NEWEST["megatron"])]
    assert any(title.startswith("Experts whose communication overlaps are not") for title in titles) is told


@pytest.mark.parametrize(
    ("system", "launch"),
    [
        (
            "megatron",
            "torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 94 --pipeline-model-parallel-size 2",
        ),
        ("slime", "python3 train.py --num-layers 94 --pipeline-model-parallel-size 2 --rollout-batch-size 8"),
        ("sglang", "python3 -m sglang.launch_server --model-path /models/q --tp-size 2"),
        ("vllm", "vllm serve /models/q --tensor-parallel-size 2"),
        ("verl", "python3 -m verl.trainer.main_ppo trainer.nnodes=1 algorithm.adv_estimator=grpo"),
    ],
)
def test_what_lost_arguments_may_say_is_not_made_up(system: str, launch: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sh"
    path.write_text(f"{launch} $EXTRA\n")
    found = again(system, path, NEWEST[system])
    assert [each.title for each in found if each.rule == "refused-setting" and each.severity == "error"] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("aime $D/aime.jsonl $D/amc.jsonl", True),
        ("aime $D/aime.jsonl amc $D/amc.jsonl", False),
        ("aime $D/aime.jsonl $MORE", False),
        ("$SETS aime $D/aime.jsonl", False),
        ("$D/aime.jsonl", False),
    ],
)
def test_words_are_counted_whatever_their_variables_hold(words: str, told: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.sh"
    path.write_text(
        f"python3 train.py --rollout-batch-size 8 --eval-interval 20 --eval-prompt-data {words}\n"
    )
    titles = [each.title for each in again("slime", path, NEWEST["slime"])]
    assert ("Evaluation data are pairs of a name and a path" in titles) is told


@pytest.mark.parametrize(("size", "told"), [(8, False), (4, True)])
def test_an_engines_ranks_are_those_that_slime_gives_it(size: int, told: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.sh"
    engine = "--sglang-ep-size 8 --sglang-moe-runner-backend flashinfer_cutlass"
    path.write_text(
        f"python3 train.py --rollout-batch-size 8 --rollout-num-gpus-per-engine {size} {engine}\n"
    )
    titles = [each.title for each in again("slime", path, NEWEST["slime"])]
    assert any(title.startswith("CUTLASS's experts are spread") for title in titles) is told


def test_a_word_in_capitals_is_a_slip(tmp_path: Path) -> None:
    file = tmp_path / "run.sh"
    file.write_text("python3 -m verl.trainer.main_ppo algorithm.adv_estimator=GRPO trainer.nnodes=1\n")
    found = next(
        each for each in check([str(file)], ToldFacts()).report.findings if each.rule == "unknown-choice"
    )
    assert found.severity == "error"
    assert [edit.new for edit in found.remedies[0].edits] == ["algorithm.adv_estimator=grpo"]
