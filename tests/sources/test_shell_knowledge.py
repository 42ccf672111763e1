"""What is known, what is assumed, what is unknown, and which worlds there are."""

import pytest

from rldoctor import sources
from rldoctor.sources import Told


def read(script, **told):
    return sources.read_text(script, "launch.sh", "shell", Told(**told))


def settings(script, **told):
    """Return the last command's settings by key, in the only world there is."""
    (world,) = read(script, **told).worlds
    return {setting.key: setting for setting in world[-1].settings}


def test_a_default_is_known_and_says_what_it_assumes():
    found = settings("TP=${TP:-8}\npython train.py --tp $TP --pp ${PP:=2} --name ${RUN:-x}/${SUB-y}\n")
    assert (found["--tp"].value, found["--tp"].state) == ("8", "known")
    assert found["--tp"].assumes == ("TP is unset",)
    assert found["--pp"].assumes == ("PP is unset",)
    assert found["--name"].value == "x/y"
    assert found["--name"].assumes == ("RUN is unset", "SUB is unset")


def test_told_environment_overrides_defaults_without_assumption():
    found = settings("python train.py --tp ${TP:-8} --d $HOME/x", env={"TP": "2", "HOME": "/home/me"})
    assert (found["--tp"].value, found["--tp"].assumes) == ("2", ())
    assert (found["--d"].value, found["--d"].state) == ("/home/me/x", "known")


@pytest.mark.parametrize(
    ("word", "value", "depends"),
    [
        ("$HOME/models/x", "$HOME/models/x", "HOME"),
        ("~/models/x", "~/models/x", "HOME"),
        ("${USER:-me}", "${USER:-me}", "USER"),
        ("${SAVE_DIR}/step", "${SAVE_DIR}/step", "SAVE_DIR"),
        ("$(date +%s)", "$(date +%s)", "date"),
        ("${REQUIRED:?set it}", "${REQUIRED:?set it}", "REQUIRED"),
        ("$((N_NODES*8))", "$((N_NODES*8))", "N_NODES"),
        ("run-$RANDOM", "run-$RANDOM", "RANDOM"),
        ("$1", "$1", "$1"),
        ("<PATH_TO_MODEL>", "<PATH_TO_MODEL>", "<PATH_TO_MODEL>"),
    ],
)
def test_what_only_the_environment_knows_is_unknown_and_keeps_its_text(word, value, depends):
    found = settings(f"python train.py --x {word} --y 1")
    assert (found["--x"].value, found["--x"].state) == (value, "unknown")
    assert depends in found["--x"].depends
    assert found["--y"].state == "known"


def test_other_programs_output_is_unknown():
    found = settings("N=$(nvidia-smi -L | wc -l)\nG=`python -c 'print(8)'`\npython t.py --n $N --g $G --k 1")
    assert found["--n"].state == found["--g"].state == "unknown"
    assert found["--g"].depends == ("$(python …)",)
    assert found["--k"].value == "1"


def test_files_that_a_glob_may_name_are_unknown():
    assert settings("python t.py --files data/*.json --k 1")["--files"].state == "unknown"


def test_an_unset_array_adds_nothing_and_says_so():
    (world,) = read('python t.py --a 1 "${EXTRA_ARGS[@]}" --b 2').worlds
    assert [s.key for s in world[0].settings] == ["--a", "--b"]
    assert world[0].assumes == ("EXTRA_ARGS is unset",)


def test_unknown_further_arguments_are_no_flags_value():
    (world,) = read("python t.py --sequence-parallel $EXTRA_ARGS").worlds
    assert [(s.key, s.value) for s in world[0].settings] == [("--sequence-parallel", True)]
    assert world[0].assumes == ("EXTRA_ARGS adds no arguments",)


def test_a_guard_is_taken_as_met():
    guards = '[ -z "$MODEL" ] && exit 1\nif [ $# -lt 2 ]; then echo usage; exit 1; fi\n'
    script = guards + "python t.py --m $MODEL --n 1"
    found = settings(script)
    assert (found["--m"].state, found["--m"].depends) == ("unknown", ("MODEL",))
    assert found["--n"].value == "1"


def test_a_test_on_an_unset_variable_takes_its_default_arm_and_marks_what_differs():
    script = 'A=1\nif [ -n "$FAST" ]; then B=2; A=9; else B=3; fi\npython t.py --a $A --b $B --c 1'
    found = settings(script)
    assert {key: setting.value for key, setting in found.items()} == {"--a": "1", "--b": "3", "--c": "1"}
    assert found["--a"].assumes == found["--b"].assumes == ("FAST is unset",)
    assert found["--c"].assumes == ()


