from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from pathlib import Path

import pytest
import zstandard

from rldoctor.logs import opening, read
from rldoctor.logs.opening import CHUNK, find
from rldoctor.types import RLDoctorError

TEXT = (
    "".join(f"step {n} done, loss 0.{n:04d}\n" for n in range(4000))
    + "torch.OutOfMemoryError: CUDA out of memory\n"
)


def text_of(path: Path) -> bytes:
    logs, _ = find([str(path)])
    return b"".join(logs[0].chunks())


def test_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(TEXT)
    assert text_of(path).decode() == TEXT


def test_gz_members_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "train.log.gz"
    path.write_bytes(gzip.compress(TEXT.encode()) + gzip.compress(b"second\n"))
    assert text_of(path).decode() == TEXT + "second\n"


def test_zst_frames_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "train.log.zst"
    pack = zstandard.ZstdCompressor().compress
    path.write_bytes(pack(TEXT.encode()) + pack(b"second\n"))
    assert text_of(path).decode() == TEXT + "second\n"


@pytest.mark.parametrize(
    "spoil", [lambda data: data[: len(data) // 2], lambda data: data[:-400] + b"x" * 400]
)
def test_a_spoiled_gz_counts_as_far_as_it_goes(tmp_path: Path, spoil: object) -> None:
    path = tmp_path / "train.log.gz"
    path.write_bytes(spoil(gzip.compress(TEXT.encode())))  # type: ignore[operator]
    reading = read([str(path)], ["loss 0.0001"])
    assert reading.counts["loss 0.0001"] == 1
    assert 10 < reading.total_lines < 4001
    assert any("what could be read was read" in note for note in reading.notes)


def test_a_whole_gz_has_no_note(tmp_path: Path) -> None:
    path = tmp_path / "train.log.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    assert read([str(path)], []).notes == ()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "windows.log"
    path.write_bytes(TEXT.encode(encoding))
    reading = read([str(path)], ["CUDA out of memory"])
    assert reading.hits["CUDA out of memory"][0].number == 4001
    assert text_of(path).decode() == TEXT


def test_nul_holes_and_invalid_utf8_are_read_over(tmp_path: Path) -> None:
    path = tmp_path / "hole.log"
    path.write_bytes(b"\0" * 100_000 + b"before \xff\xfe loss\n" + b"boom: Killed process 12 (python)\n")
    reading = read([str(path)], ["boom"])
    assert reading.hits["boom"][0].text == "boom: Killed process 12 (python)"


@pytest.mark.parametrize(
    "data", [b"\x80\x02}q\x00.", b"PK\x03\x04rest", bytes(range(256)) * 40, b"\xfd7zXZ\x00"]
)
def test_binary_data_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "trace"
    path.write_bytes(data)
    with pytest.raises(RLDoctorError, match="no text log"):
        find([str(path)])


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(RLDoctorError, match="no such file"):
        find(["/nowhere/train.log"])


def test_an_empty_file_is_a_log_without_lines(tmp_path: Path) -> None:
    path = tmp_path / "empty.log"
    path.touch()
    assert read([str(path)], ["x"]).total_lines == 0


def test_a_folder_gives_its_logs_sorted_and_each_once(tmp_path: Path) -> None:
    for name in (
        "b/stderr.log",
        "a/0/stdout",
        "driver.out",
        "model.safetensors",
        "config.yaml",
        ".hidden.log",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("hello\n")
    (tmp_path / "core").write_bytes(b"\x7fELF\0\0")
    (tmp_path / "link.log").symlink_to(tmp_path / "driver.out")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    logs, notes = find([str(tmp_path)])
    assert [os.path.relpath(log.name, tmp_path) for log in logs] == [
        "driver.out",
        "a/0/stdout",
        "b/stderr.log",
    ]
    assert notes == ()


def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RLDoctorError, match="no log found"):
        find([str(tmp_path)])


def test_standard_input_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(TEXT.encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    reading = read(["-"], ["CUDA out of memory"])
    hit = reading.hits["CUDA out of memory"][0]
    assert (reading.subjects, hit.number) == (("-",), 4001)
    assert reading.window(hit, 2, "run")[0].text == "step 3998 done, loss 0.3998"


def test_chunks_end_at_line_ends_and_stay_small(tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    path.write_bytes(b"0123456789abcdef\n" * 300_000 + b"x" * (5 * CHUNK) + b"\nlast line")
    sizes, joined = [], 0
    logs, _ = find([str(path)])
    for chunk in logs[0].chunks():
        sizes.append(len(chunk))
        joined += len(chunk)
    assert max(sizes) <= 2 * CHUNK
    assert joined == path.stat().st_size


def test_lines_behind_an_endless_one_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "endless.log"
    path.write_bytes(b"first\n" + b"x" * (3 * CHUNK) + b" needle " + b"y" * CHUNK + b"\nafter needle\n")
    reading = read([str(path)], ["needle"])
    assert {hit.number for hit in reading.hits["needle"]} == {2, 3}
    assert all(len(hit.text) < 20_000 for hit in reading.hits["needle"])
    assert reading.total_lines == 3


@pytest.mark.parametrize("suffix", [".log", ".log.gz"])
def test_parts_are_read_again_in_any_order(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"long{suffix}"
    data = "".join(f"line number {n} of the log\n" for n in range(1, 150_001)).encode()
    path.write_bytes(gzip.compress(data, 1) if suffix.endswith("gz") else data)
    reading = read([str(path)], ["/number (?:140000|70000|3) /"])
    for hit in sorted(reading.hits["/number (?:140000|70000|3) /"], key=lambda hit: -hit.number):
        around = reading.window(hit, 2, "run")
        assert [line.number for line in around] == list(range(hit.number - 2, hit.number + 3))
        assert all(line.text == f"line number {line.number} of the log" for line in around)


def test_a_pipe_is_read_once_and_kept(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"step 1\nCUDA out of memory\n" * 20_000,))
    writer.start()
    reading = read([str(pipe)], ["CUDA out of memory"])
    writer.join()
    assert (reading.subjects, reading.total_lines) == ((str(pipe),), 40_000)
    assert reading.hits["CUDA out of memory"][-1].text == "CUDA out of memory"


def test_a_device_is_no_log() -> None:
    with pytest.raises(RLDoctorError, match="neither a file nor a folder"):
        read(["/dev/null"], ["x"])


def test_the_end_of_a_large_packed_log_is_not_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "LARGE", 1)
    path = tmp_path / "run.log.gz"
    path.write_bytes(gzip.compress(TEXT.encode() * 20))
    (log,), _ = find([str(path)])
    whole = b"".join(log.chunks())
    assert len(whole) > 3 * CHUNK
    monkeypatch.setattr(opening, "decode", None)  # to unpack anything would fail
    assert log.forward().take(len(whole) - 100, len(whole)) == whole[-100:]
    assert log.end_from(0) is None


@pytest.mark.parametrize("whole", [True, False])
def test_unpacking_ahead_gives_the_same_text_and_the_same_notes(
    whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.log.gz"
    packed = gzip.compress(TEXT.encode() * 20)
    path.write_bytes(packed if whole else packed[: len(packed) // 2])
    (plain,), _ = find([str(path)])
    text = b"".join(plain.chunks())
    monkeypatch.setattr(opening, "LARGE", 1)
    (ahead,), _ = find([str(path)])
    assert b"".join(ahead.chunks()) == text
    assert ahead.notes == plain.notes
    assert bool(plain.notes) is not whole


def test_a_reader_that_stops_leaves_no_thread_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LARGE", 1)
    path = tmp_path / "run.log.gz"
    path.write_bytes(gzip.compress(TEXT.encode() * 20))
    (log,), _ = find([str(path)])
    before = threading.active_count()
    chunks = log.chunks()
    next(chunks)
    assert threading.active_count() > before
    chunks.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


PAGE = (
    "Traceback (most recent call last):\n  File &quot;/app/train.py&quot;, line 3, in &lt;module&gt;\n"
    "    a &amp;&amp; b\nKeyError: &#39;prompt&#39;\n"
)


def test_the_source_of_a_page_is_read_as_what_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "page.txt"
    path.write_text(PAGE)
    assert text_of(path).decode().splitlines()[1:] == [
        '  File "/app/train.py", line 3, in <module>',
        "    a && b",
        "KeyError: 'prompt'",
    ]
    (failure,) = read([str(path)], []).failures
    assert failure.line.text == "KeyError: 'prompt'"


def test_an_entity_may_be_cut_by_the_end_of_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "page.txt"
    path.write_text(("x" * 61 + "&lt;a&gt;\n") * 20_000)
    assert text_of(path).decode() == ("x" * 61 + "<a>\n") * 20_000


def test_a_log_that_speaks_of_entities_stays_as_it_is(tmp_path: Path) -> None:
    text = "answer: <b>1 &lt; 2 &lt; 3 &lt; 4</b>\nurl: ?a=1&b=2&c=3&d=4\n"
    path = tmp_path / "train.log"
    path.write_text(text)
    assert text_of(path).decode() == text
