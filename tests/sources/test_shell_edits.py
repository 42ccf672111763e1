"""Edits of scripts: each test says what the file becomes; all other bytes stay."""

import pytest

from rldoctor import sources


def spliced(document, edits):
    """Return the script's text with the edits in it; each must name the bytes that are there."""
    (file,) = {edit.file for edit in edits}
    data = document.files[file]
    for edit in sorted(edits, key=lambda each: -each.start):
        assert data[edit.start : edit.end].decode() == edit.old
        assert edit.line == document.files[file].count(b"\n", 0, edit.start) + 1
        data = data[: edit.start] + edit.new.encode() + data[edit.end :]
    return data.decode()


def last(document):
    return document.worlds[0][-1]


def setting(document, key):
    command = last(document)
    return [each for each in (*command.settings, *command.env) if each.key == key][-1]


def replaced(script, key, value):
    document = sources.read_text(script, "run.sh", "shell")
    return spliced(document, sources.replace(document, setting(document, key), value))


def deleted(script, key):
    document = sources.read_text(script, "run.sh", "shell")
    return spliced(document, sources.delete(document, setting(document, key)))


def inserted(script, key, value, form):
    document = sources.read_text(script, "run.sh", "shell")
    return spliced(document, sources.insert(document, last(document), key, value, form))


@pytest.mark.parametrize(
    ("word", "value", "becomes"),
    [
        ("a.b=1", 16, "a.b=16"),
        ("+a.b=1", None, "+a.b=null"),
        ("a.b=1", True, "a.b=True"),
        ("a.b=1", [1, 2], "a.b=[1,2]"),
        ("a.b=1", "x y", "a.b='x y'"),
        ("'a.b=1'", "x y", "'a.b=x y'"),
        ('"a.b=1"', 'x "y" $z', '"a.b=x \\"y\\" \\$z"'),
        ('a.b="1"', 2, 'a.b="2"'),
        ("a.b=${TP:-8}", 4, "a.b=${TP:-4}"),
        ("a.b=$((2*4))", 4, "a.b=4"),
        ("'a.b='$((2*4))", 4, "a.b=4"),
        ('"a.b=$((2*4))"', 4, '"a.b=4"'),
        ("a.b=$X", 4, "a.b=4"),
        ("a.b=x/$X/y", "z", "a.b=z"),
        ("a.b=", 3, "a.b=3"),
        ('a.b=""', 3, 'a.b="3"'),
    ],
)
def test_an_override_gets_its_value_in_its_own_quotes(word, value, becomes):
    script = f"python t.py c=1 \\\n    {word} \\\n    d=2\n"
    assert replaced(script, "a.b", value) == script.replace(word, becomes)


@pytest.mark.parametrize(
    ("words", "value", "becomes"),
    [
        ("--tp 8", 4, "--tp 4"),
        ("--tp=8", 4, "--tp=4"),
        ("--tp \\\n      8", 4, "--tp \\\n      4"),
        ('--tp "8"', "a b", '--tp "a b"'),
        ("--tp 8", "a b", "--tp 'a b'"),
        ("--tp $((2*4))", 4, "--tp 4"),
        ("--tp=$X", 4, "--tp=4"),
        ("--tp 1 2 4", [1, 2], "--tp 1 2"),
        ("--tp", True, "--tp"),
        ("--tp", 8, "--tp 8"),
    ],
)
def test_a_flag_gets_its_value(words, value, becomes):
    script = f"python t.py --a 1 \\\n    {words} \\\n    --b 2\n"
    document = sources.read_text(script, "run.sh", "shell")
    edits = sources.replace(document, setting(document, "--tp"), value)
    assert (spliced(document, edits) if edits else script) == script.replace(words, becomes)


def test_a_bare_flag_set_to_false_goes_with_its_line():
    assert replaced("python t.py \\\n  --tp \\\n  --b 2\n", "--tp", False) == "python t.py \\\n  --b 2\n"


@pytest.mark.parametrize(
    ("definition", "becomes"),
    [("TP=8", "TP=4"), ("export TP='8'", "export TP='4'"), ("TP=${TP:-8} # gpus", "TP=${TP:-4} # gpus")],
)
def test_a_variable_of_one_key_is_changed_where_it_is_set(definition, becomes):
    script = f"{definition}\necho using $TP\npython a.py --tp $TP\npython b.py --tp=$TP\n"
    assert replaced(script, "--tp", 4) == script.replace(definition, becomes, 1)


def test_an_edit_at_the_variable_spans_the_whole_assignment():
    document = sources.read_text("export EP=1 X=2\npython t.py --ep $EP\n", "run.sh", "shell")
    (edit,) = sources.replace(document, setting(document, "--ep"), 4)
    assert (edit.kind, edit.old, edit.new, edit.line) == ("replace", "EP=1", "EP=4", 1)


