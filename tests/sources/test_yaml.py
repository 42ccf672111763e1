"""Reading of YAML: values, states, places, and input that means harm."""

from typing import Any

import pytest

from rldoctor.sources.yaml import read
from rldoctor.types import Document, RLDoctorError, Setting

VERL = """\
# a cut of a trainer's configuration
data:
  max_prompt_length: 512   # tokens
  train_files: ~/data/gsm8k/train.parquet
actor_rollout_ref:
  actor: &actor
    strategy: fsdp
    optim: {lr: 1e-6, betas: [0.9, 0.999]}
    ppo_mini_batch_size: 256
  rollout:
    prompt_length: ${data.max_prompt_length}
    n_gpus: ${oc.env:N_GPUS,8}
    node: ${oc.env:NODE_RANK}
    dtype: "bfloat16"
    load: ${.dtype}
    seed: ${oc.select:data.seed, 17}
    name: run-${data.max_prompt_length}-${trainer.nodes}
    stop: ~
    limit: ???
trainer:
  nodes: 2
  path: ${data.missing}
  when: ${now:%Y}
"""


def doc(text: str) -> Document:
    return read("conf.yaml", text.encode())


def settings(document: Document) -> dict[str, Setting]:
    assert len(document.worlds) == 1
    return {s.key: s for command in document.worlds[0] for s in command.settings}


def values(text: str) -> dict[str, Any]:
    return {key: s.value for key, s in settings(doc(text)).items()}


def spanned(document: Document, place: Any) -> str:
    return document.files["conf.yaml"][place.start : place.end].decode()


def test_every_leaf_is_a_setting_with_its_python_value() -> None:
    document = doc(VERL)
    assert (document.kind, document.path, document.problems) == ("yaml", "conf.yaml", ())
    assert [command.program for command in document.worlds[0]] == [""]
    found = settings(document)
    assert found["data.max_prompt_length"].value == 512
    assert found["data.train_files"].value == "~/data/gsm8k/train.parquet"
    assert found["actor_rollout_ref.actor.optim.lr"].value == 1e-6
    assert found["actor_rollout_ref.actor.optim.betas"].value == [0.9, 0.999]
    assert found["actor_rollout_ref.rollout.dtype"].value == "bfloat16"
    assert found["actor_rollout_ref.rollout.stop"].value is None
    assert all(s.form == "yaml" for s in found.values())


def test_places_span_the_pair_and_the_value() -> None:
    document = doc(VERL)
    found = settings(document)
    setting = found["data.max_prompt_length"]
    assert setting.place is not None
    assert (setting.place.file, setting.place.line, setting.place.column) == ("conf.yaml", 3, 3)
    assert spanned(document, setting.place) == "max_prompt_length: 512"
    assert spanned(document, setting.value_place) == "512"
    assert spanned(document, found["actor_rollout_ref.actor.optim.lr"].place) == "lr: 1e-6"
    assert spanned(document, found["actor_rollout_ref.actor.optim.betas"].value_place) == "[0.9, 0.999]"
    assert spanned(document, found["actor_rollout_ref.rollout.dtype"].value_place) == '"bfloat16"'


def test_interpolations_inside_of_the_file_are_resolved_to_their_source() -> None:
    document = doc(VERL)
    found = settings(document)
    prompt = found["actor_rollout_ref.rollout.prompt_length"]
    assert (prompt.value, prompt.state) == (512, "known")
    assert prompt.defined_at == found["data.max_prompt_length"].value_place
    assert spanned(document, prompt.value_place) == "${data.max_prompt_length}"
    assert found["actor_rollout_ref.rollout.load"].value == "bfloat16"
    name = found["actor_rollout_ref.rollout.name"]
    assert (name.value, name.state, name.defined_at) == ("run-512-2", "known", None)


