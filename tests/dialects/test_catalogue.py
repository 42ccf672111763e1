from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rldoctor import dialects
from rldoctor.dialects import Row, catalogue, grammar
from rldoctor.dialects.versions import in_force, version_key
from rldoctor.types import UNKNOWN

SCRIPTS = Path(__file__).parents[2] / "scripts" / "catalogues"
# Where a row says something else than the system's source on purpose.
MEANT_OTHERWISE = {
    ("verl", "reward_model.enable"): "null in the legacy section is off",
    ("areal", "actor.backend"): "an allocation without a back end got FSDP",
    ("chatlearn", "runtime_args.colocation"): "null is the empty list",
}


@pytest.mark.parametrize("system", grammar.SYSTEMS)
def test_at_least_the_releases_that_people_run_are_there(system: str) -> None:
    table = yaml.safe_load((SCRIPTS / "releases.yaml").read_text())[system]
    assert sorted(map(str, table["releases"])) == sorted(catalogue.load(system).releases)
    assert len(table["releases"]) >= (2 if system == "chatlearn" else 3)  # 1.0 had no declared keys


BESIDE = {"slime": ("megatron", "sglang")}  # whose flags a command of the system speaks too


@pytest.mark.parametrize("system", grammar.SYSTEMS)
def test_what_people_wrote_of_renames_is_in_the_catalogue(system: str) -> None:
    table = yaml.safe_load((SCRIPTS / "renames.yaml").read_text()).get(system) or []
    told = [(row["old"], tuple(row.get("new", ())), row.get("value")) for row in table]
    assert told == [(row.old, row.new, row.value) for row in catalogue.load(system).renames]


@pytest.mark.parametrize("system", grammar.SYSTEMS)
def test_a_rename_is_from_a_key_that_is_gone_to_one_that_is_there(system: str) -> None:
    known = catalogue.load(system)
    for row in known.renames:
        if row.value is not None:
            assert row.until in known.releases, row
            continue
        assert known.releases[-1] not in known.releases_of(row.old.removesuffix(".*")), row
        for name in row.new:
            others = [catalogue.load(each) for each in BESIDE.get(system, ())]
            names = [name.removesuffix(".*"), name.replace("--sglang-", "--")]
            assert any(each.releases_of(one) for each in (known, *others) for one in names), row


@pytest.mark.parametrize("system", grammar.SYSTEMS)
def test_a_default_in_the_table_is_the_one_in_the_source(system: str) -> None:
    differing = []
    for row in dialects.load(system).rows:
        for release in catalogue.load(system).releases:
            ours, theirs = _stated(row, release), _defaults(system, row, release)
            if ours is not None and theirs and not any(_same(ours, each) for each in theirs):
                differing.append((row.key, release, ours, theirs))
    assert [each for each in differing if (system, each[0]) not in MEANT_OTHERWISE] == []


def _stated(row: Row, release: str) -> object:
    """Return the default that a row states for a release, None where it states none."""
    if row.env or row.append or row.type == "flag" or not in_force(row, release):
        return None
    since = [value for name, value in row.defaults if version_key(name) <= version_key(release)]
    theirs = since[-1] if since else row.default
    return None if isinstance(theirs, str) and "${" in theirs else theirs


def _defaults(system: str, row: Row, release: str) -> list[object]:
    known = catalogue.load(system)
    if release not in dialects.load(system).releases:
        return []
    found = [known.find(key, release, (root,)) for key in row.keys for root in known.roots]
    values = [each.default for each in found if each is not None]
    literal = [
        value for value in values if value is not UNKNOWN and value != "???" and "${" not in str(value)
    ]
    return literal if len(literal) == len(values) else []


def _same(ours: object, theirs: object) -> bool:
    numbers = [
        each for each in (ours, theirs) if isinstance(each, int | float) and not isinstance(each, bool)
    ]
    return numbers[0] == numbers[1] if len(numbers) == 2 else str(ours) == str(theirs)


def test_a_key_has_its_type_choices_and_default_by_release() -> None:
    known = catalogue.load("slime")
    found = known.find("--advantage-estimator", "0.3.1", ("slime",))
    assert found is not None
    assert (found.type, found.default) == ("str", "grpo")
    assert "cispo" in found.choices
    old = known.find("--advantage-estimator", "0.1.0", ("slime",))
    assert old is not None
    assert "cispo" not in old.choices


def test_a_key_belongs_to_the_configurations_that_have_it() -> None:
    known = catalogue.load("verl")
    key = "actor_rollout_ref.actor.megatron.use_mbridge"
    assert known.find(key, "0.9", ("verl/trainer/config/ppo_trainer",)) is None
    assert known.find(key, "0.9", ("verl/trainer/config/ppo_megatron_trainer",)) is not None
    assert known.find(key, "0.9", ("verl/trainer/config/ppo_trainer+model_engine=megatron",)) is not None


def test_a_key_tells_its_releases() -> None:
    known = catalogue.load("megatron")
    assert known.releases_of("--use-custom-fsdp") == ("0.12", "0.13")
    assert known.releases_of("--use-megatron-fsdp")[0] == "0.14"


@pytest.mark.parametrize(
    ("version", "releases"),
    [
        ("0.6.1", ("0.6.1",)),
        ("0.7", ("0.7", "0.7.1")),
        ("0.5.2", ("0.5",)),
        ("0.8.0.dev", ("0.8.dev",)),
        ("0.9.0.dev", ("0.8", "0.9")),
        ("0.10.0.dev", ("0.10.dev",)),
        ("2.0", ("0.10.dev",)),
        ("0.1", ("0.2",)),
    ],
)
def test_a_version_is_the_releases_it_may_be(version: str, releases: tuple[str, ...]) -> None:
    assert catalogue.load("verl").nearby(version) == releases


def test_abbreviations_are_known_where_the_parser_takes_them() -> None:
    from rldoctor import sources

    text = "python3 train.py --hf-checkpoint /m --sglang-mem-fraction-stat 0.7 --rollout-batch-siz 8"
    command = sources.read_text(text, "x.sh", "command").worlds[0][0]
    slime = grammar.of("slime", "0.3.1", command)
    assert slime is not None
    assert slime.find("--sglang-mem-fraction-stat") is not None
    assert slime.find("--sglang-m") is None  # many begin so
    assert slime.find("--rollout-batch-siz") is None  # Megatron's parser allows none