def test_an_undecidable_test_gives_both_worlds_and_agreement_stays_known():
    script = "if [ -f ckpt ]; then L=1; T=same; else L=2; T=same; fi\npython t.py --l $L --t $T"
    document = read(script)
    values = [{s.key: (s.value, s.state) for s in world[0].settings} for world in document.worlds]
    assert values == [
        {"--l": ("1", "known"), "--t": ("same", "known")},
        {"--l": ("2", "known"), "--t": ("same", "known")},
    ]


def test_an_undecidable_test_without_effect_gives_one_world():
    tests = "if [ ! -d out ]; then mkdir out; fi\n[ -f x ] && echo there\npip install y || echo no\n"
    script = tests + "python t.py --a 1"
    assert len(read(script).worlds) == 1


def test_beyond_four_worlds_what_differs_is_unknown():
    tests = "\n".join(f"if [ -f f{i} ]; then A{i}=1; else A{i}=2; fi" for i in range(5))
    words = " ".join(f"--a{i} $A{i}" for i in range(5))
    document = read(f"{tests}\npython t.py {words} --z 7")
    assert 1 <= len(document.worlds) <= 4
    for world in document.worlds:
        found = {s.key: s for s in world[0].settings}
        assert found["--z"].state == "known"
        assert any(found[f"--a{i}"].state == "unknown" for i in range(5))


def test_worlds_know_what_their_branch_told_of_a_variable():
    script = """DEVICE=$(probe)
case "$DEVICE" in gpu) N=8 ;; npu) N=16 ;; *) echo bad; exit 1 ;; esac
if [ "${DEVICE:-gpu}" = gpu ]; then TOOL=a; else TOOL=b; fi
python t.py --n $N --tool $TOOL
"""
    document = read(script)
    pairs = [tuple(s.value for s in world[-1].settings) for world in document.worlds]
    assert pairs == [("8", "a"), ("16", "b")]


def test_loops_and_functions_launch_as_often_as_bash_would():
    script = 'run() { python t.py --lr $1 "${@:2}"; }\nfor lr in 1e-5 1e-6; do run $lr --seed 3; done'
    (world,) = read(script).worlds
    assert [[(s.key, s.value) for s in c.settings] for c in world] == [
        [("--lr", "1e-5"), ("--seed", "3")],
        [("--lr", "1e-6"), ("--seed", "3")],
    ]


def test_a_waiting_loop_ends():
    script = "while true; do\n  if ray status; then break; fi\n  sleep 1\ndone\npython t.py --a 1"
    assert settings(script)["--a"].value == "1"


def test_arguments_are_nothing_unless_told():
    script = 'N=${1:-4}; shift\npython t.py --n $N "$@"'
    assert settings(script)["--n"].assumes == ("no argument 1 is given",)
    found = settings(script, args=("8", "--lr", "1e-6"))
    assert {key: setting.value for key, setting in found.items()} == {"--n": "8", "--lr": "1e-6"}


def test_slurm_variables_come_from_the_batch_lines():
    script = "#!/bin/bash\n#SBATCH --nodes=4\npython t.py --nnodes $SLURM_NNODES --id ${SLURM_PROCID:-0}"
    found = settings(script)
    assert (found["--nnodes"].value, found["--nnodes"].state) == ("4", "known")
    assert found["--nnodes"].assumes
    assert found["--id"].state == "unknown"


def test_nothing_is_executed(tmp_path):
    mark = tmp_path / "mark"
    touch = f"touch {mark}"
    read(f"$({touch})\n{touch}\neval '{touch}'\nX=`{touch}`\n. <({touch})\nbash -c '{touch}'\nawk x > {mark}")
    assert not mark.exists()


@pytest.mark.parametrize(
    "counting",
    [
        "$(nvidia-smi -L 2>/dev/null | wc -l | tr -d ' ')",
        '$(python -c "import torch; print(torch.cuda.device_count())")',
        "`nvidia-smi --query-gpu=name --format=csv,noheader | wc -l`",
    ],
)
def test_told_gpus_are_what_a_count_of_them_gives(counting: str) -> None:
    text = f"N={counting}\npython3 train.py --actor-num-gpus-per-node $N\n"
    (setting,) = sources.read_text(text, "a.sh", "shell", Told(gpus=4)).worlds[0][0].settings
    assert (setting.value, setting.state, setting.assumes) == ("4", "known", ("4 GPUs a node, as told",))
    (unknown,) = sources.read_text(text, "a.sh", "shell").worlds[0][0].settings
    assert unknown.state == "unknown"


def test_an_array_that_nobody_could_read_is_no_switchs_value() -> None:
    text = 'source "${D}/models/${X}.sh"\npython3 train.py --colocate "${MODEL_ARGS[@]}" --lr 1e-6\n'
    (world,) = sources.read_text(text, "run.sh", "shell").worlds
    assert [(each.key, each.value) for each in world[0].settings] == [("--colocate", True), ("--lr", "1e-6")]
    assert [each.endswith("adds no arguments") for each in world[0].assumes] == [True]
