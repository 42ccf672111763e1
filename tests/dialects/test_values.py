import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldoctor.dialects import decode, default, encode
from rldoctor.dialects.rows import Row
from rldoctor.types import UNKNOWN, RLDoctorError


def row(type_, **more):
    return Row("train.tp", "key", type_, **more)


@pytest.mark.parametrize(
    ("type_", "theirs", "ours"),
    [
        ("int", "8", 8),
        ("int", "1e3", 1000),
        ("int", 8.0, 8),
        ("int", "8.5", UNKNOWN),
        ("int", "$N", UNKNOWN),
        ("int", "null", None),
        ("int", "nan", UNKNOWN),
        ("float", "1e-6", 1e-6),
        ("float", 3, 3),
        ("bool", "True", True),
        ("bool", "false", False),
        ("bool", "1", True),
        ("bool", "maybe", UNKNOWN),
        ("str", "'quoted'", "quoted"),
        ("str", "", None),
        ("path", "~/m", "~/m"),
        ("list", "[console,wandb]", ["console", "wandb"]),
        ("list", '["console","wandb"]', ["console", "wandb"]),
        ("list", "['model']", ["model"]),
        ("list", "[]", []),
        ("list", ["151645", "151643"], [151645, 151643]),
        ("list", "151645", [151645]),
        ("dict", '{"a": 1}', {"a": 1}),
        ("dict", "{", UNKNOWN),
        ("flag", True, True),
        ("flag", "False", False),
        ("int", UNKNOWN, UNKNOWN),
    ],
)
def test_decode(type_, theirs, ours):
    read = decode(row(type_), theirs)
    assert read is ours if ours is UNKNOWN else read == ours and type(read) is type(ours)


def test_units_polarity_and_words():
    assert decode(row("int", scale=60), "10") == 600
    assert decode(row("bool", negate=True), "True") is False
    assert decode(row("flag", negate=True), True) is False
    words = row("enum", enum=(("fsdp2", "fsdp"), (None, "none"), (True, "full")))
    assert [decode(words, word) for word in ("fsdp2", "null", None, "true", True)] == [
        "fsdp",
        "none",
        "none",
        "full",
        "full",
    ]
    assert decode(words, "deepspeed") is UNKNOWN


def test_a_unit_that_does_not_divide_is_rounded_toward_the_remedy():
    minutes = row("int", scale=60)
    assert encode(minutes, 601) == 11
    assert encode(minutes, 601, was=300) == 11
    megabytes = row("int", scale=1048576)
    assert encode(megabytes, 700 * 1048576 + 5, was=2 * 2**30) == 700
    assert encode(row("int"), 10.5, was=20) == 10


def test_encode_speaks_the_systems_words():
    assert encode(row("bool", negate=True), False) is True
    assert encode(row("flag", negate=True), True) is False
    assert encode(row("enum", enum=(("token-mean", "token_mean"),)), "token_mean") == "token-mean"
    assert encode(row("enum", enum=((True, "full"), (False, "none"))), "none") is False
    assert encode(row("int"), None) is None
    assert encode(row("list"), [1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("asked", "value"),
    [(row("enum", enum=(("a", "b"),)), "c"), (row("int"), "many"), (row("bool"), 3), (row("int"), True)],
)
def test_what_a_system_cannot_say_is_refused(asked, value):
    with pytest.raises(RLDoctorError):
        encode(asked, value)


@given(st.integers(0, 10**12), st.sampled_from([None, 60, 1048576]))
def test_numbers_survive_both_ways(value, scale):
    asked = row("int", scale=scale)
    ours = decode(asked, value)
    assert encode(asked, ours, was=ours) == value


@given(st.booleans(), st.booleans())
def test_switches_survive_both_ways(value, negate):
    for kind in ("flag", "bool"):
        asked = row(kind, negate=negate)
        assert decode(asked, encode(asked, value)) is value


def test_defaults_follow_the_release():
    eager = row("bool", defaults=(("0.3", True), ("0.6", False)))
    assert [default(eager, version) for version in ("0.5", "0.6", "0.10", None)] == [
        True,
        False,
        False,
        False,
    ]
    assert default(row("flag"), None) is False
    assert default(row("flag", negate=True), None) is True
    assert default(row("flag", enum=((True, "bf16"), (False, "fp32"))), None) == "fp32"
    assert default(row("flag", enum=((True, "fp16"),)), None) is None
    assert default(row("enum", enum=((None, "none"),)), None) == "none"
    assert default(row("int"), None) is None
