from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rldoctor.logs import LogReading, matchers, read
from rldoctor.logs.matchers import HyperscanMatcher, Re2Matcher
from rldoctor.logs.opening import find
from rldoctor.logs.patterns import alternatives, parse
from rldoctor.logs.scanning import KEEP, scan
from rldoctor.types import RLDoctorError

KEYS = [
    "CUDA out of memory",
    "port: 2",
    "/failed \\(exitcode: -?\\d+\\)/",
    "/^Killed$/",
    "/(?i)cuda ERROR: [a-z]+/",
    "/a\\s+b/",
    "/[^x]*end$/",
    "/^(?:Aborted|Bus error)|died$/",
    "/(?P<rank>\\d+) of \\d{1,3}/",
    "größer",
    "/x{3,400}y{1,300}(?:z|w){2,200}/",
]
PIECES = [
    "CUDA out of memory",
    "cuda error: launch",
    "failed (exitcode: -9)",
    "Killed",
    "port: 29500",
    "3 of 12",
]
PIECES += [
    "a",
    "b",
    " ",
    "\t",
    "\r",
    "(W pid=1) ",
    "[rank3]:",
    "\x1b[36m",
    "xxxyyzz",
    "end",
    "Aborted",
    "died",
]
PIECES += ["größer", "\xff", "[repeated 2x across cluster]"]


def found(path: Path, kind: type) -> dict[str, list[tuple[int, bytes]]]:
    logs, _ = find([str(path)])
    patterns = parse(KEYS)
    result = scan(logs, patterns, kind(patterns), {})
    return {key: [(hit.number, hit.raw) for hit in kept.all()] for key, kept in result.kept.items()}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=8), max_size=40))
