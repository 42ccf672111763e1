import pytest

from rldoctor.edits import splice
from rldoctor.types import Edit, RLDoctorError

TEXT = "TP=8  # Größe\npython train.py --tp $TP --ep 1\n".encode()


def edit(old: str, new: str, file: str = "run.sh") -> Edit:
    start = TEXT.index(old.encode())
    kind = "replace" if old and new else "insert" if new else "delete"
    return Edit(file, TEXT[:start].count(b"\n") + 1, start, start + len(old.encode()), kind, old, new)


def insert_at(start: int, new: str) -> Edit:
    return Edit("run.sh", 1, start, start, "insert", "", new)


def test_several_edits_of_one_file_in_any_order() -> None:
    edits = [edit("--ep 1", "--ep 8"), edit("TP=8", "TP=4"), edit("  # Größe", "")]
    assert splice(TEXT, edits) == b"TP=4\npython train.py --tp $TP --ep 8\n"


def test_bytes_not_characters_are_counted() -> None:
    assert splice(TEXT, [edit("Größe", "size")]) == b"TP=8  # size\npython train.py --tp $TP --ep 1\n"


def test_the_same_edit_twice_happens_once() -> None:
    assert splice(TEXT, [edit("TP=8", "TP=4"), edit("TP=8", "TP=4")]).startswith(b"TP=4  #")
    assert splice(b"ab", [insert_at(1, "x"), insert_at(1, "x")]) == b"axb"


def test_different_inserts_at_one_place_keep_their_order() -> None:
    assert splice(b"ab", [insert_at(1, "x"), insert_at(1, "y")]) == b"axyb"


def test_two_wishes_for_the_same_text_are_refused() -> None:
    with pytest.raises(RLDoctorError, match=r"two changes of the same text: 'TP=4'.*'TP=2'"):
        splice(TEXT, [edit("TP=8", "TP=4"), edit("TP=8", "TP=2")])
    with pytest.raises(RLDoctorError, match="two changes"):
        splice(TEXT, [edit("--tp $TP --ep 1", "--tp 8 --ep 1"), edit("--ep 1", "--ep 8")])


def test_an_insert_inside_of_replaced_text_is_refused_and_beside_it_is_not() -> None:
    with pytest.raises(RLDoctorError, match="two changes"):
        splice(TEXT, [edit("TP=8", "TP=4"), insert_at(2, "!")])
    assert splice(TEXT, [edit("TP=8", "TP=4"), insert_at(0, "EP=2 ")]).startswith(b"EP=2 TP=4 ")
    assert splice(TEXT, [edit("TP=8", "TP=4"), insert_at(4, " EP=2")]).startswith(b"TP=4 EP=2 ")


def test_a_span_that_holds_something_else_is_refused() -> None:
    with pytest.raises(RLDoctorError, match="not there any more: 'TP=8'") as caught:
        splice(b"EP=8\n", [edit("TP=8", "TP=4")])
    assert (caught.value.file, caught.value.line) == ("run.sh", 1)
    with pytest.raises(RLDoctorError, match="not there any more"):
        splice(b"TP", [edit("TP=8", "TP=4")])
