"""What people name by mistake, and what they pipe in: one clear sentence, and the command that was meant."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = """\
python3 -m verl.trainer.main_ppo \\
    actor_rollout_ref.actor.ppo_mini_batch_size=64 actor_rollout_ref.rollout.n=1 \\
    algorithm.adv_estimator=grpo trainer.n_gpus_per_node=8 trainer.nnodes=1
"""
LOG = "+ python3 -m verl.trainer.main_ppo trainer.nnodes=1\nstep:1 - actor/grad_norm:0.3\n"


def rldoctor(*words: str, folder: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    told = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "rldoctor", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, input=stdin, env=told)


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def test_a_pasted_script_is_checked_from_standard_input(tmp_path: Path) -> None:
    done = rldoctor("check", "-", folder=tmp_path, stdin=SCRIPT)
    assert (done.returncode, "[group-of-one-answer]" in done.stdout) == (1, True)
    assert "     2 | actor_rollout_ref.rollout.n=1\n" in done.stdout
    assert "no such file" not in done.stderr


def test_standard_input_is_not_mended(tmp_path: Path) -> None:
    done = rldoctor("check", "-", "--unsafe-fixes", folder=tmp_path, stdin=SCRIPT)
    assert done.returncode == 2
    assert "standard input is no file to be mended" in done.stderr
    shown = rldoctor("check", "-", "--diff", "--unsafe-fixes", folder=tmp_path, stdin=SCRIPT)
    assert shown.stdout.startswith("--- a/-\n+++ b/-\n")


def test_a_log_is_sent_to_diagnose_and_never_edited(tmp_path: Path) -> None:
    put(tmp_path, "run.log", LOG)
    done = rldoctor("check", "--fix", "run.log", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: run.log: this is a log, not a launch script\n  rldoctor diagnose run.log\n"
    assert (tmp_path / "run.log").read_text() == LOG


def test_a_script_is_sent_to_check(tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    done = rldoctor("diagnose", "train.sh", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "error: train.sh: this is a launch script or a configuration, and nothing in it is a log's\n"
        "  rldoctor check train.sh\n"
    )


def test_a_folder_names_what_stands_in_it(tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    done = rldoctor("check", ".", folder=tmp_path)
    assert (done.returncode, "name what to look at: train.sh\n" in done.stderr) == (2, True)


def test_another_system_than_the_file_speaks_is_said(tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    done = rldoctor("check", "--system", "slime", "train.sh", folder=tmp_path)
    assert "note: train.sh speaks verl; it was read as slime because of --system" in done.stdout
    assert "--system" not in rldoctor("check", "--system", "verl", "train.sh", folder=tmp_path).stdout


def test_what_was_not_asked_for_is_counted(tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    done = rldoctor("check", "--select", "checkpoint", "train.sh", folder=tmp_path)
    assert "left out by --select and --ignore" in done.stdout
    assert "left out" not in rldoctor("check", "train.sh", folder=tmp_path).stdout


@pytest.mark.parametrize("release", ["banana", "", "main"])
def test_a_word_that_is_no_release_is_refused(release: str, tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    done = rldoctor("check", "--framework-version", release, "train.sh", folder=tmp_path)
    assert (done.returncode, f"--framework-version {release}: not a release" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "release", ["0.6.1", "v0.6.1", "0.7.0.dev", "verl=0.6.1", "sglang=0.5.9.post1", "0.11.0rc2"]
)
def test_releases_as_people_write_them_are_taken(release: str, tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    done = rldoctor("check", "--framework-version", release, "train.sh", folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("cluster.gpu=8", "did you mean cluster.gpus?\n  `rldoctor explain cluster` lists its concepts"),
        ("foo=8", "for example --set cluster.gpus=8; `rldoctor explain GROUP` lists those of cluster, model"),
    ],
)
def test_an_unknown_word_says_where_the_right_one_is_found(word: str, says: str, tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    done = rldoctor("check", "--set", word, "train.sh", folder=tmp_path)
    assert (done.returncode, says in done.stderr) == (2, True)


def test_the_help_of_the_program_says_each_command_whole(tmp_path: Path) -> None:
    shown = rldoctor("--help", folder=tmp_path).stdout
    assert "..." not in shown.partition("Commands:")[2]
    assert "rldoctor check launch.sh" in shown
    assert "rldoctor diagnose" in shown


@pytest.mark.parametrize("command", ["check", "diagnose", "estimate", "run", "host"])
def test_the_help_of_a_command_says_its_exit_codes(command: str, tmp_path: Path) -> None:
    shown = rldoctor(command, "--help", folder=tmp_path).stdout
    assert "Exit codes: 0 " in " ".join(shown.split())
    assert "INTEGER RANGE" not in shown


def test_run_sends_a_script_behind_two_dashes(tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    done = rldoctor("run", "train.sh", folder=tmp_path)
    assert done.returncode == 2
    assert "rldoctor run -- bash train.sh" in done.stderr


def test_run_with_nothing_behind_two_dashes_runs_nothing(tmp_path: Path) -> None:
    done = rldoctor("run", "--", folder=tmp_path)
    assert (done.returncode, "no command stands behind --" in done.stderr) == (2, True)
    assert not (tmp_path / "runs").exists()


HYDRA = """\
defaults:
  - ppo_trainer
  - rollout@actor_rollout_ref.rollout: mine
  - _self_
