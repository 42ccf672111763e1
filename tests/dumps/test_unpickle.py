"""The unpickler reads plain data and nothing else, whatever a file holds."""

import io
import os
import pickle
import pickletools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldoctor import dumps
from rldoctor.dumps import apart
from rldoctor.dumps.unpickle import Refused, load
from rldoctor.types import RLDoctorError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN, st.integers(3, 5))
def test_plain_data_comes_back_as_it_was(value: object, protocol: int) -> None:
    assert load(pickle.dumps(value, protocol)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for head in (b"", b"\x80\x04", b"\x80\x02}q\x00("):
        try:
            load(head + data)
        except Refused as error:
            assert error.message


@given(PLAIN, st.data())
def test_a_pickle_that_is_cut_or_changed_is_read_or_refused(value: object, data: st.DataObject) -> None:
    raw = bytearray(pickle.dumps(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for hostile in (bytes(raw), bytes(raw[: data.draw(st.integers(0, len(raw)))])):
        try:
            load(hostile)
        except Refused as error:
            assert error.message


class Runs:
    """What executes when an ordinary unpickler reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_execute_is_refused_and_never_run(tmp_path: Path, protocol: int) -> None:
    told = tmp_path / "it-ran"
    with pytest.raises(Refused, match="more than plain data"):
        load(pickle.dumps({"entries": [Runs(told)], "pg_config": {}}, protocol))
    assert not told.exists()


def test_objects_outside_of_the_pickle_and_its_buffers_are_refused() -> None:
    class Outside(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return "x" if value == "there" else None

    stream = io.BytesIO()
    Outside(stream).dump(["there"])
    with pytest.raises(Refused, match="outside"):
        load(stream.getvalue())


def test_a_hostile_dump_in_a_folder_is_a_note_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "nccl_trace_rank_0").write_bytes(pickle.dumps([Runs(tmp_path / "it-ran")]))
    real = Path(__file__).parent / "real"
    for rank in (1, 2):
        (tmp_path / f"nccl_trace_rank_{rank}").write_bytes((real / f"nccl_trace_rank_{rank}").read_bytes())
    found, _ = dumps.split([str(tmp_path)])
    reading = dumps.read(found)
    assert any("rank_0" in note and "posix.system" in note for note in reading.notes)
    assert reading.events[0].fields["ranks_missing"] == [1]
    assert not (tmp_path / "it-ran").exists()


def bomb(opcodes: bytes) -> bytes:
    return b"\x80\x04" + opcodes + b"."


DEEP_KEY = bomb(b"})" + b"\x85" * 2_000_000 + b"Ns")
HUGE_MEMO = bomb(b"]r\xff\xff\xff\xff")
HUGE_STRING = bomb(b"\x8e" + (1 << 40).to_bytes(8, "little") + b"x")


@pytest.mark.parametrize("data", [DEEP_KEY, HUGE_MEMO, HUGE_STRING], ids=["deep", "memo", "string"])
def test_bombs_end_their_own_process_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "memory_rank0.pickle"
    path.write_bytes(data)
    found, rest = dumps.split([str(path)])
    assert (len(found), rest) == (1, ())
    (note,) = dumps.read(found).notes
    assert "memory_rank0.pickle" in note and ("memory" in note or "crashed" in note or "broken" in note)


def test_work_that_takes_too_long_is_given_up() -> None:
    def forever() -> None:
        while True:
            os.getpid()

    with pytest.raises(RLDoctorError, match="took more than"):
        apart.run(forever, 1 << 30, "dump", seconds=0.3)


def test_the_fixture_is_what_torch_writes() -> None:
    raw = (Path(__file__).parent / "real" / "nccl_trace_rank_0").read_bytes()
    assert {op.name for op, _, _ in pickletools.genops(raw)} & {"BINPUT", "EMPTY_DICT"}
