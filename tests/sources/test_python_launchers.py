"""Python launchers: what they start, in which worlds, and edits that leave all other bytes alone."""

import ast
from pathlib import Path
from typing import Any

import pytest

from rldoctor import sources
from rldoctor.check import check
from rldoctor.edits import apply
from rldoctor.facts import ToldFacts
from rldoctor.fix import fix
from rldoctor.sources import Told
from rldoctor.types import Command, Document, RLDoctorError

SLIME = """\
import os
import slime.utils.external_utils.command_utils as U

MODEL_NAME = "Qwen3-4B"
NUM_GPUS = 8
EVAL = bool(int(os.environ.get("EVAL", "1")))


def prepare():
    U.exec_command(f"hf download Qwen/{MODEL_NAME} --local-dir /root/models/{MODEL_NAME}")


def execute():
    ckpt_args = f"--hf-checkpoint /root/models/{MODEL_NAME} " f"--load /root/{MODEL_NAME}_slime/ "
    rollout_args = (
        "--prompt-data /data/dapo.jsonl "
        # 32 × 8 samples
        "--rollout-batch-size 32 "
        "--n-samples-per-prompt 8 "
        "--global-batch-size 256 "
        f"{'--eval-interval 20 ' if EVAL else ''}"
        "--num-rollout 300 "
    )
    perf_args = "--tensor-model-parallel-size 2 " "--max-tokens-per-gpu 9216 "
    U.execute_train(
        train_args=f"{ckpt_args} {rollout_args} {perf_args} {U.get_default_wandb_args(__file__)}"
        f"--actor-num-nodes 1 --actor-num-gpus-per-node {NUM_GPUS} --colocate ",
        num_gpus_per_node=NUM_GPUS,
        megatron_model_type="qwen3-4B",
        extra_env_vars={"NCCL_DEBUG": "INFO", "GPUS": str(NUM_GPUS)},
    )


if __name__ == "__main__":
    prepare()
    execute()
"""
MODEL = "MODEL_ARGS=(\n   --num-layers 36\n   --hidden-size 2560\n)\n"
LISTED = """\
import subprocess
import sys

nodes = 2
overrides = ["trainer.n_gpus_per_node=8", f"trainer.nnodes={nodes}"]
command = [sys.executable, "-m", "verl.trainer.main_ppo", "--config-name", "ppo_trainer"]
command += overrides + ["actor_rollout_ref.actor.strategy=fsdp", "data.train_batch_size=256"]
subprocess.run(command, check=True, env={"NCCL_DEBUG": "WARN"})
"""
ARGUMENTS = """\
import argparse, os, shlex, subprocess
parser = argparse.ArgumentParser()
parser.add_argument("--tp", type=int, default=4)
parser.add_argument("--fp8", action="store_true")
args = parser.parse_args()
os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = "1"
line = f"torchrun --nproc-per-node 8 train.py --tensor-model-parallel-size {args.tp}"
if args.fp8:
    line += " --fp8-format hybrid"
if os.path.exists("/data/big"):
    line += " --max-tokens-per-gpu 16384"
else:
    line += " --max-tokens-per-gpu 4096"
for name, size in {"seq-length": 4096, "micro-batch-size": 1}.items():
    line += f" --{name} {size}"
subprocess.check_call(shlex.split(line))
"""


def document(text: str, folder: Path | None = None, told: Told | None = None) -> Document:
    if folder is None:
        return sources.read_text(text, "run.py", "python", told)
    (folder / "scripts/models").mkdir(parents=True, exist_ok=True)
    (folder / "scripts/models/qwen3-4B.sh").write_text(MODEL)
    (folder / "run.py").write_text(text)
    return sources.read(str(folder / "run.py"), told)


def launched(found: Document, program: str = "train.py", world: int = 0) -> Command:
    (command,) = [each for each in found.worlds[world] if each.program == program]
    return command


def spoken(command: Command) -> dict[str, Any]:
    return {setting.key: setting.value for setting in command.settings if setting.state == "known"}