def test_the_environment_and_what_is_missing_are_never_guessed() -> None:
    found = settings(doc(VERL))
    rollout = "actor_rollout_ref.rollout."
    told = {key: (s.value, s.state, s.depends) for key, s in found.items() if s.state != "known"}
    assert told == {
        f"{rollout}n_gpus": ("8", "assumed", ()),
        f"{rollout}node": ("${oc.env:NODE_RANK}", "unknown", ("NODE_RANK",)),
        f"{rollout}seed": (17, "assumed", ()),
        f"{rollout}limit": ("???", "unknown", (f"{rollout}limit",)),
        "trainer.path": ("${data.missing}", "unknown", ("data.missing",)),
        "trainer.when": ("${now:%Y}", "unknown", ("now",)),
    }
    assert found[f"{rollout}n_gpus"].assumes == ("N_GPUS is unset",)
    assert found[f"{rollout}seed"].assumes == ("data.seed is unset",)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("${a}", 1),
        ("${list[1]}", "y"),
        ("${list.0}", "x"),
        ("${map}", None),
        ("${map.b.c}", 2),
        ("${to_map.b.c}", 2),
        ("${chain}", 1),
        ("${oc.select:a,7}", 1),
        ("${oc.select:zz,${map.b.c}}", 2),
        ("${oc.select:zz,null}", None),
        ("${oc.select:zz,[]}", []),
        ("${oc.select:zz,a b: c}", "a b: c"),
        ("${oc.env:X,null}", None),
        ("${map.${key}.c}", 2),
        (r"\${a}", r"\${a}"),
        ("${a", "${a"),
        ("cost: $5", "cost: $5"),
        ("p-${a}-${list}", "p-1-['x', 'y']"),
    ],
)
def test_omegaconf_grammar(expression: str, expected: Any) -> None:
    text = f"""\
a: 1
key: b
list: [x, y]
map: {{b: {{c: 2}}}}
to_map: ${{map}}
chain: ${{chain2}}
chain2: ${{a}}
it: '{expression}'
"""
    found = values(text)
    if expected is None and expression == "${map}":
        assert found["it.b.c"] == 2
        assert "it" not in found
    else:
        assert found["it"] == expected


def test_a_mapping_that_is_interpolated_gives_its_leaves_at_both_places() -> None:
    document = doc("actor: {lr: 1, opt: [{a: 1}]}\nref: ${actor}\nspec: ${actor.opt}\n")
    found = settings(document)
    assert (found["ref.lr"].value, found["ref.lr"].place) == (1, None)
    assert found["ref.lr"].defined_at == found["actor.lr"].value_place
    assert found["spec"].value == [{"a": 1}]
    assert (found["spec.0.a"].value, found["spec.0.a"].place) == (1, None)


def test_circles_end_as_unknown() -> None:
    found = settings(doc("a: ${b}\nb: ${a}\nc: ${c}/x\nd: {e: '${d}'}\n"))
    assert {key: s.state for key, s in found.items()} == dict.fromkeys(found, "unknown")


def test_lists_are_one_setting_and_lists_of_mappings_have_indexes_too() -> None:
    document = doc(
        "tools:\n- name: a\n  args: [1, 2]\n- name: b\nplain: [1, [2, 3], null]\nempty: []\nnone: {}\n"
    )
    found = settings(document)
    assert {key: s.value for key, s in found.items()} == {
        "tools": [{"name": "a", "args": [1, 2]}, {"name": "b"}],
        "tools.0.name": "a",
        "tools.0.args": [1, 2],
        "tools.1.name": "b",
        "plain": [1, [2, 3], None],
        "empty": [],
        "none": {},
    }
    assert spanned(document, found["tools"].place) == "tools:\n- name: a\n  args: [1, 2]\n- name: b"
    assert spanned(document, found["tools.1.name"].place) == "name: b"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("1_000", 1000),
        ("0x10", 16),
        ("010", 8),
        ("1e-6", 1e-6),
        ("1.5E+3", 1500.0),
        (".inf", float("inf")),
        ("True", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("2026-01-02", "2026-01-02"),
        ("'8'", "8"),
        ("!!str 8", "8"),
        ("!!int '8'", 8),
        ("v1.2.3", "v1.2.3"),
        ("1:30", 90),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
        ("x\n  y", "x y"),
        ("0x_", "0x_"),
    ],
)
def test_scalars_are_read_as_omegaconf_reads_them(text: str, value: Any) -> None:
    assert values(f"k: {text}\n") == {"k": value}


def test_foreign_tags_are_never_constructed_and_unknown() -> None:
    document = doc("a: !!python/object/apply:os.system ['touch /tmp/x']\nb: !env HOME\nc: !include x.yaml\n")
    found = settings(document)
    assert found["b"].state == "unknown"
    assert (found["b"].value, found["b"].depends) == ("HOME", ("!env",))
    assert found["a"].value == ["touch /tmp/x"]
    assert spanned(document, found["b"].value_place) == "HOME"


