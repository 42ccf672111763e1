"""The value that was most likely meant by one of another type."""

import pytest

from rldoctor.dialects.catalogue import Known
from rldoctor.dialects.fitting import meant

INT, FLOAT, BOOL, UNTYPED = Known("int", 1), Known("float", 0.1), Known("bool", True), Known("any", 4)


@pytest.mark.parametrize(
    ("known", "value", "right"),
    [
        (INT, "20,", "20"),
        (INT, "=20", "20"),
        (INT, "8k", "8192"),
        (INT, "1e5", "100000"),
        (UNTYPED, "20;", "20"),
        (FLOAT, "85%", "0.85"),
        (FLOAT, "1e-6,", "1e-6"),
        (BOOL, "Ture", "true"),
        (BOOL, "flase", "false"),
        (BOOL, "yes", "true"),
        (INT, "0.5", None),
        (INT, "fast", None),
        (BOOL, "20", None),
        (Known("str", ""), "20,", None),
    ],
)
def test_a_value_is_put_right(known: Known, value: str, right: str | None) -> None:
    assert meant(known, value) == right