def test_slimes_helper_is_followed_through_functions_and_fields(tmp_path: Path) -> None:
    found = document(SLIME, tmp_path)
    command = launched(found)
    assert command.wrapped_by == ("ray job submit",)
    told = spoken(command)
    expected = {
        "--hf-checkpoint": "/root/models/Qwen3-4B", "--load": "/root/Qwen3-4B_slime/", "--num-layers": "36",
        "--rollout-batch-size": "32", "--eval-interval": "20", "--actor-num-gpus-per-node": "8",
        "--colocate": True, "--max-tokens-per-gpu": "9216",
    }  # fmt: skip
    assert {key: told[key] for key in expected} == expected
    assert {each.key: each.value for each in command.env}["NCCL_DEBUG"] == "INFO"
    assert spoken(launched(found, "ray start"))["--num-gpus"] == "8"
    (interval,) = [each for each in command.settings if each.key == "--eval-interval"]
    assert interval.place is not None and interval.place.line == 21


def test_what_the_environment_tells_counts(tmp_path: Path) -> None:
    assert "--eval-interval" not in spoken(launched(document(SLIME, tmp_path, Told(env={"EVAL": "0"}))))


def test_a_list_of_words_keeps_each_word_and_its_environment() -> None:
    command = launched(document(LISTED), "verl.trainer.main_ppo")
    assert spoken(command) == {
        "--config-name": "ppo_trainer", "trainer.n_gpus_per_node": "8", "trainer.nnodes": "2",
        "actor_rollout_ref.actor.strategy": "fsdp", "data.train_batch_size": "256",
    }  # fmt: skip
    assert [(each.key, each.value) for each in command.env] == [("NCCL_DEBUG", "WARN")]


def test_open_tests_give_worlds_and_arguments_their_defaults() -> None:
    found = document(ARGUMENTS)
    told = [spoken(launched(found, world=number)) for number in range(len(found.worlds))]
    assert [each["--max-tokens-per-gpu"] for each in told] == ["4096", "16384"]
    assert all(each["--tensor-model-parallel-size"] == "4" and "--fp8-format" not in each for each in told)
    assert told[0]["--seq-length"] == "4096" and told[0]["--micro-batch-size"] == "1"
    command = launched(found, world=1)
    assert list(command.assumes) == ["os.path.exists('/data/big')"]
    assert {each.key: each.value for each in command.env} == {"CUDA_DEVICE_MAX_CONNECTIONS": "1"}


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.system('python3 train.py --lr 1e-6 --save /ckpt')\n",
        "from subprocess import run\nrun('python3 train.py --lr 1e-6 --save /ckpt', shell=True)\n",
        "import subprocess as sp\nsp.Popen(['python3', 'train.py', '--lr', '1e-6', '--save', '/ckpt'])\n",
        "import os\nos.execvp('python3', ['python3', 'train.py', '--lr', '1e-6', *['--save', '/ckpt']])\n",
        "import subprocess\nlr = 1e-6\nsubprocess.run(' '.join(['python3 train.py', f'--lr {lr:g}',"
        " '--save', '/ckpt']) if False else 'python3 train.py --lr 1e-6 --save /ckpt', shell=True)\n",
        "import typer, os\ndef main(save: str = '/ckpt'):\n    os.system(f'''python3 train.py \\\\\n"
        "      --lr 1e-6 --save {save}''')\ntyper.run(main)\n",
    ],
)
def test_ways_to_start_a_program(text: str) -> None:
    assert spoken(launched(document(text))) == {"--lr": "1e-6", "--save": "/ckpt"}


def test_escapes_braces_and_unknown_fields() -> None:
    text = (
        "import os, sys\n"
        'os.system(f"python3 train.py --a {{x}} --b \\"two words\\" --c {sys.argv[1]} --d \\u00e9"\n'
        '          f" --e {1 + 1}")\n'
    )
    command = launched(document(text))
    assert spoken(command) == {"--a": "{x}", "--b": "two words", "--d": "é", "--e": "2"}
    (unknown,) = [each for each in command.settings if each.state == "unknown"]
    assert (unknown.key, unknown.depends) == ("--c", ("sys.argv[1]",))