def test_anchors_and_merges() -> None:
    text = """\
base: &base
  lr: &lr 1.0
  opt: {eps: 1}
actor:
  <<: *base
  lr: 2.0
critic:
  <<: [*base, {warmup: 3}]
rate: *lr
copy: *base
"""
    document = doc(text)
    found = settings(document)
    assert {key: s.value for key, s in found.items()} == {
        "base.lr": 1.0,
        "base.opt.eps": 1,
        "actor.lr": 2.0,
        "actor.opt.eps": 1,
        "critic.lr": 1.0,
        "critic.opt.eps": 1,
        "critic.warmup": 3,
        "rate": 1.0,
        "copy.lr": 1.0,
        "copy.opt.eps": 1,
    }
    assert spanned(document, found["base.lr"].place) == "lr: &lr 1.0"
    assert spanned(document, found["base.lr"].value_place) == "1.0"
    assert spanned(document, found["rate"].value_place) == "*lr"
    for key in ("rate", "copy.lr", "critic.lr"):
        assert found[key].defined_at == found["base.lr"].value_place
    assert found["critic.lr"].place is None
    assert found["actor.lr"].place is not None


def test_duplicate_keys_are_told_with_both_places_and_the_last_counts() -> None:
    document = doc("a:\n  tp: 1\n  ep: 2\n  tp: 4\n")
    assert values("a:\n  tp: 1\n  ep: 2\n  tp: 4\n") == {"a.tp": 4, "a.ep": 2}
    (problem,) = document.problems
    assert str(problem) == "conf.yaml:4:3: a.tp stands at 2:3 already; the later one counts here"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_bytes_are_exact_after_umlauts_emoji_marks_and_other_line_breaks(newline: str, mark: str) -> None:
    text = mark + newline.join(["größe: 'ä€😀' # ü", "näch:", "  tp: 8 # 😀", "  name: émile", ""])
    document = doc(text)
    found = settings(document)
    assert spanned(document, found["größe"].place) == "größe: 'ä€😀'"
    assert spanned(document, found["näch.tp"].value_place) == "8"
    assert spanned(document, found["näch.name"].place) == "name: émile"
    place = found["näch.tp"].value_place
    assert place is not None
    assert (place.line, place.column) == (3, 7)
    first = found["größe"].place
    assert first is not None
    assert (first.line, first.column) == (1, 1)


MEGATRON = """\
ENV_VARS:
  CUDA_DEVICE_MAX_CONNECTIONS: 1
  NCCL_ALGO: Ring
  TORCH_X: "true"
  FLAG: true
TEST_TYPE: regular
MODEL_ARGS:
  --num-layers: 12
  --use-distributed-optimizer: true
  --lr: 1.5e-4
  --data-path: ${DATA_PATH}/text/my_document
  --spec: "[megatron.core.models spec]"
  --moe-layer-freq: ([0]*1+[1]*26)
METRICS:
  - "lm loss"
"""


def test_megatron_recipes_give_flags_and_environment() -> None:
    document = doc(MEGATRON)
    (command,) = document.worlds[0]
    flags = {s.key: s.value for s in command.settings if s.form == "flag"}
    assert flags == {
        "--num-layers": 12,
        "--use-distributed-optimizer": True,
        "--lr": 1.5e-4,
        "--data-path": "${DATA_PATH}/text/my_document",
        "--spec": ["megatron.core.models", "spec"],
        "--moe-layer-freq": "([0]*1+[1]*26)",
    }
    env = {s.key: (s.value, s.form) for s in command.env}
    assert env == {
        "CUDA_DEVICE_MAX_CONNECTIONS": ("1", "env"),
        "NCCL_ALGO": ("Ring", "env"),
        "TORCH_X": ("true", "env"),
        "FLAG": ("true", "env"),
    }
    found = settings(document)
    assert (found["--data-path"].state, found["--data-path"].depends) == ("unknown", ("DATA_PATH",))
    assert (found["TEST_TYPE"].form, found["METRICS"].value) == ("yaml", ["lm loss"])
    assert spanned(document, found["--lr"].place) == "--lr: 1.5e-4"