def test_a_chain_of_variables_is_changed_at_its_literal():
    script = "A=8\nB=$A\npython t.py --tp $B\n"
    assert replaced(script, "--tp", 4) == "A=4\nB=$A\npython t.py --tp $B\n"


@pytest.mark.parametrize(
    "other",
    [
        "python o.py --pp $TP",
        "X=$((TP * 2))",
        "[ $TP = 8 ] && X=1",
        "NAME=run-tp$TP; python o.py --name $NAME",
        "bash -c 'run $TP'",
        "for i in $(seq $TP); do :; done",
        "TP+=0",
        "python o.py x.y=$(echo $TP)",
    ],
)
def test_a_variable_that_others_use_stays_and_the_word_is_replaced(other):
    script = f"TP=8\n{other}\npython t.py --tp $TP\n"
    document = sources.read_text(script, "run.sh", "shell")
    edits = sources.replace(document, setting(document, "--tp"), 4)
    assert spliced(document, edits) == f"TP=8\n{other}\npython t.py --tp 4\n"


def test_values_in_arrays_and_strings_are_changed_in_place():
    script = 'A=(\n  --a 1  # one\n  --b "$X"\n)\nOLD="--c 2 \\\n  --d 3"\npython t.py "${A[@]}" $OLD\n'
    assert replaced(script, "--a", 5) == script.replace("--a 1", "--a 5")
    assert replaced(script, "--b", 5) == script.replace('--b "$X"', "--b 5")
    assert replaced(script, "--d", 5) == script.replace("--d 3", "--d 5")


def test_settings_that_share_one_word_are_left_alone():
    document = sources.read_text("python t.py {--a,--b}=2\n", "run.sh", "shell")
    found = setting(document, "--b")
    assert found.value == "2"
    assert sources.replace(document, found, 3) == sources.delete(document, found) == ()


COMMAND = "python t.py \\\n    a.b=1 \\\n    c.d=2 \\\n    c.e=3 2>&1 | tee log\n"


@pytest.mark.parametrize(
    ("key", "becomes"),
    [
        ("a.b", "python t.py \\\n    c.d=2 \\\n    c.e=3 2>&1 | tee log\n"),
        ("c.d", "python t.py \\\n    a.b=1 \\\n    c.e=3 2>&1 | tee log\n"),
        ("c.e", "python t.py \\\n    a.b=1 \\\n    c.d=2 \\\n    2>&1 | tee log\n"),
    ],
)
def test_a_deleted_argument_takes_its_line_and_keeps_the_command_whole(key, becomes):
    assert deleted(COMMAND, key) == becomes


@pytest.mark.parametrize(
    ("script", "key", "becomes"),
    [
        ("python t.py \\\n  --a 1 \\\n  --b 2\necho done\n", "--b", "python t.py \\\n  --a 1\necho done\n"),
        ("python t.py --a 1 --b 2 --c 3\n", "--b", "python t.py --a 1 --c 3\n"),
        ("python t.py \\\n  --a 1 --b 2 \\\n  --c 3\n", "--a", "python t.py \\\n  --b 2 \\\n  --c 3\n"),
        ("X=(\n  --a 1\n  --b\n)\npython t.py ${X[@]}\n", "--b", "X=(\n  --a 1\n)\npython t.py ${X[@]}\n"),
        ("X=(--a 1 --b 2)\npython t.py ${X[@]}\n", "--a", "X=(--b 2)\npython t.py ${X[@]}\n"),
        ("X=(--a 1 --b 2)\npython t.py ${X[@]}\n", "--b", "X=(--a 1)\npython t.py ${X[@]}\n"),
        ('X="--a 1 --b 2"\npython t.py $X\n', "--a", 'X="--b 2"\npython t.py $X\n'),
        ("python t.py \\\r\n  a.b=1 \\\r\n  c.d=2\r\n", "a.b", "python t.py \\\r\n  c.d=2\r\n"),
    ],
)
def test_deletions(script, key, becomes):
    assert deleted(script, key) == becomes


@pytest.mark.parametrize(
    ("key", "value", "form", "becomes"),
    [
        ("c.x", 9, "override", COMMAND.replace("c.e=3", "c.e=3 \\\n    c.x=9")),
        ("a.x", "p q", "override", COMMAND.replace("a.b=1 \\\n", "a.b=1 \\\n    'a.x=p q' \\\n")),
        ("a.x", None, "append", COMMAND.replace("a.b=1 \\\n", "a.b=1 \\\n    +a.x=null \\\n")),
        ("z.z", [1, 2], "override", COMMAND.replace("c.e=3", "c.e=3 \\\n    z.z=[1,2]")),
        ("a.b", None, "delete", COMMAND.replace("a.b=1 \\\n", "a.b=1 \\\n    ~a.b \\\n")),
    ],
)
def test_a_new_override_goes_after_its_nearest_relative(key, value, form, becomes):
    assert inserted(COMMAND, key, value, form) == becomes