def test_both_matchers_find_the_same(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("log") / "x.log"
    path.write_bytes("\n".join("".join(row) for row in rows).encode("latin-1", "replace"))
    assert found(path, HyperscanMatcher) == found(path, Re2Matcher)


def test_both_matchers_find_the_same_in_a_long_log(tmp_path: Path) -> None:
    choose = random.Random(7)
    lines = ["".join(choose.choices(PIECES, k=choose.randrange(9))) for _ in range(60_000)]
    path = tmp_path / "long.log"
    path.write_text("\n".join(lines), encoding="utf-8")
    fast, plain = found(path, HyperscanMatcher), found(path, Re2Matcher)
    assert fast == plain
    assert all(fast.values())


def test_the_reading_is_the_same_without_hyperscan(
    reading: Callable[..., LogReading], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = (
        "2026-05-01 10:00:00,000 INFO starting\n[rank1]: Traceback (most recent call last):\n"
        '[rank1]:   File "/app/train.py", line 5, in main\n[rank1]:     run()\n'
        "[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
    )
    fast = reading(log, "run()")
    monkeypatch.setattr("rldoctor.logs.reader.build", Re2Matcher)
    plain = reading(log, "run()")
    assert (fast.hits, fast.events, fast.failures) == (plain.hits, plain.events, plain.failures)
    assert fast.events


def test_without_hyperscan_re2_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hyperscan", None)
    assert isinstance(matchers.build(parse(["x"])), Re2Matcher)


def test_anchors_mean_the_message(reading: Callable[..., LogReading]) -> None:
    log = "(W pid=3) [rank2]:Killed\nKilled process 12\n2026-01-01 10:00:00 Killed\nwas Killed\n"
    assert [hit.number for hit in reading(log, "/^Killed$/").hits["/^Killed$/"]] == [1, 3]


def test_the_last_state_of_a_progress_bar_counts(reading: Callable[..., LogReading]) -> None:
    log = "(W pid=3) gen:  1%|\rgen: 40%|\rgen: 80%|\nnext\n"
    hit = reading(log, "gen:").hits["gen:"][0]
    assert (hit.text, hit.who.pid, hit.number) == ("gen: 80%|", 3, 1)


def test_an_error_between_progress_bars_is_found(reading: Callable[..., LogReading]) -> None:
    log = "gen:  1%|\rValueError: bad sample\rgen: 80%|\n"
    assert reading(log, "bad sample").hits["bad sample"][0].text == "ValueError: bad sample"


def test_hits_are_bounded_and_counted(reading: Callable[..., LogReading]) -> None:
    reading_ = reading("".join(f"retry {n}\n" for n in range(5 * KEEP)), "retry")
    numbers = [hit.number for hit in reading_.hits["retry"]]
    assert reading_.counts["retry"] == 5 * KEEP
    assert numbers == [*range(1, KEEP + 1), *range(4 * KEEP + 1, 5 * KEEP + 1)]


def test_a_match_in_an_endless_line_is_shown_with_its_surroundings(
    reading: Callable[..., LogReading],
) -> None:
    log = "[rank4]: " + "7, " * 30_000 + "needle here" + ", 9" * 30_000 + "\n"
    hit = reading(log, "needle").hits["needle"][0]
    assert "needle here" in hit.text
    assert hit.who.rank == 4
    assert len(hit.text) < 20_000


def test_a_pattern_does_not_reach_over_lines(reading: Callable[..., LogReading]) -> None:
    assert [hit.number for hit in reading("foo\nbar\nfoo  bar\n", "/foo\\s+bar/").hits["/foo\\s+bar/"]] == [3]
    assert reading("foo\nbar\n", "/foo\\s+bar/").counts["/foo\\s+bar/"] == 0


def test_only_what_may_hold_a_line_break_is_looked_at_again() -> None:
    assert all(pattern.trusted for pattern in parse(["/a[\\x22']b/", "/x\\x7fy/", "/a.{0,9}b/", "a b"]))
    doubtful = ["/a\\x0ab/", "/a\\x{a}b/", "/a\\sb/", "/a[^x]b/", "/a[\\t-\\x22]b/", "/^a/"]
    assert not any(pattern.trusted for pattern in parse(doubtful))


@pytest.mark.parametrize("key", ["/a(?=b)/", "/(unclosed/", "/(a)\\1/"])
def test_a_pattern_that_is_not_linear_is_refused(reading: Callable[..., LogReading], key: str) -> None:
    with pytest.raises(RLDoctorError, match="not valid"):
        reading("x\n", key)


@pytest.mark.parametrize("key", ["", "/a*/", "/.*/"])
def test_a_pattern_that_is_everywhere_is_refused(reading: Callable[..., LogReading], key: str) -> None:
    with pytest.raises(RLDoctorError, match="every line"):
        reading("x\n", key)


def test_bars_in_groups_and_classes_do_not_split() -> None:
    assert alternatives(r"^a|(b|c)|[|]d|\|e") == ["^a", "(b|c)", "[|]d", r"\|e"]


def test_the_compiled_patterns_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    HyperscanMatcher(parse(["abc"]))
    files = list((tmp_path / "cache" / "rldoctor").iterdir())
    assert len(files) == 1
    monkeypatch.setattr(matchers, "_compile", lambda *_: pytest.fail("compiled again"))
    assert HyperscanMatcher(parse(["abc"])).scan(b"xx abc") == [(5, 0)]


def test_a_spoiled_cache_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matchers._looks.cache_clear()  # as another process would begin
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    HyperscanMatcher(parse(["abc"]))
    file = next((tmp_path / "cache" / "rldoctor").iterdir())
    file.write_bytes(b"spoiled" * 99)
    matchers._looks.cache_clear()
    assert HyperscanMatcher(parse(["abc"])).scan(b"abc") == [(2, 0)]


def test_without_a_place_for_the_cache_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matchers._looks.cache_clear()
    (tmp_path / "cache").write_text("a file, no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert HyperscanMatcher(parse(["abc"])).scan(b"abc") == [(2, 0)]


def test_line_numbers_over_many_chunks(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    path.write_text("".join(f"row {n}{' needle' if n % 9999 == 0 else ''}\n" for n in range(1, 200_001)))
    assert [hit.number for hit in read([str(path)], ["needle"]).hits["needle"]] == list(
        range(9999, 200_001, 9999)
    )