def changed(text: str, folder: Path, key: str, value: Any, program: str = "train.py") -> str:
    found = document(text, folder)
    command = launched(found, program)
    settings = [each for each in command.settings if each.key == key]
    if settings:
        edits = (
            sources.delete(found, settings[0])
            if value is None
            else sources.replace(found, settings[0], value)
        )
    else:
        form = "override" if "." in key else "flag"
        edits = sources.insert(found, command, key, value, form)  # type: ignore[arg-type]
    apply(edits, found.files)
    after = (folder / "run.py").read_text()
    ast.parse(after)
    told = spoken(launched(document(after, folder), program))
    expected = {**spoken(command), key: value if value is True else str(value)}
    assert told == {name: each for name, each in expected.items() if each != "None"}
    return after


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("--global-batch-size", 64, '"--global-batch-size 256 "', '"--global-batch-size 64 "'),
        ("--max-tokens-per-gpu", 4096, "--max-tokens-per-gpu 9216", "--max-tokens-per-gpu 4096"),
        ("--actor-num-gpus-per-node", 4, "node {NUM_GPUS} --col", "node 4 --col"),
        ("--load", "/new", "--load /root/{MODEL_NAME}_slime/", "--load /new"),
        ("--colocate", None, " --colocate ", " "),
        ("--num-rollout", None, '        "--num-rollout 300 "\n', ""),
        (
            "--rollout-max-response-len",
            2048,
            '        "--rollout-batch-size 32 "\n',
            '        "--rollout-batch-size 32 "\n        "--rollout-max-response-len 2048 "\n',
        ),
        ("--use-dynamic-batch-size", True, "--colocate ", "--colocate --use-dynamic-batch-size "),
    ],
)
def test_edits_in_texts(tmp_path: Path, key: str, value: Any, old: str, new: str) -> None:
    after = changed(SLIME, tmp_path, key, value)
    assert SLIME.count(old) == 1
    assert after == SLIME.replace(old, new)


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("trainer.n_gpus_per_node", 4, "n_gpus_per_node=8", "n_gpus_per_node=4"),
        ("trainer.nnodes", 4, "nodes = 2", "nodes = 4"),
        ("data.train_batch_size", None, ', "data.train_batch_size=256"', ", "),
        (
            "actor_rollout_ref.actor.use_dynamic_bsz",
            True,
            '"actor_rollout_ref.actor.strategy=fsdp"',
            '"actor_rollout_ref.actor.strategy=fsdp", "actor_rollout_ref.actor.use_dynamic_bsz=True"',
        ),
    ],
)
def test_edits_in_lists(tmp_path: Path, key: str, value: Any, old: str, new: str) -> None:
    text = str(value) if value is True else value
    assert changed(LISTED, tmp_path, key, text, "verl.trainer.main_ppo") == LISTED.replace(old, new)


def test_a_sourced_models_file_is_edited_as_shell(tmp_path: Path) -> None:
    found = document(SLIME, tmp_path)
    (layers,) = [each for each in launched(found).settings if each.key == "--num-layers"]
    (edit,) = sources.replace(found, layers, 40)
    assert edit.file.endswith("qwen3-4B.sh") and edit.new == "--num-layers 40"


def test_a_check_finds_and_mends_what_a_launcher_says(tmp_path: Path) -> None:
    document(SLIME, tmp_path)
    path = str(tmp_path / "run.py")
    before = {each.rule for each in check([path], ToldFacts()).report.findings}
    assert "token-budget-inactive" in before
    fixed = fix([path], ToldFacts())
    after = {each.rule for each in fixed.checked.report.findings}
    assert "token-budget-inactive" not in after and after <= before
    assert "--use-dynamic-batch-size" in (tmp_path / "run.py").read_text()


def test_windows_line_ends_a_mark_and_accents_keep_their_places(tmp_path: Path) -> None:
    text = "# déjà vu\nimport os\nos.system('echo é')\nos.system('python3 train.py --tag é --lr 1e-6')\n"
    data = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    (tmp_path / "run.py").write_bytes(data)
    found = sources.read(str(tmp_path / "run.py"))
    (rate,) = [each for each in launched(found).settings if each.key == "--lr"]
    assert rate.place is not None and data[rate.place.start : rate.place.end] == b"--lr 1e-6"


@pytest.mark.parametrize("text", ["def f(:\n", "x = (\n", "print('a\n"])
def test_what_is_no_python_is_an_error_with_its_place(text: str) -> None:
    with pytest.raises(RLDoctorError, match=r"run\.py:\d+:\d+: not Python"):
        document(text)


