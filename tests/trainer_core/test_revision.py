from __future__ import annotations

from pathlib import Path

import pytest

from trainer_core.config.reading import parse
from trainer_core.config.revision import LiveConfig, replace, settle
from trainer_core.types import UserError


@pytest.fixture
def live(tmp_path: Path) -> LiveConfig:
    file = tmp_path / "config.yaml"
    file.write_text("revision: 1\ntrain: {max_token_in_packing: 100, ulysses: 1}\n")
    return LiveConfig(file, parse(file.read_text()))


def test_nothing_new_is_nothing(live: LiveConfig) -> None:
    assert live.poll() is None
    replace(live.path, live.path.read_text() + "# a remark\n")
    assert live.poll() is None


def test_a_hot_change_comes_into_force(live: LiveConfig) -> None:
    replace(live.path, "revision: 2\ntrain: {max_token_in_packing: 200, ulysses: 1}\n")
    revision = live.poll()
    assert revision and not revision.reason
    assert (revision.number, revision.fields) == (2, {"train.max_token_in_packing": 200})
    assert live.config.train.max_token_in_packing == 200
    assert live.poll() is None


def test_a_cold_change_is_refused_whole(live: LiveConfig) -> None:
    replace(live.path, "revision: 2\ntrain: {max_token_in_packing: 200, ulysses: 2}\n")
    revision = live.poll()
    assert revision and revision.reason == "needs a restart: train.ulysses"
    assert revision.fields == {"train.max_token_in_packing": 200, "train.ulysses": 2}
    assert live.config.train.max_token_in_packing == 100


@pytest.mark.parametrize("text", ["train: {max_token_in_packing: 0}", "train: [", ""])
def test_a_broken_text_leaves_the_old_in_force(live: LiveConfig, text: str) -> None:
    before = live.config
    replace(live.path, text)
    revision = live.poll()
    assert revision and revision.reason if text else revision
    assert live.config.train.ulysses == before.train.ulysses
    live.path.unlink()
    assert live.poll() is None


def test_a_persons_edit_without_a_new_number_counts(live: LiveConfig) -> None:
    replace(live.path, "revision: 1\ntrain: {max_token_in_packing: 300}\n")
    revision = live.poll()
    assert revision and revision.number == 1 and live.config.train.max_token_in_packing == 300


def test_the_run_folder_gets_a_copy_with_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    source = tmp_path / "mine.yaml"
    source.write_text("# my run\nrun: {folder: out}\ncheckpoint: {folder: ck}\n")
    config, path = settle(source, ["run.seed=4"])
    assert path == tmp_path / "out" / "config.yaml"
    assert config.run.folder == str(tmp_path / "out")
    assert config.checkpoint.folder == str(tmp_path / "ck")
    assert source.read_text() == "# my run\nrun: {folder: out}\ncheckpoint: {folder: ck}\n"
    assert path.read_text().startswith("# my run\n")
    monkeypatch.chdir("/")
    again, same = settle(path, [])
    assert (again, same) == (config, path)
    later, _ = settle(source.rename(tmp_path / "b.yaml"), ["run.folder=" + str(tmp_path / "out")])
    assert later.revision == config.revision + 1


def test_settling_tells_mistakes(tmp_path: Path) -> None:
    source = tmp_path / "mine.yaml"
    source.write_text("run: {folder: out, stepz: 3}\n")
    with pytest.raises(UserError, match="stepz"):
        settle(source, [])
