"""Simple commands to Commands: programs, wrappers, environments."""

import pytest

from rldoctor import sources


def commands(script):
    (world,) = sources.read_text(script, "run.sh", "shell").worlds
    return world


def summary(script):
    return [(c.program, {s.key: s.value for s in c.settings}, c.wrapped_by) for c in commands(script)]


def environment(command):
    return {s.key: (s.value, s.form) for s in command.env}


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("python3 -m verl.trainer.main_ppo a=1", "verl.trainer.main_ppo"),
        ("/opt/venv/bin/python3.11 -u -X dev examples/train.py --x 1", "examples/train.py"),
        ("PYTHONPATH=. python -W ignore::Warning -m areal.main --x 1", "areal.main"),
        ("nohup python train.py --x 1 > log 2>&1 &", "train.py"),
        ("exec env -u FOO A=1 python train.py --x 1", "train.py"),
        ("time timeout -k 5 10h python train.py --x 1", "train.py"),
        ("${PYTHON:-python} train.py --x 1", "train.py"),
        ("$LAUNCHER python train.py --x 1", "train.py"),
        ("ray start --head --num-gpus 8", "ray start"),
        ("vllm serve model --tp 8", "vllm serve"),
        ("cd /x && CUDA_VISIBLE_DEVICES=0 python train.py --x 1 2>&1 | tee log", "train.py"),
        ("python -c 'import x'", "python -c"),
    ],
)
def test_programs(line, program):
    assert commands(line)[-1].program == program


@pytest.mark.parametrize(
    ("line", "wrapper", "options", "inner", "arguments"),
    [
        (
            "torchrun --nproc_per_node 8 --nnodes=2 --standalone pretrain.py --lr 1",
            "torchrun",
            {"--nproc_per_node": "8", "--nnodes": "2", "--standalone": True},
            "pretrain.py",
            {"--lr": "1"},
        ),
        (
            "torchrun --nproc-per-node 8 -m pkg.train --lr 1",
            "torchrun",
            {"--nproc-per-node": "8"},
            "pkg.train",
            {"--lr": "1"},
        ),
        (
            "python -m torch.distributed.run --nnodes 2 train.py --lr 1",
            "torch.distributed.run",
            {"--nnodes": "2"},
            "train.py",
            {"--lr": "1"},
        ),
        (
            "accelerate launch --config_file c.yaml --num_processes 4 train.py --lr 1",
            "accelerate launch",
            {"--config_file": "c.yaml", "--num_processes": "4"},
            "train.py",
            {"--lr": "1"},
        ),
        (
            "uv run --frozen --extra vllm python3 -m verl.main a.b=1",
            "uv run",
            {"--frozen": True, "--extra": "vllm"},
            "verl.main",
            {"a.b": "1"},
        ),
        (
            "srun --nodes=2 -n 16 --overlap python train.py --lr 1",
            "srun",
            {"--nodes": "2", "-n": "16", "--overlap": True},
            "train.py",
            {"--lr": "1"},
        ),
        ("srun -N 2 bash -c 'cd /x; python train.py --lr 1'", "srun", {"-N": "2"}, "train.py", {"--lr": "1"}),
        (
            "ray job submit --address=http://h --no-wait -- python3 train.py --lr 1",
            "ray job submit",
            {"--address": "http://h", "--no-wait": True},
            "train.py",
            {"--lr": "1"},
        ),
        (
            "ray job submit --address http://h --no-wait python3 train.py --lr 1",
            "ray job submit",
            {"--address": "http://h", "--no-wait": True},
            "train.py",
            {"--lr": "1"},
        ),
        (
            "docker run --gpus all -it --shm-size=10g -v $PWD:/w img:1 python train.py --lr 1",
            "docker run",
            {"--gpus": "all", "-it": True, "--shm-size": "10g", "-v": "$PWD:/w"},
            "train.py",
            {"--lr": "1"},
        ),
        (
            "docker exec -i trainer bash -lc 'cd /w && python train.py --lr 1'",
            "docker exec",
            {"-i": True},
            "train.py",
            {"--lr": "1"},
        ),
        (
            "apptainer exec --nv --bind /data image.sif python train.py --lr 1",
            "apptainer exec",
            {"--nv": True, "--bind": "/data"},
            "train.py",
            {"--lr": "1"},
        ),
        (
            "kubectl exec -it -n rl pod-0 -- python train.py --lr 1",
            "kubectl exec",
            {"-it": True, "-n": "rl"},
            "train.py",
            {"--lr": "1"},
        ),
        (
            "deepspeed --num_gpus 8 train.py --lr 1",
            "deepspeed",
            {"--num_gpus": "8"},
            "train.py",
            {"--lr": "1"},
        ),
        (
            "python3 -m areal.launcher.ray examples/gsm8k.py --config c.yaml",
            "areal.launcher.ray",
            {},
            "examples/gsm8k.py",
            {"--config": "c.yaml"},
        ),
    ],
)
def test_a_wrapper_and_what_it_wraps_are_two_commands(line, wrapper, options, inner, arguments):
    assert summary(line) == [(wrapper, options, ()), (inner, arguments, (wrapper,))]


