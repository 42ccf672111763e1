"""Arguments to settings: Hydra words, flags, numbers, what is positional."""

import pytest

from rldoctor import sources


def command(line):
    (world,) = sources.read_text(line, "pasted", "command").worlds
    return world[-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a.b=1 c=x", [("a.b", "1", "override"), ("c", "x", "override")]),
        (
            "+a.b=1 ++c.d=2 ~e.f ~g=1",
            [("a.b", "1", "append"), ("c.d", "2", "append"), ("e.f", None, "delete"), ("g", "1", "delete")],
        ),
        ("actor@x=y model/opt=z", [("actor@x", "y", "override"), ("model/opt", "z", "override")]),
        (
            "--lr 1e-6 --tp=8 --flash",
            [("--lr", "1e-6", "flag"), ("--tp", "8", "flag"), ("--flash", True, "flag")],
        ),
        (
            "--data a /x/y.jsonl --bs 1 2 4",
            [("--data", ["a", "/x/y.jsonl"], "flag"), ("--bs", ["1", "2", "4"], "flag")],
        ),
        (
            "--min -1 --eps -1e-8 --z -.5 --inf -inf",
            [
                ("--min", "-1", "flag"),
                ("--eps", "-1e-8", "flag"),
                ("--z", "-.5", "flag"),
                ("--inf", "-inf", "flag"),
            ],
        ),
        ("-N 2 -x", [("-N", "2", "flag"), ("-x", True, "flag")]),
        (
            "--config-name base trainer.n=2 +x=1",
            [("--config-name", "base", "flag"), ("trainer.n", "2", "override"), ("x", "1", "append")],
        ),
        ("--dry-run a.b=1", [("--dry-run", True, "flag"), ("a.b", "1", "override")]),
        ("--env NAME=1", [("--env", "NAME=1", "flag")]),
        ("key= --empty=''", [("key", "", "override"), ("--empty", "", "flag")]),
        ("'files=[a b, c]' x=\"{a: 1}\"", [("files", "[a b, c]", "override"), ("x", "{a: 1}", "override")]),
        ("--kwargs '{\"a\": 1}'", [("--kwargs", '{"a": 1}', "flag")]),
        ("url=http://h:1/p?q=1", [("url", "http://h:1/p?q=1", "override")]),
    ],
)
def test_words_to_settings(words, expected):
    found = command(f"python main.py {words}")
    assert [(s.key, s.value, s.form) for s in found.settings] == expected


def test_positional_arguments():
    found = command("python entrypoint.py grpo --config-file a.yaml x.y=1 -- --not-a-flag z=1")
    assert found.positional == ("grpo", "--not-a-flag", "z=1")


def test_duplicates_stand_in_their_order():
    found = command("python main.py --lr 1 --lr 2")
    assert [s.value for s in found.settings] == ["1", "2"]


def test_places_span_the_whole_setting_and_the_literal_value():
    line = "python main.py a.b=16 --tp  \\\n 8 'c=d e' --bs 1 2 f=\"x y\""
    found = {s.key: s for s in command(line).settings}
    text = {key: line[s.place.start : s.place.end] for key, s in found.items()}
    assert text == {
        "a.b": "a.b=16",
        "--tp": "--tp  \\\n 8",
        "c": "'c=d e'",
        "--bs": "--bs 1 2",
        "f": 'f="x y"',
    }
    values = {key: line[s.value_place.start : s.value_place.end] for key, s in found.items()}
    assert values == {"a.b": "16", "--tp": "8", "c": "d e", "--bs": "1 2", "f": "x y"}
    assert (found["a.b"].place.line, found["a.b"].place.column) == (1, 16)
    assert found["c"].place.line == 2


def test_a_value_from_a_variable_names_the_literal_of_its_assignment():
    script = 'TP="8"\nPP=${PP:-2}\nX=$TP\npython main.py --tp $TP --pp=$PP --x $X --sum $((TP*2)) --both a$TP'
    found = {s.key: s for s in sources.read_text(script, "x.sh", "shell").worlds[0][-1].settings}
    literal = {k: s.defined_at and script[s.defined_at.start : s.defined_at.end] for k, s in found.items()}
    assert literal == {"--tp": "8", "--pp": "2", "--x": "8", "--sum": None, "--both": None}
    assert found["--tp"].defined_at.line == 1
    assert found["--sum"].value == "16"
    assert all(s.value_place is None for s in found.values())


def test_the_words_of_an_array_and_of_a_string_are_their_own_places():
    script = 'A=(\n  --a 1\n  --b $B\n)\nOLD="--c 2 \\\n  --d 3"\npython main.py "${A[@]}" $OLD'
    found = sources.read_text(script, "x.sh", "shell").worlds[0][-1].settings
    assert [script[s.place.start : s.place.end] for s in found] == ["--a 1", "--b $B", "--c 2", "--d 3"]
    assert [s.place.line for s in found] == [2, 3, 5, 6]
    assert all(s.defined_at is None for s in found)


@pytest.mark.parametrize(
    "text",
    [
        "trainer.nnodes=2 \\\n  actor.lr=1e-6\n",
        "trainer.nnodes=2\nactor.lr=1e-6",
        "  +trainer.nnodes=2 # two\n actor.lr=1e-6",
    ],
)
def test_arguments_pasted_without_their_program(text):
    document = sources.read_text(text, "pasted")
    ((only,),) = document.worlds
    assert (document.kind, only.program) == ("command", "")
    assert {s.key: s.value for s in only.settings} == {"trainer.nnodes": "2", "actor.lr": "1e-6"}