def test_a_mapping_of_that_name_without_flags_stays_yaml() -> None:
    found = settings(doc("MODEL_ARGS: {layers: 2}\nENV_VARS: {A: 1}\n"))
    assert {key: s.form for key, s in found.items()} == {"MODEL_ARGS.layers": "yaml", "ENV_VARS.A": "yaml"}


def test_several_documents_are_several_commands() -> None:
    document = doc("a: 1\nb: ${a}\n---\na: 2\nb: ${a}\n")
    assert [[s.value for s in command.settings] for command in document.worlds[0]] == [[1, 1], [2, 2]]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_has_no_settings(text: str) -> None:
    document = doc(text)
    assert [command.settings for command in document.worlds[0]] == [()]


def test_what_is_no_configuration_is_told() -> None:
    (problem,) = doc("just some words\n").problems
    assert "no mapping at the top" in str(problem)
    assert values("- a: 1\n- b\n") == {"0.a": 1, "1": "b"}
    (problem,) = doc("? [a, b]\n: 1\nc: 2\n").problems
    assert str(problem).startswith("conf.yaml:1:3: a key that is itself a list")


@pytest.mark.parametrize(
    ("data", "line", "column", "message"),
    [
        (b"a: [1, 2\nb: 3\n", 2, 2, "not valid YAML"),
        (b"a:\n  b: 1\n c: 2\n", 3, 2, "not valid YAML"),
        (b"a: 1\n\tb: 2\n", 2, 1, "tab character"),
        (b"a: 'x\n", 2, 1, "not valid YAML"),
        (b"a: 1\nb: *nobody\n", 2, 4, "has none"),
        (b"a: &x [*x]\n", 1, 8, "before its anchor is complete"),
        (b"a: 1\nb: \x00\n", 2, 4, "not valid YAML"),
        (b"a: 1\nb: \xff\xfe\n", 2, 0, "not UTF-8"),
        ("a: 1\n".encode("utf-16"), 0, 0, "UTF-16"),
        (b"a: " + b"[" * 200, 1, 103, "nested deeper than 100"),
        (b"a: !<tag:\n", 1, 10, "not valid YAML"),
    ],
)
def test_broken_yaml_names_the_place(data: bytes, line: int, column: int, message: str) -> None:
    with pytest.raises(RLDoctorError, match=message) as caught:
        read("conf.yaml", data)
    assert caught.value.file == "conf.yaml"
    assert (caught.value.line, caught.value.column) == (line, column)


def bomb(levels: int, join: str) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines).replace("JOIN", join) + "\n"


MERGE_BOMB = "m0: &m0 {" + ", ".join(f"k{i}: 1" for i in range(500)) + "}\n"
MERGE_BOMB += "".join(f"m{i}: &m{i} {{<<: [{', '.join(['*m0'] * 200)}]}}\n" for i in range(1, 30))
TEXT_BOMB = "a: " + "x" * 50_000 + "\n" + "".join(f"b{i}: {'${a}' * 200}\n" for i in range(200))
DOUBLING = "a0: xx\n" + "".join(f"a{i}: ${{a{i - 1}}}${{a{i - 1}}}\n" for i in range(1, 21))
DEEP = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} {'[' * 90}*a{i - 1}{']' * 90}\n" for i in range(1, 40))


@pytest.mark.parametrize("text", [bomb(9, ""), MERGE_BOMB, DOUBLING], ids=["lists", "merges", "doubling"])
def test_bombs_are_refused(text: str) -> None:
    with pytest.raises(RLDoctorError, match=r"more than 200000 values"):
        doc(text)


def test_nesting_through_aliases_is_refused() -> None:
    with pytest.raises(RLDoctorError, match="nested too deeply"):
        doc(DEEP)


def test_text_that_would_grow_without_end_is_unknown() -> None:
    found = settings(doc(TEXT_BOMB))
    assert found["b7"].state == "unknown"
    assert len(found["b7"].value) == 800


def test_one_very_long_line_is_read() -> None:
    text = "{" + ", ".join(f"key{i}: {i}" for i in range(60_000)) + "}\n"
    document = doc(text)
    setting = settings(document)["key59999"]
    assert spanned(document, setting.place) == "key59999: 59999"


def test_a_file_too_large_is_refused() -> None:
    with pytest.raises(RLDoctorError, match="too large"):
        read("big.yaml", b"a: 1\n" * 4_000_000)