def test_a_launcher_without_end_is_left() -> None:
    loops = "import os\ndef f(n):\n    os.system('python3 train.py --lr 1')\n    return f(n) + f(n)\nf(1)\n"
    assert launched_at_least_once(loops)
    deep = (
        "import os\nx = 'a'\nfor i in range(1000):\n    x = x + x\nos.system('python3 train.py --x ' + x)\n"
    )
    assert launched_at_least_once(deep)
    with pytest.raises(RLDoctorError):
        document("x = " + "(" * 3000 + ")" * 3000)


def test_a_function_that_a_field_calls_keeps_its_places() -> None:
    text = (
        'import os\n\n\ndef more():\n    """What it adds."""\n    return \'--lr 1e-6\'\n\n\n'
        "os.system(f'python3 train.py {more()} --save /ckpt')\n"
    )
    (rate, _) = launched(document(text)).settings
    assert rate.place is not None and rate.place.line == 6


@pytest.mark.parametrize(
    "step",
    [
        "x = x + x",
        "x = f'{x}{x}'",
        "x = [x, x]",
        "y.extend(y)",
        "y = y + y",
        "n = n * n",
        "d = {'a': d, 'b': d}",
    ],
)
def test_what_doubles_in_a_loop_stays_small(step: str) -> None:
    text = f"""\
import json, os
x, y, n, d = "ab", ["a"], 7, {{"k": 1}}
for i in range(150):
    {step}
os.system("python3 train.py --x " + str(x) + " --n " + str(n) + " " + " ".join(y))
os.system(f"python3 train.py --d '{{json.dumps(d)}}' --y {{x == [x]}} {{d == d}}")
"""
    assert launched_at_least_once(text)


def launched_at_least_once(text: str) -> bool:
    return any(command.program == "train.py" for world in document(text).worlds for command in world)


def test_a_file_that_launches_nothing_says_so() -> None:
    (problem,) = document("print('hello')\n").problems
    assert "no launch" in str(problem)


FLAGS = """\
import subprocess

words = [
    "torchrun",
    "--nproc-per-node", "8",
    "pretrain_gpt.py",
    "--lr", "1e-5",
    "--bf16",
    "--train-iters=100",
]
subprocess.run(words, check=True)
"""


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("--lr", "2e-5", '"1e-5"', '"2e-5"'),
        ("--train-iters", 50, "iters=100", "iters=50"),
        ("--lr", None, '"--lr", "1e-5",\n    ', ""),
        ("--bf16", None, '    "--bf16",\n', "    \n"),
        ("--train-samples", 9, '"--train-iters=100"', '"--train-iters=100", "--train-samples", "9"'),
    ],
)
def test_edits_of_flags_in_lists(tmp_path: Path, key: str, value: Any, old: str, new: str) -> None:
    after = changed(FLAGS, tmp_path, key, value, "pretrain_gpt.py")
    assert spoken(launched(document(after), "torchrun")) == {"--nproc-per-node": "8"}
    assert after.split() == FLAGS.replace(old, new).split()


@pytest.mark.parametrize(
    ("text", "name", "old", "new"),
    [
        (ARGUMENTS, "CUDA_DEVICE_MAX_CONNECTIONS", '"] = "1"', '"] = "8"'),
        (SLIME, "NCCL_DEBUG", '"NCCL_DEBUG": "INFO"', '"NCCL_DEBUG": "8"'),
        (LISTED, "NCCL_DEBUG", '"NCCL_DEBUG": "WARN"', '"NCCL_DEBUG": "8"'),
    ],
)
def test_a_variable_is_changed_where_the_launcher_says_it(
    tmp_path: Path, text: str, name: str, old: str, new: str
) -> None:
    found = document(text, tmp_path)
    inner = [each for each in found.worlds[0] if any(s.key == name for s in each.env)][-1]
    edits = sources.set_env(found, inner, name, 8)
    apply(edits, found.files)
    assert (tmp_path / "run.py").read_text() == text.replace(old, new)
    assert sources.set_env(found, inner, "NEVER_SET", 1) == ()
