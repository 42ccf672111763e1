"""Edits of YAML: the wanted change, and not a byte more."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from rldoctor.sources.yaml import delete, insert, insert_all, read, replace
from rldoctor.types import Document, Edit, RLDoctorError, Setting


def doc(text: str) -> Document:
    return read("conf.yaml", text.encode())


def every(document: Document) -> dict[str, Setting]:
    return {s.key: s for command in document.worlds[0] for s in command.settings + command.env}


def after(text: str, edit: Edit) -> str:
    data = text.encode()
    assert data[edit.start : edit.end].decode() == edit.old
    return (data[: edit.start] + edit.new.encode() + data[edit.end :]).decode()


def replaced(text: str, key: str, value: Any) -> str:
    document = doc(text)
    return after(text, replace(document, every(document)[key], value))


def deleted(text: str, key: str) -> str:
    document = doc(text)
    return after(text, delete(document, every(document)[key]))


def inserted(text: str, key: str, value: Any, form: Any = "yaml") -> str:
    return after(text, insert(doc(text), key, value, form))


# ── replace ──


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("tp: 8  # GPUs", 4, "tp: 4  # GPUs"),
        ("on: True", False, "on: False"),
        ("on: true", False, "on: false"),
        ("on: TRUE", False, "on: FALSE"),
        ("x: 8", True, "x: true"),
        ("x: 8", None, "x: null"),
        ("x:", 8, "x: 8"),
        ("x:   # later", 8, "x: 8   # later"),
        ("x: ~", "a", "x: a"),
        ("lr: 1.0", 1e-6, "lr: 1.0e-06"),
        ("lr: 1.0", 3e20, "lr: 3.0e+20"),
        ("lr: 1.0", 0.5, "lr: 0.5"),
        ("lr: 1.0", float("inf"), "lr: .inf"),
        ("s: fsdp", "megatron", "s: megatron"),
        ("s: 'fsdp'", "it's", "s: 'it''s'"),
        ('s: "fsdp"', 'a "b" \\', 's: "a \\"b\\" \\\\"'),
        ("s: fsdp", "8", "s: '8'"),
        ("s: fsdp", "1e-6", "s: '1e-6'"),
        ("s: fsdp", "yes", "s: 'yes'"),
        ("s: fsdp", "0o17", "s: '0o17'"),
        ("s: fsdp", "2026-01-02", "s: '2026-01-02'"),
        ("s: fsdp", "", "s: ''"),
        ("s: fsdp", " a", "s: ' a'"),
        ("s: fsdp", "a: b", "s: 'a: b'"),
        ("s: fsdp", "a #b", "s: 'a #b'"),
        ("s: fsdp", "*x", "s: '*x'"),
        ("s: fsdp", "${a.b}/c", "s: ${a.b}/c"),
        ("s: fsdp", "a\nb\x07", 's: "a\\nb\\x07"'),
        ("s: 'fsdp'", "a\tb", 's: "a\\tb"'),
        ("s: fsdp", "größe😀", "s: größe😀"),
        ("l: [1, 2]", [1, "a, b", None, True], "l: [1, 'a, b', null, true]"),
        ("l: [1, 2]", [], "l: []"),
        ("l: [1, 2]", {"a": [1], "b: c": "}"}, "l: {a: [1], 'b: c': '}'}"),
        ("s: &name fsdp", "a", "s: &name a"),
        ("s: !!str 8", 9, "s: 9"),
        ("s: &n !!str 8", 9, "s: &n 9"),
        ("'s': fsdp", "a", "'s': a"),
    ],
)
def test_values_are_written_in_the_manner_of_the_old_one(old: str, value: Any, new: str) -> None:
    key = old.partition(":")[0].strip("'")
    for before, behind in (("", "\n"), ("a: {b: 1}\n", ""), ("a: 1\n", "\n# end\nz: 1\n")):
        assert replaced(before + old + behind, key, value) == before + new + behind


@pytest.mark.parametrize(
    ("old", "key", "value", "new"),
    [
        ("{a: 1, b: x}\n", "b", "y, z", "{a: 1, b: 'y, z'}\n"),
        ("{a: {b: 1, c}, d: }\n", "a.c", 2, "{a: {b: 1, c: 2}, d: }\n"),
        ("{a: {b: 1, c}, d: }\n", "d", 2, "{a: {b: 1, c}, d: 2}\n"),
        ('{"a":1,"b":2}\n', "a", 3, '{"a":3,"b":2}\n'),
        ("a: {b: 1}\n", "a.b", "${x}", "a: {b: '${x}'}\n"),
        ("x:\n  - a\n  - b\ny: 1\n", "x", ["c"], "x: [c]\ny: 1\n"),
        ("x:   # why\n- a\n- b # gone\n# next\ny: 1\n", "x", [1], "x: [1] # why # gone\n# next\ny: 1\n"),
        ("x: &l # why\n- a\ny: *l\n", "x", [1], "x: &l [1] # why\ny: *l\n"),
        ("x: |\n  a\n  b\n\ny: 1\n", "x", "c", "x: c\n\ny: 1\n"),
        ("x: >-\n  a\n  b", "x", "c", "x: c"),
        ("x: a\n  b\n  c # d\ny: 1\n", "x", "e", "x: e # d\ny: 1\n"),
        ("x:\n  abc\ny: 1\n", "x", "e", "x: e\ny: 1\n"),
        ("l:\n- {a: 1}\n- a: 2\n  b: 3\n", "l.1.a", 7, "l:\n- {a: 1}\n- a: 7\n  b: 3\n"),
        ("l:\n- {a: 1}\n- word\n", "l.1", "w2", "l:\n- {a: 1}\n- w2\n"),
        ("a: {}\n", "a", 1, "a: 1\n"),
        ("? x\n: y\n", "x", "z", "? x\n: z\n"),
        ("a: 1\r\nb: 2\r\n", "b", 3, "a: 1\r\nb: 3\r\n"),
        ("\ufeffa: 1\n", "a", 3, "\ufeffa: 3\n"),
        ("a: 1\n---\nb: 2\n", "b", 3, "a: 1\n---\nb: 3\n"),
        ("tp: 1\ntp: 2\n", "tp", 3, "tp: 1\ntp: 3\n"),
    ],
)
def test_replace_in_every_syntax(old: str, key: str, value: Any, new: str) -> None:
    assert replaced(old, key, value) == new


def test_an_edit_spans_the_pair_and_reads_alone() -> None:
    text = "a:\n  größe: 1 # x\n"
    document = doc(text)
    edit = replace(document, every(document)["a.größe"], 2)
    assert (edit.kind, edit.old, edit.new, edit.line, edit.file) == (
        "replace",
        "größe: 1",
        "größe: 2",
        2,
        "conf.yaml",
    )


def test_what_an_alias_gives_is_changed_only_where_it_is_used() -> None:
    text = "lr: &lr 1\na: *lr\nb: *lr\n"
    assert replaced(text, "a", 2) == "lr: &lr 1\na: 2\nb: *lr\n"


def test_what_a_merge_gives_is_overridden() -> None:
    text = "base: &b {lr: 1, wd: 2}\nactor:\n  <<: *b\n  tp: 1\n"
    assert replaced(text, "actor.lr", 9) == text + "  lr: 9\n"
    assert every(doc(replaced(text, "actor.lr", 9)))["base.lr"].value == 1


def test_a_mapping_by_alias_becomes_a_merge_with_an_override() -> None:
    text = "base: &b {lr: 1, wd: 2}\nactor: *b\nref: *b\n"
    new = replaced(text, "actor.lr", 9)
    assert new == "base: &b {lr: 1, wd: 2}\nactor: {<<: *b, lr: 9}\nref: *b\n"
    assert {key: s.value for key, s in every(doc(new)).items()} == {
        "base.lr": 1,
        "base.wd": 2,
        "actor.lr": 9,
        "actor.wd": 2,
        "ref.lr": 1,
        "ref.wd": 2,
    }


def test_what_cannot_be_overridden_is_refused() -> None:
    with pytest.raises(RLDoctorError, match="comes through an anchor"):
        replaced("b: &b {opt: {lr: 1, wd: 2}}\na:\n  <<: *b\n", "a.opt.lr", 9)
    with pytest.raises(RLDoctorError, match="no mapping"):
        replaced("b: {lr: 1}\na: ${b}\n", "a.lr", 9)
    with pytest.raises(RLDoctorError, match="no plain way to write a set"):
        replaced("a: 1\n", "a", {1})


def test_an_anchor_that_is_used_cannot_be_taken_away() -> None:
    with pytest.raises(RLDoctorError, match="cannot be changed here: the file would not be valid YAML"):
        deleted("lr: &lr 1\na: *lr\n", "lr")


def test_a_setting_of_another_file_state_is_refused() -> None:
    old = doc("a: 1\nbbbb: 2\n")
    new = doc("aaaaaa: 1\nb: 2\n")
    with pytest.raises(RLDoctorError, match="does not stand where it was read"):
        replace(new, every(old)["bbbb"], 3)


# ── insert ──


@pytest.mark.parametrize(
    ("old", "key", "value", "new"),
    [
        ("a: 1\n", "b", 2, "a: 1\nb: 2\n"),
        ("a: 1", "b", 2, "a: 1\nb: 2"),
        ("", "b", 2, "b: 2\n"),
        ("# only this\n", "b.c", 2, "# only this\nb:\n  c: 2\n"),
        ("a: 1\r\n", "b.c", 2, "a: 1\r\nb:\r\n  c: 2\r\n"),
        ("\ufeffa: 1\n", "b", 2, "\ufeffa: 1\nb: 2\n"),
        ("a:\n  b: 1 # x\n\n# y\nc: 2\n", "a.d", True, "a:\n  b: 1 # x\n  d: true\n\n# y\nc: 2\n"),
        ("a:\n    b: True\nc: 2\n", "x.y", False, "a:\n    b: True\nc: 2\nx:\n    y: False\n"),
        ("a:\n  b:\n    c: 1\nd: 2\n", "a.b.e.f", 3, "a:\n  b:\n    c: 1\n    e:\n      f: 3\nd: 2\n"),
        ("a: {b: 1}\n", "a.c", "x, y", "a: {b: 1, c: 'x, y'}\n"),
        ("a: {b: 1}\n", "a.c.d", 2, "a: {b: 1, c: {d: 2}}\n"),
        ("a: {}\n", "a.c", 2, "a: {c: 2}\n"),
        ("a: {b: 1,}\n", "a.c", 2, "a: {b: 1, c: 2,}\n"),
        ("a:\nb: 1\n", "a.c", 2, "a: {c: 2}\nb: 1\n"),
        ("a: null # x\n", "a.c.d", 2, "a: {c: {d: 2}} # x\n"),
        ("a:\n- b: 1\n- c: 2\n", "a.0.d", 3, "a:\n- b: 1\n  d: 3\n- c: 2\n"),
        ("a:\n  - - b: 1\n", "a.0.0.d", 3, "a:\n  - - b: 1\n      d: 3\n"),
        ("a: [{b: 1}]\n", "a.0.d", 3, "a: [{b: 1, d: 3}]\n"),
        ("a:\n  b: |\n    text\n\nc: 1\n", "a.d", 3, "a:\n  b: |\n    text\n  d: 3\n\nc: 1\n"),
        ("a:\n  b: [1,\n    2] # x\nc: 1\n", "a.d", 3, "a:\n  b: [1,\n    2] # x\n  d: 3\nc: 1\n"),
        ("a:\n  b:\n  - 1\n  - 2\nc: 1\n", "a.d", [3], "a:\n  b:\n  - 1\n  - 2\n  d: [3]\nc: 1\n"),
        ("a: 1\n...\n", "b", 2, "a: 1\nb: 2\n...\n"),
        ("a:\n  b:\nc: 1\n", "a.d", 2, "a:\n  b:\n  d: 2\nc: 1\n"),
        ("a: 1\n", "weird key: x", 2, "a: 1\n'weird key: x': 2\n"),
    ],
)
def test_insert_under_the_deepest_parent(old: str, key: str, value: Any, new: str) -> None:
    assert inserted(old, key, value) == new


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("a: 1\n", "a", "a is set already"),
        ("a: 1\n", "a.b", "a is no mapping"),
        ("a: [1]\n", "a.b", "a is no mapping"),
        ("- 1\n", "b", "the file is no mapping"),
        ("a: ${b}\nb: {c: 1}\n", "a.d", "a is no mapping"),
        ("a: &a 1\nb: *a\n", "b.c", "b is no mapping"),
    ],
)
def test_insert_where_nothing_can_stand_is_refused(text: str, key: str, message: str) -> None:
    with pytest.raises(RLDoctorError, match=message):
        inserted(text, key, 1)


def test_keys_that_share_a_missing_parent_make_it_once() -> None:
    text = "a:\n  b: 1\nc: 1\n"
    edits = insert_all(doc(text), {"a.x.p": 1, "a.x.q.r": 2, "d.e": 3, "a.y": 4, "d.f": 5})
    assert len(edits) == 2
    for edit in sorted(edits, key=lambda e: -e.start):
        text = after(text, edit)
    assert text == ("a:\n  b: 1\n  x:\n    p: 1\n    q:\n      r: 2\n  y: 4\nc: 1\nd:\n  e: 3\n  f: 5\n")


# ── delete ──


@pytest.mark.parametrize(
    ("old", "key", "new"),
    [
        ("a: 1\nb: 2 # gone\nc: 3\n", "b", "a: 1\nc: 3\n"),
        ("a: 1\nb: 2", "b", "a: 1\n"),
        ("a: 1\r\nb: 2\r\n", "a", "b: 2\r\n"),
        ("\ufeffa: 1\nb: 2\n", "a", "\ufeffb: 2\n"),
        ("a: 1\n", "a", ""),
        ("a:\n  b: 1 # x\nc: 2\n", "a.b", "a:\n  {}\nc: 2\n"),
        ("a:\n  b: [1,\n   2]\n  c: 2\n", "a.b", "a:\n  c: 2\n"),
        ("a:\n  b:\n  - 1\n  c: 2\n", "a.b", "a:\n  c: 2\n"),
        ("a:\n  b: |\n    x\n    y\n  c: 2\n", "a.b", "a:\n  c: 2\n"),
        ("a: {b: 1, c: 2, d: 3}\n", "a.b", "a: {c: 2, d: 3}\n"),
        ("a: {b: 1, c: 2, d: 3}\n", "a.c", "a: {b: 1, d: 3}\n"),
        ("a: {b: 1, c: 2, d: 3}\n", "a.d", "a: {b: 1, c: 2}\n"),
        ("a: {b: 1}\n", "a.b", "a: {}\n"),
        ("l:\n- a: 1\n  b: 2\n", "l.0.a", "l:\n- b: 2\n"),
        ("l:\n- a: 1\n  b: 2\n", "l.0.b", "l:\n- a: 1\n"),
        ("l:\n- a: 1\n- b: 2\n", "l.0.a", "l:\n- {}\n- b: 2\n"),
    ],
)
def test_delete_takes_the_lines_and_their_comment(old: str, key: str, new: str) -> None:
    assert deleted(old, key) == new


def test_delete_of_what_has_no_text_of_its_own_is_refused() -> None:
    with pytest.raises(RLDoctorError, match="no text of its own"):
        deleted("b: &b {lr: 1}\na:\n  <<: *b\n", "a.lr")
    with pytest.raises(RLDoctorError, match="one element of a list"):
        deleted("l: [a, {b: 1}]\n", "l.0")


# ── Megatron-LM's recipes ──

RECIPE = "ENV_VARS:\n  A: 1\nMODEL_ARGS:\n  --tp: 8\n  --bf16: true\n  --spec: '[a b]'\nMODE: x\n"


def test_flags_and_environment_of_a_recipe() -> None:
    assert replaced(RECIPE, "--tp", 4) == RECIPE.replace("--tp: 8", "--tp: 4")
    assert replaced(RECIPE, "--spec", ["c", "d"]) == RECIPE.replace("'[a b]'", '"[c d]"')
    assert replaced(RECIPE, "--bf16", False) == RECIPE.replace("  --bf16: true\n", "")
    assert deleted(RECIPE, "--tp") == RECIPE.replace("  --tp: 8\n", "")
    assert inserted(RECIPE, "--ep", 2, "flag") == RECIPE.replace("MODE:", "  --ep: 2\nMODE:")
    assert inserted(RECIPE, "--fp8", True, "flag") == RECIPE.replace("MODE:", "  --fp8: true\nMODE:")
    assert replaced(RECIPE, "A", "2") == RECIPE.replace("A: 1", "A: 2")
    assert replaced(RECIPE, "A", "true") == RECIPE.replace("A: 1", 'A: "true"')
    assert inserted(RECIPE, "B", "1", "env") == RECIPE.replace("MODEL", "  B: 1\nMODEL")


def test_flags_and_variables_have_no_place_in_other_files() -> None:
    with pytest.raises(RLDoctorError, match="gives no command-line flags"):
        inserted("trainer: {nodes: 1}\n", "--ep", 2, "flag")
    with pytest.raises(RLDoctorError, match="gives no environment variables"):
        inserted("", "NCCL_DEBUG", "INFO", "env")


# ── whatever is written ──

NAMES = st.sampled_from(
    ["tp", "lr", "größe", "max_len", "rollout", "n-gpus", "on_policy", "x1", "名前", "optim"]
)
WORDS = st.sampled_from(
    ["fsdp", "a b", "~/x.parquet", "it's", "a: b", "#no", "8", "${zz.no}", "émile", "1e-6", ""]
)
SCALARS = st.one_of(
    st.integers(-9, 10**6), st.booleans(), st.none(), st.floats(allow_nan=False, width=32), WORDS
)
LEAVES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))
TREES = st.dictionaries(
    NAMES,
    st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4), max_leaves=8),
    min_size=1,
    max_size=5,
)
NEW = st.one_of(LEAVES, st.text(max_size=12).filter(lambda t: "${" not in t and t.isprintable()))


def spelled(draw: Any, value: Any, flow: bool) -> str:
    from rldoctor.sources.yaml_format import Style, spell

    like = draw(st.sampled_from(["", "'", '"', "True"]))
    return spell(value, Style(like=like, flow=flow, capital=draw(st.booleans())))


def written(draw: Any, tree: dict[str, Any], indent: str) -> list[str]:
    lines = []
    step = draw(st.sampled_from(["  ", "    "]))
    for key, value in tree.items():
        if draw(st.integers(0, 5)) == 0:
            lines.append(draw(st.sampled_from(["", f"{indent}# größe: 1", "# x"])))
        comment = draw(st.sampled_from(["", "  # why: not", " #ü"]))
        if isinstance(value, dict) and draw(st.booleans()):
            lines += [f"{indent}{key}:{comment}", *written(draw, value, indent + step)]
        elif isinstance(value, list) and value and draw(st.booleans()):
            dash = indent + draw(st.sampled_from(["", "  "]))
            lines.append(f"{indent}{key}:{comment}")
            lines += [f"{dash}- {spelled(draw, item, False)}" for item in value]
        else:
            lines.append(f"{indent}{key}: {spelled(draw, value, False)}{comment}")
    return lines


@st.composite
def files(draw: Any) -> tuple[str, dict[str, Any]]:
    tree = draw(TREES)
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    text = draw(st.sampled_from(["", "\ufeff", "---\n"])) + newline.join(written(draw, tree, ""))
    return text + draw(st.sampled_from(["", newline, newline * 2])), tree


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= leaves(value, f"{path}.{key}" if path else key)
    return found


def raw(text: str) -> dict[str, Any]:
    return {key: setting.value for key, setting in every(doc(text)).items()}


QUICK = limits(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(files())
def test_what_is_written_is_read(file: tuple[str, dict[str, Any]]) -> None:
    text, tree = file
    assert raw(text) == leaves(tree)


@QUICK
@given(files(), st.data(), NEW)
def test_replace_changes_that_setting_and_no_other(file: Any, data: Any, value: Any) -> None:
    text = file[0]
    document = doc(text)
    key = data.draw(st.sampled_from(sorted(every(document))))
    new = after(text, replace(document, every(document)[key], value))
    before, now = raw(text), raw(new)
    assert now.pop(key) == value
    before.pop(key)
    assert now == before


@QUICK
@given(files(), st.data())
def test_delete_takes_that_setting_and_no_other(file: Any, data: Any) -> None:
    text = file[0]
    document = doc(text)
    key = data.draw(st.sampled_from(sorted(every(document))))
    now = raw(after(text, delete(document, every(document)[key])))
    parent = key.rpartition(".")[0]
    assert {k: v for k, v in raw(text).items() if k != key} == {
        k: v for k, v in now.items() if not (k == parent and v == {})
    }


@QUICK
@given(files(), st.data(), NEW)
def test_insert_adds_that_setting_and_no_other(file: Any, data: Any, value: Any) -> None:
    text = file[0]
    document = doc(text)
    near = data.draw(st.sampled_from(sorted(every(document))))
    key = ".".join([*near.split(".")[: data.draw(st.integers(0, near.count(".")))], "fresh", "er"])
    assume(value != {} and not (isinstance(value, float) and math.isnan(value)))
    new = after(text, insert(document, key, value))
    now = raw(new)
    assert now.pop(key) == value
    assert now == raw(text)