algorithm:
  adv_estimator: grpo
actor_rollout_ref: {model: {path: Qwen/Qwen3-8B}, actor: {ppo_mini_batch_size: 64}}
"""


def test_a_configuration_with_groups_is_mended_in_its_own_file_which_stands_above_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "config" / "rollout").mkdir(parents=True)
    put(tmp_path, "config/run.yaml", HYDRA)
    put(tmp_path, "config/rollout/mine.yaml", "n: 1\n")
    done = rldoctor("check", "config/run.yaml", "--fix", "--unsafe-fixes", folder=tmp_path)
    assert (done.returncode, done.stderr.count("changed")) == (0, 1), done.stdout + done.stderr
    assert (tmp_path / "config/rollout/mine.yaml").read_text() == "n: 1\n"
    assert "n: 8" in (tmp_path / "config/run.yaml").read_text()


def test_a_configuration_that_composes_itself_is_one_file_however_it_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    text = HYDRA.replace("  - rollout@actor_rollout_ref.rollout: mine\n", "")
    put(tmp_path, "config/run.yaml", text.replace("{model:", "{rollout: {n: 1}, model:"))
    shown = rldoctor("check", "config/run.yaml", "--diff", "--unsafe-fixes", folder=tmp_path)
    assert shown.stderr == ""
    assert shown.stdout.count("+actor_rollout_ref: {rollout: {n: 8}, model:") == 1


def test_diff_never_writes_even_beside_fix(tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    done = rldoctor("check", "--fix", "--unsafe-fixes", "--diff", "train.sh", folder=tmp_path)
    assert done.stdout.startswith("--- a/train.sh")
    assert (tmp_path / "train.sh").read_text() == SCRIPT


def test_the_copy_from_before_is_named_as_the_file_was(tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    done = rldoctor("check", "--fix", "train.sh", folder=tmp_path)
    assert "changed train.sh (before: train.sh.rldoctor-backup)\n" in done.stderr


def test_nothing_on_standard_input_is_no_healthy_log(tmp_path: Path) -> None:
    done = rldoctor("diagnose", "-", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "-: the log is empty" in done.stderr


def test_a_broken_yaml_says_what_is_missing_and_where_it_began(tmp_path: Path) -> None:
    put(tmp_path, "bad.yaml", "a: [1, 2\nb: }\n")
    done = rldoctor("check", "bad.yaml", folder=tmp_path)
    wanted = (
        "not valid YAML: did not find expected ',' or ']' while parsing a flow sequence that begins in line 1"
    )
    assert wanted in done.stderr


def test_an_encoding_that_lacks_characters_ends_nothing(tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    told = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "rldoctor", "estimate", "train.sh", "--set", "model.path=Qwen/Qwen3-4B"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=told)
    assert (done.returncode, done.stderr) == (0, "")
    assert "parameters" in done.stdout


def test_a_path_that_is_no_utf8_is_shown_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.sh")
    put(tmp_path, name, SCRIPT)
    done = rldoctor("check", name, folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "caf\\udce9.sh" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_full_disk_behind_the_output_is_one_sentence(tmp_path: Path) -> None:
    put(tmp_path, "train.sh", SCRIPT)
    told = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "rldoctor", "check", "train.sh"]
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, env=told)
    assert done.returncode == 2
    assert done.stderr == "error: cannot be written: No space left on device\n"
