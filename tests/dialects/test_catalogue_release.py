from __future__ import annotations

from pathlib import Path

import pytest

from rldoctor import dialects, sources
from rldoctor.dialects import catalogue, release
from rldoctor.types import Command


def command(text: str) -> Command:
    return sources.read_text(text, "x.sh", "command").worlds[0][-1]


def used(text: str, folder: Path | None = None) -> release.InUse:
    path = str(folder / "run.sh") if folder is not None else None
    return release.in_use(dialects.load("verl"), command(text), (), path)


PLAIN = "python3 -m verl.trainer.main_ppo trainer.nnodes=1"


def test_the_newest_release_of_those_that_know_all_keys() -> None:
    found = used(PLAIN)
    assert (found.version, found.sure) == ("0.9", False)
    assert found.assumes == ("verl 0.9 (newest that the keys seen allow)",)


def test_keys_tell_an_older_release() -> None:
    text = (
        "python3 -m verl.trainer.main_ppo trainer.nnodes=1 actor_rollout_ref.rollout.use_fire_sampling=False"
    )
    assert used(text).version == "0.4"


def test_a_commit_after_the_newest_release_needs_a_key_of_its_own() -> None:
    known = catalogue.load("verl")
    root = ("verl/trainer/config/ppo_trainer",)
    fresh = [key for key in known.keys("0.10.dev", root) if known.releases_of(key) == ("0.10.dev",)]
    assert used(f"{PLAIN} {fresh[0]}=1").version == "0.10.dev"


def test_a_requirement_beside_the_file_or_above_it_counts(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("torch\nverl[vllm]==0.6.1\n")
    (tmp_path / "jobs").mkdir()
    found = used(PLAIN, tmp_path / "jobs")
    assert (found.version, found.sure) == ("0.6.1", True)
    assert "requirements.txt" in found.assumes[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements-gpu.txt", "torch==2.8.0\nverl @ git+https://github.com/volcengine/verl@v0.6.1\n"),
        ("pyproject.toml", '[project]\ndependencies = ["torch", "verl[vllm]==0.6.1"]\n'),
        ("pyproject.toml", '[tool.poetry.dependencies]\nverl = "0.6.1"\n'),
        ("uv.lock", '[[package]]\nname = "verl"\nversion = "0.6.1"\nsource = {}\n'),
        ("Dockerfile.train", "FROM x\nRUN pip install --no-cache verl==0.6.1 && true\n"),
        ("environment.yml", "dependencies:\n- pip:\n  - verl==0.6.1\n"),
        ("run.sh", f'pip install -q "verl==0.6.1"\n{PLAIN}\n'),
    ],
)
def test_ways_to_ask_for_a_release(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = used(PLAIN, tmp_path)
    assert (found.version, found.sure) == ("0.6.1", True)
    assert name in found.assumes[0]


@pytest.mark.parametrize("text", ["overl==0.6.1", "verl-tools==0.6.1", "verl>=0.6.1", "# see verl 0.6.1"])
def test_what_asks_for_something_else_is_no_release(tmp_path: Path, text: str) -> None:
    (tmp_path / "requirements.txt").write_text(text + "\n")
    assert used(PLAIN, tmp_path).version == "0.9"


def test_the_environment_that_is_switched_on_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib/python3.12/site-packages/verl-0.7.0.dist-info").mkdir(parents=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    release.installed.cache_clear()
    assert release.installed("verl") == ("0.7.0", "installed")
    monkeypatch.undo()
    release.installed.cache_clear()


def test_a_checkout_says_its_own_version(tmp_path: Path) -> None:
    (tmp_path / "verl" / "version").mkdir(parents=True)
    (tmp_path / "verl" / "version" / "version").write_text("0.8.0.dev\n")
    assert used(PLAIN, tmp_path).version == "0.8.0.dev"


def test_the_search_ends_at_the_repository(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("verl==0.6.1\n")
    (tmp_path / "mine" / ".git").mkdir(parents=True)
    assert used(PLAIN, tmp_path / "mine").version == "0.9"


def test_an_installed_package_tells_by_its_metadata_folder(tmp_path: Path, monkeypatch) -> None:
    packages = tmp_path / "site-packages"
    (packages / "verl-0.7.1.dist-info").mkdir(parents=True)
    monkeypatch.setattr(release.sys, "path", [str(packages)])
    release.installed.cache_clear()
    try:
        assert used(PLAIN).version == "0.7.1"
    finally:
        release.installed.cache_clear()


def test_values_tell_a_release_where_keys_exclude_the_newest() -> None:
    old = f"{PLAIN} actor_rollout_ref.rollout.use_fire_sampling=False"
    both = f"{PLAIN} trainer.use_legacy_worker_impl=disable"
    assert used(old).version == "0.4"
    newer = used(both).version
    assert newer is not None
    assert release.versions.version_key(newer) >= release.versions.version_key("0.7.1")
    assert used(f"{both} actor_rollout_ref.rollout.mode=sync").version == "0.6.1"
    assert used(f"{PLAIN} actor_rollout_ref.rollout.mode=sync").version == "0.9"


def test_a_checkout_whose_version_file_lags_behind_is_what_its_keys_are(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text('setup(\n    name="slime",\n    version="0.2.3",\n)\n')
    told = "python3 train.py --hf-checkpoint /m --rollout-batch-size 32 --loss-mask-type "
    path = str(tmp_path / "run.sh")
    lagging = release.in_use(dialects.load("slime"), command(f"{told}qwen3_5"), (), path)
    assert (lagging.version, lagging.sure) == ("0.2.4", False)
    assert "says 0.2.3" in lagging.assumes[0]
    misspelt = release.in_use(dialects.load("slime"), command(f"{told}qwen33"), (), path)
    assert misspelt.version == "0.2.3"


def test_a_patch_follows_only_the_one_before_it() -> None:
    assert release.is_next_patch("areal", "1.0.4", "1.0.3")
    assert not release.is_next_patch("areal", "1.0.4", "1.0.0")
    assert not release.is_next_patch("verl", "0.9", "0.8")