def test_a_container_gets_the_variables_that_are_set_for_it():
    found = commands("docker run -e NCCL_DEBUG=INFO --env HF_TOKEN -e A=1 img python train.py --lr 1")[-1]
    assert {name: value for name, (value, _) in environment(found).items()} == {
        "NCCL_DEBUG": "INFO",
        "A": "1",
    }


@pytest.mark.parametrize(
    "line", ["docker run img", "docker run img --model m", "docker ps", "kubectl exec pod"]
)
def test_a_container_that_starts_nothing_told_wraps_nothing(line):
    assert [wrapped for _, _, wrapped in summary(line)] in ([()], [])


def test_wrappers_nest():
    found = summary("srun -N 2 torchrun --nnodes 2 train.py --lr 1")
    assert [(program, wrapped) for program, _, wrapped in found] == [
        ("srun", ()),
        ("torchrun", ("srun",)),
        ("train.py", ("srun", "torchrun")),
    ]


def test_a_batch_script_in_a_here_document():
    script = "N=2\nsbatch --nodes=$N <<EOF\n#!/bin/bash\nsrun python train.py --n $N --home \\$HOME/x\nEOF\n"
    found = commands(script)
    assert [c.program for c in found] == ["sbatch", "srun", "train.py"]
    settings = {s.key: s for s in found[-1].settings}
    assert settings["--n"].value == "2"
    assert (settings["--home"].value, settings["--home"].state) == ("$HOME/x", "unknown")
    assert found[-1].place.line == 4


def test_exports_and_prefixes_reach_the_command_in_its_place():
    script = (
        "export A=1 B=${B:-2}\nC=3\nexport C\nunset A\nexport A=9\nD=4 python train.py\npython other.py\n"
    )
    first, second = commands(script)
    assert environment(first) == {"B": ("2", "env"), "C": ("3", "env"), "A": ("9", "env"), "D": ("4", "env")}
    assert "D" not in environment(second)
    places = {s.key: script[s.place.start : s.place.end] for s in first.env}
    assert places == {"A": "A=9", "B": "B=${B:-2}", "C": "C=3", "D": "D=4"}
    assert next(s for s in first.env if s.key == "B").assumes == ("B is unset",)


def test_all_variables_are_exported_after_set_a():
    script = "set -a\nA=1\nset +a\nB=2\npython train.py --x 1"
    assert environment(commands(script)[0]) == {"A": ("1", "env")}


JOB = """export EARLY=1
ray start --head
export LATE=1
NVLS=0
RUNTIME_ENV_JSON="{
  \\"env_vars\\": {
    \\"PYTHONPATH\\": \\"/root/Megatron-LM/\\",
    \\"CUDA_DEVICE_MAX_CONNECTIONS\\": \\"1\\",
    \\"NVLS\\": \\"${NVLS}\\",
    \\"KEY\\": \\"${SECRET}\\"
  }
}"
ray job submit --address=x --runtime-env-json="${RUNTIME_ENV_JSON}" -- python3 train.py --x 1
"""


def test_a_ray_job_takes_its_environment_from_json_and_the_cluster():
    job = commands(JOB)[-1]
    assert environment(job) == {
        "PYTHONPATH": ("/root/Megatron-LM/", "json"),
        "CUDA_DEVICE_MAX_CONNECTIONS": ("1", "json"),
        "NVLS": ("0", "json"),
        "KEY": ("${SECRET}", "json"),
        "EARLY": ("1", "env"),
    }
    found = {s.key: s for s in job.env}
    one = found["CUDA_DEVICE_MAX_CONNECTIONS"]
    assert JOB[one.place.start : one.place.end] == '\\"CUDA_DEVICE_MAX_CONNECTIONS\\": \\"1\\"'
    assert JOB[one.value_place.start : one.value_place.end] == "1"
    assert (one.place.line, found["NVLS"].value_place) == (8, None)
    assert (found["KEY"].state, found["KEY"].depends) == ("unknown", ("SECRET",))


@pytest.mark.parametrize(
    "option",
    [
        '--runtime-env-json=\'{"env_vars": {"A": "1", "B": "x y"}, "working_dir": "."}\'',
        '--runtime-env-json \'{"pip": ["x"], "env_vars": {"A": "1", "B": "x y"}}\'',
        '--runtime-env-json="{\\"env_vars\\":{\\"A\\":\\"1\\",\\"B\\":\\"x y\\"}}"',
    ],
)
def test_json_in_a_word(option):
    job = commands(f"ray job submit {option} -- python train.py --x 1")[-1]
    assert environment(job) == {"A": ("1", "json"), "B": ("x y", "json")}


def test_plumbing_is_no_command():
    script = "mkdir -p x; sleep 3; pkill -9 ray; echo python; pip install x; python t.py --a 1"
    assert [c.program for c in commands(script)] == ["t.py"]