@pytest.mark.parametrize(
    ("body", "key", "value", "becomes"),
    [
        (
            "X=(\n   --tp 4\n   --expert-parallel 8\n\n   --lr 1\n)",
            "--expert-tensor",
            1,
            "X=(\n   --tp 4\n   --expert-parallel 8\n   --expert-tensor 1\n\n   --lr 1\n)",
        ),
        ("X=(--a-b 1)", "--a-c", True, "X=(--a-b 1 --a-c)"),
        ("X=(\n  --a-b 1 )", "--a-c", 2, "X=(\n  --a-b 1\n  --a-c 2 )"),
        ("X=(\n  --a-b 1 # n\n)", "--a-c", 2, "X=(\n  --a-b 1 # n\n  --a-c 2\n)"),
        ('X="\n  --a-b 1 \\\n  --b 2"', "--a-c", 2, 'X="\n  --a-b 1 \\\n  --a-c 2 \\\n  --b 2"'),
        ('X="--a-b 1"', "--a-c", 2, 'X="--a-b 1 --a-c 2"'),
    ],
)
def test_a_new_flag_goes_into_the_array_or_string_of_its_relative(body, key, value, becomes):
    call = "\npython t.py ${X[@]} --x\n"
    assert inserted(body + call, key, value, "flag") == becomes + call


@pytest.mark.parametrize(
    ("script", "value", "becomes"),
    [
        ("python t.py --q 1\n", "x y", "python t.py --q 1 --q-x 'x y'\n"),
        ("python t.py\n", [1, 2], "python t.py --q-x 1 2\n"),
        ("python t.py --q 1 > log 2>&1 &\n", 1, "python t.py --q 1 --q-x 1 > log 2>&1 &\n"),
        ("python t.py --q 1 \\\n  --r 2\n", 1, "python t.py --q 1 \\\n  --q-x 1 \\\n  --r 2\n"),
        ("python t.py \\\r\n  --q 1\r\n", 1, "python t.py \\\r\n  --q 1 \\\r\n  --q-x 1\r\n"),
        ('python t.py \\\n  --z 1 \\\n  "$@"\n', 1, 'python t.py \\\n  --z 1 \\\n  --q-x 1 \\\n  "$@"\n'),
        ('python t.py \\\n  ${Y[@]} "$@"\n', 1, 'python t.py \\\n  ${Y[@]} \\\n  --q-x 1 "$@"\n'),
    ],
)
def test_a_new_flag_goes_after_its_relative_or_the_last_argument(script, value, becomes):
    assert inserted(script, "--q-x", value, "flag") == becomes


def test_a_flag_that_shall_not_be_there_is_not_inserted():
    document = sources.read_text("python t.py --q 1\n", "run.sh", "shell")
    assert sources.insert(document, last(document), "--x", False, "flag") == ()


def test_a_new_argument_never_goes_into_a_sourced_file(tmp_path):
    (tmp_path / "m.sh").write_text("M=(\n  --expert-parallel 8\n)\n")
    script = tmp_path / "run.sh"
    script.write_text("source m.sh\npython t.py ${M[@]} --x 1\n")
    document = sources.read(str(script))
    edits = sources.insert(document, last(document), "--expert-tensor", 1, "flag")
    assert spliced(document, edits) == "source m.sh\npython t.py ${M[@]} --x 1 --expert-tensor 1\n"


def test_arguments_of_a_wrapper_stay_before_what_it_wraps():
    document = sources.read_text("torchrun --nnodes 2 t.py --lr 1\n", "run.sh", "shell")
    wrapper, inner = document.worlds[0]
    assert spliced(document, sources.insert(document, wrapper, "--rdzv", "x", "flag")) == (
        "torchrun --nnodes 2 --rdzv x t.py --lr 1\n"
    )
    assert spliced(document, sources.insert(document, inner, "--tp", 2, "flag")) == (
        "torchrun --nnodes 2 t.py --lr 1 --tp 2\n"
    )


def test_pasted_arguments_can_be_edited():
    document = sources.read_text("trainer.n=2 \\\n  actor.lr=1e-6\n", "pasted")
    assert spliced(document, sources.replace(document, setting(document, "trainer.n"), 4)) == (
        "trainer.n=4 \\\n  actor.lr=1e-6\n"
    )
    assert spliced(document, sources.insert(document, last(document), "actor.x", 1, "override")) == (
        "trainer.n=2 \\\n  actor.lr=1e-6 \\\n  actor.x=1\n"
    )
