from __future__ import annotations

import ast

import pytest

from rldoctor.dialects import declared
from rldoctor.dialects.declared import Expression, Flattening, annotation
from rldoctor.types import RLDoctorError

PARSER = """
def add(parser):
    group = parser.add_argument_group("x")
    group.add_argument("--lr", type=float, default=1e-6)
    group.add_argument("--steps", "--num-steps", type=int, default=STEPS)
    group.add_argument("--colocate", action="store_true")
    group.add_argument("--fuse", action=argparse.BooleanOptionalAction, default=True)
    group.add_argument("--kind", choices=["a", "b"], default="a")
    group.add_argument("--sizes", type=int, nargs="+")
    group.add_argument("--maybe", type=int, nargs="?")
    reset_arg(parser, "--seed", type=int, default=1234)
    parser.add_argument("positional")
"""


def test_flags_with_type_default_and_choices() -> None:
    found = declared.arguments(declared.parse(PARSER))
    assert set(found) == {
        *("--lr", "--steps", "--num-steps", "--colocate", "--fuse", "--no-fuse"),
        *("--kind", "--sizes", "--maybe", "--seed"),
    }
    assert (found["--lr"].type, found["--lr"].default) == ("float", 1e-6)
    assert found["--num-steps"].default == Expression("STEPS")
    assert found["--colocate"].type == found["--no-fuse"].type == "flag"
    assert found["--kind"].choices == ("a", "b")
    assert (found["--sizes"].type, found["--maybe"].type) == ("list", "any")
    assert found["--seed"].default == 1234


CLASSES = """
class Mode(str, Enum):
    FAST = "fast"
    SLOW = "slow"

@dataclass
class Inner:
    size: int = 8
    words: list[str] = field(default_factory=list)

@dataclass
class Base:
    name: str = MISSING
    seed: Optional[int] = None

@dataclass
class Whole(Base):
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None
    mode: Mode = Mode.FAST
    many: list[Inner] = field(default_factory=list)
    free: dict[str, Any] = field(default_factory=dict)
    shape: Literal["a", "b"] = field(default="a", metadata={"help": "x"})
"""


def test_fields_of_a_class_and_of_those_inside_it() -> None:
    found = Flattening(declared.classes(declared.parse(CLASSES))).of("Whole")
    assert list(found)[:2] == ["name", "seed"]
    assert (found["seed"].type, found["inner.size"].default) == ("int?", 8)
    assert (found["inner"].type, found["other"].type, found["other.size"].type) == (
        "section",
        "section?",
        "int",
    )
    assert found["mode"].choices == ("FAST", "SLOW")
    assert found["many"].type == "list"
    assert "many.size" not in found
    assert found["free"].type == "dict"
    assert found["shape"].choices == ("a", "b")


def test_a_class_that_holds_itself_ends() -> None:
    tree = declared.parse("class A:\n    a: A = None\n    b: int = 1\n")
    assert len(Flattening(declared.classes(tree)).of("A")) < 50


def test_type_parameters_of_newer_pythons_are_read() -> None:
    found = declared.classes(declared.parse("def f[T](x: T) -> T: ...\nclass A[T](B):\n    x: int = 1\n"))
    assert found["A"].fields["x"].default == 1


def test_what_is_no_python_is_said() -> None:
    with pytest.raises(RLDoctorError, match="not Python"):
        declared.parse("def (")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("int", "int"),
        ("Optional[float]", "float?"),
        ("str | None", "str?"),
        ("Union[int, str]", "any"),
        ("Dict[str, int]", "dict"),
        ("A[bool, Arg(help='x')]", "bool"),
        ("'int | None'", "int?"),
    ],
)
def test_the_type_of_an_annotation(text: str, kind: str) -> None:
    assert annotation(ast.parse(text, mode="eval").body).type == kind
