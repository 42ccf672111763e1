"""From the bytes on disk to UTF-8 text: gz, zst, UTF-16; of what is broken counts what can be read."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any, Final

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
MAGIC: Final = {
    b"\x7fELF": "a program",
    b"PK\x03\x04": "a zip archive or torch checkpoint",
    b"\x89PNG": "an image",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"BZh": "bzip2: unpack it first",
    b"\xfd7zXZ": "xz: unpack it first",
    b"PAR1": "a parquet file",
}
ENTITIES: Final = {
    b"&lt;": b"<",
    b"&gt;": b">",
    b"&quot;": b'"',
    b"&#34;": b'"',
    b"&#39;": b"'",
    b"&#x27;": b"'",
    b"&nbsp;": b" ",
    b"&amp;": b"&",
}  # how pages write what means something to them; the ampersand itself comes last
FEWEST_ENTITIES: Final = 3
SNIFF: Final = 8192
PACKED: Final = 1 << 16  # bytes at a time: what the unpacker has not used yet is copied for each piece
CONTROL: Final = bytes(b for b in range(1, 32) if b not in b"\t\n\r\x1b\x08\x0c\x07")


class Binary(Exception):
    """The data is no text."""


def decode(raw: IO[bytes], size: int, notes: list[str], ahead: bool = False) -> Iterator[bytes]:
    """Yield UTF-8 text (or bytes that nearly are) in pieces of about ``size``; raises Binary at the first.

    ``ahead`` unpacks the next piece while the caller looks at the one before it.
    """
    head = raw.read(4)
    raw.seek(0)
    if head.startswith((GZIP, ZSTD)):
        unpack = _gunzip if head.startswith(GZIP) else _unzstd
        pieces = unpack(raw, size, notes)
        pieces = _ahead(pieces) if ahead else pieces
    else:
        pieces = iter(lambda: raw.read(size), b"")
    first = next(pieces, b"")
    encoding = _utf16(first)
    if encoding:
        yield from _from_utf16(first, pieces, encoding)
        return
    if _looks_binary(first):
        raise Binary
    if _is_of_a_page(first):
        yield from _unescaped(first.removeprefix(codecs.BOM_UTF8), pieces)
        return
    yield first.removeprefix(codecs.BOM_UTF8)
    yield from pieces


def is_plain(raw: IO[bytes]) -> bool:
    """Say whether offsets in the text are offsets in the file."""
    raw.seek(0)
    head = raw.read(SNIFF)
    raw.seek(0)
    return (
        not head.startswith((GZIP, ZSTD, codecs.BOM_UTF8))
        and _utf16(head) is None
        and not _is_of_a_page(head)
    )


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces while a thread makes the next one: neither unpackers nor matchers hold Python's lock."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = pool.submit(next, pieces, None)
            yield piece


def _gunzip(raw: IO[bytes], size: int, notes: list[str]) -> Iterator[bytes]:
    """Unpack gzip members one after the other; a cut or broken file gives what can be read."""
    from isal import isal_zlib

    unpacker = isal_zlib.decompressobj(wbits=31)
    packed = raw.read(PACKED)
    while packed:
        try:
            data = unpacker.decompress(packed, size)
        except isal_zlib.error as error:  # type: ignore[misc]
            notes.append(f"the gzip data is broken ({error}); what could be read was read")
            return
        if data:
            yield data
        packed = unpacker.unconsumed_tail
        if unpacker.eof:
            packed = unpacker.unused_data.lstrip(b"\0") or raw.read(PACKED)
            if not packed:
                return
            unpacker = isal_zlib.decompressobj(wbits=31)
        packed = packed or raw.read(PACKED)
    yield from _rest(unpacker, size)
    notes.append("the gzip file is cut off; what could be read was read")


def _rest(unpacker: Any, size: int) -> Iterator[bytes]:
    """Yield what an unpacker still holds when its input has ended."""
    while data := unpacker.decompress(b"", size):
        yield data


def _unzstd(raw: IO[bytes], size: int, notes: list[str]) -> Iterator[bytes]:
    import zstandard

    promised, given = _promised(raw), 0
    reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    while True:
        try:
            data = reader.read(size)
        except zstandard.ZstdError as error:
            notes.append(f"the zstd data is broken ({error}); what could be read was read")
            return
        if not data:
            break
        given += len(data)
        yield data
    if given < promised:
        notes.append("the zstd file is cut off; what could be read was read")


def _promised(raw: IO[bytes]) -> int:
    """Return how many bytes the first frame says it holds, 0 where it does not say."""
    import zstandard

    head = raw.read(32)
    raw.seek(0)
    try:
        return max(0, zstandard.frame_content_size(head))
    except zstandard.ZstdError:  # too short to be a header; reading it tells
        return 0


def _utf16(head: bytes) -> str | None:
    """Return the UTF-16 flavour of the text, from its mark or from where its NULs stand."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sample = head[:SNIFF]
    if len(sample) < 16 or not sample.strip(b"\0"):
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    if even > 0.7 * half and odd < 0.1 * half:
        return "utf-16-be"
    return None


def _from_utf16(first: bytes, pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    yield decoder.decode(first).encode("utf-8", "replace")
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "replace")
    tail = decoder.decode(b"", final=True).encode("utf-8", "replace")
    if tail:
        yield tail


def _is_of_a_page(head: bytes) -> bool:
    """Say whether a text was taken from a page's source: its quotes and brackets are entities throughout."""
    sample = head[:SNIFF]
    if sample.count(b"&") < FEWEST_ENTITIES or sum(map(sample.count, ENTITIES)) < FEWEST_ENTITIES:
        return False
    brackets = b"&lt;" in sample or b"&gt;" in sample
    return not (b"<" in sample or b">" in sample if brackets else b'"' in sample and b"'" in sample)


def _unescaped(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a page's text as it was before it was put there; an entity may be cut by the end of a piece."""
    carry = b""
    for piece in chain((first,), pieces):
        data = carry + piece
        cut = data.rfind(b"&", max(0, len(data) - 6))
        whole = cut < 0 or b";" in data[cut:]
        data, carry = (data, b"") if whole else (data[:cut], data[cut:])
        for entity, text in ENTITIES.items():
            data = data.replace(entity, text)
        yield data
    if carry:
        yield carry


def _looks_binary(head: bytes) -> bool:
    """Say whether control characters are too many for a text; NULs alone are holes of a log."""
    sample = head[:SNIFF].replace(b"\0", b"")
    if not sample:
        return False
    controls = len(sample) - len(sample.translate(None, CONTROL))
    return controls > 0.05 * len(sample)
