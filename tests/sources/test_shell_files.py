"""Files: what is sourced, what cannot be read, and the limits."""

import pytest

from rldoctor import sources
from rldoctor.types import RLDoctorError


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def last(document):
    return {setting.key: setting for setting in document.worlds[0][-1].settings}


def test_a_sourced_file_next_to_the_script_gives_its_arrays_and_places(tmp_path):
    models = write(
        tmp_path, "models/qwen.sh", "MODEL_ARGS=(\n  --num-layers 48\n  --hidden-size ${H:-2048}\n)\n"
    )
    script = write(
        tmp_path,
        "run.sh",
        'DIR="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" &>/dev/null && pwd)"\n'
        'H=4096 source "${DIR}/models/qwen.sh"\npython t.py ${MODEL_ARGS[@]} --dir $DIR\n',
    )
    document = sources.read(str(script))
    found = last(document)
    assert (found["--num-layers"].value, found["--hidden-size"].value) == ("48", "4096")
    place = found["--num-layers"].place
    assert (place.file, place.line) == (str(models), 2)
    assert document.files[place.file][place.start : place.end] == b"--num-layers 48"
    assert (found["--dir"].value, found["--dir"].state) == (str(tmp_path), "known")


def test_a_sourced_file_is_found_by_its_longest_suffix_upwards(tmp_path):
    write(tmp_path, "slime/scripts/models/m.sh", "ARGS=(--n 3)\n")
    script = write(
        tmp_path,
        "slime/examples/a/run.sh",
        'source /root/slime/scripts/models/m.sh\npython t.py "${ARGS[@]}"\n',
    )
    assert last(sources.read(str(script)))["--n"].value == "3"


def test_a_missing_sourced_file_is_a_problem_with_its_place_and_leaves_unknowns(tmp_path):
    script = write(tmp_path, "run.sh", "A=1\nsource models/none.sh\npython t.py --a $A ${MODEL_ARGS[@]}\n")
    document = sources.read(str(script))
    (problem,) = document.problems
    assert (problem.file, problem.line) == (str(script), 2)
    assert "models/none.sh" in problem.message
    assert last(document)["--a"].value == "1"
    assert document.worlds[0][-1].assumes


def test_the_systems_own_files_are_not_missed(tmp_path):
    script = write(tmp_path, "run.sh", "source ~/.bashrc\nsource /opt/venv/bin/activate\npython t.py --a 1\n")
    assert sources.read(str(script)).problems == ()


def test_a_file_that_sources_itself_ends(tmp_path):
    script = write(tmp_path, "run.sh", "source ./run.sh\npython t.py --a 1\n")
    assert last(sources.read(str(script)))["--a"].value == "1"


def test_a_script_run_by_bash_sees_exports_only(tmp_path):
    write(tmp_path, "inner.sh", "python t.py --a ${A:-none} --b ${B:-none} --c $1\n")
    script = write(tmp_path, "run.sh", "A=1\nexport B=2\nbash inner.sh 3\n")
    found = last(sources.read(str(script)))
    assert [found[key].value for key in ("--a", "--b", "--c")] == ["none", "2", "3"]


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "empty"), (b" \n\n", "empty"), (b"\x7fELF\0\0\0", "binary"), (b"\xff\xfea\0", "UTF-16")],
)
def test_what_is_no_text_is_an_error(tmp_path, data, words):
    with pytest.raises(RLDoctorError, match=words):
        sources.read(str(write(tmp_path, "run.sh", data)))


def test_missing_files_folders_and_giants_are_errors(tmp_path):
    with pytest.raises(RLDoctorError, match="no such file"):
        sources.read(str(tmp_path / "none.sh"))
    with pytest.raises(RLDoctorError, match="folder"):
        sources.read(str(tmp_path))
    with pytest.raises(RLDoctorError, match="10 MiB"):
        sources.read(str(write(tmp_path, "run.sh", b"#" * (10 * 2**20 + 1))))


@pytest.mark.parametrize(
    "broken",
    ["if [ 1 = 1 ; then\n", "X=(1 2\n", 'echo "open\n', "for in do\n", ")))\n", "A=<PATH (e.g. /x)\n"],
)
def test_broken_shell_is_read_as_far_as_it_goes(broken):
    document = sources.read_text(f"python t.py --a 1\n{broken}", "x.sh", "shell")
    assert document.worlds[0][0].settings[0].value == "1"


def test_broken_lines_are_told_with_their_place_and_the_rest_is_read():
    document = sources.read_text("A=1\nif [ x ]; then ) fi\nB=2\npython t.py --b $B\n", "x.sh", "shell")
    assert document.problems[0].line == 2
    assert last(document)["--b"].value == "2"


@pytest.mark.parametrize(
    "script",
    [
        "X=a\n" + "X=$X$X\n" * 60,
        "while true; do X=1; done\n",
        "f() { f; f; }\nf\n",
        "for i in {1..3000}; do for j in {1..3000}; do X=$j; done; done\n",
        "prog " + "{1..9}" * 9 + "\n",
        "prog " + "{a,b}" * 200 + "\n",
        "prog $((" + "(" * 3000 + "1" + ")" * 3000 + "))\n",
        "prog " + "$(" * 300 + "echo" + ")" * 300 + "\n",
        "prog " + "${X:-" * 300 + "}" * 300 + "\n",
        "if true; then " * 400 + "prog" + "; fi" * 400 + "\n",
        "prog $(seq 1 999999999)\n",
        "[[ " + "a" * 5000 + " =~ (a*)*(a*)*b ]] && prog\n",
        "X=" + "a" * 4000 + "\ncase $X in *a*a*a*a*a*a*a*b) prog;; esac\n",
    ],
)
def test_hostile_scripts_end(script):
    sources.read_text("python t.py --a 1\n" + script, "x.sh", "shell")


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.sh", "python t.py", "shell"),
        ("a.yaml", "a: 1", "yaml"),
        ("pasted.txt", "python -m verl.trainer.main_ppo a.b=1", "command"),
        ("pasted.txt", "actor.lr=1 \\\n  trainer.n=2", "command"),
        ("pasted.txt", "# my config\ntrainer:\n  n: 1\n", "yaml"),
        ("noname", "#!/bin/bash\nset -x\n", "shell"),
    ],
)
def test_kinds_are_told_apart(name, text, kind):
    assert sources.read_text(text, name).kind == kind


def test_windows_line_ends_and_a_byte_order_mark_are_read():
    script = b"\xef\xbb\xbfTP=4\r\npython t.py \\\r\n  --tp $TP \\\r\n  --pp 2\r\n"
    found = last(sources.read_text(script, "x.sh", "shell"))
    assert (found["--tp"].value, found["--pp"].value) == ("4", "2")
