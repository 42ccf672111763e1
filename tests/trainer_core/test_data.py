from __future__ import annotations

from pathlib import Path

import pytest

from trainer_core.config import Config, DataConfig
from trainer_core.data import ByteTokenizer, PromptStream, questions, tokenizer
from trainer_core.types import UserError

WORDS = ByteTokenizer()


def stream(config: DataConfig) -> PromptStream:
    return PromptStream(config, questions(config), WORDS)


def test_bytes_go_there_and_back() -> None:
    assert WORDS.decode([*WORDS.encode("héß😀"), 257, 256]) == "héß😀"
    assert WORDS.decode([0xC3]) == "\ufffd"
    assert isinstance(tokenizer(Config()), ByteTokenizer)


def test_tasks_have_right_answers() -> None:
    assert all(q == a for q, a in questions(DataConfig(prompts=20)))
    pairs = questions(DataConfig(prompts=20, task="sort", alphabet="xyz", prompt_length=4))
    assert all("".join(sorted(q)) == a and len(q) == 4 and set(q) <= set("xyz") for q, a in pairs)


def test_a_stream_goes_on_where_it_stopped() -> None:
    config = DataConfig(prompts=7)
    whole = stream(config).take(30)
    part = stream(config)
    first = part.take(11)
    resumed = stream(config)
    resumed.position = part.position
    assert first + resumed.take(19) == whole


def test_each_epoch_has_all_prompts_in_another_order() -> None:
    one, two = (stream(DataConfig(prompts=50)).take(100)[a : a + 50] for a in (0, 50))
    assert sorted(p.text for p in one) == sorted(p.text for p in two)
    assert [p.text for p in one] != [p.text for p in two]
    assert len({p.index for p in one + two}) == 100


def test_another_seed_gives_other_prompts() -> None:
    assert stream(DataConfig(seed=1)).take(5) != stream(DataConfig(seed=2)).take(5)


def test_a_file_of_questions(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"prompt": "1+1", "answer": 2}\n\n{"prompt": "a", "answer": "b", "more": 1}\n')
    assert questions(DataConfig(path=str(file))) == [("1+1", "2"), ("a", "b")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no prompts"),
        ("\n\n", "no prompts"),
        ('{"prompt": "a", "answer": "b"}\n{oops\n', ":2: not JSON"),
        ('{"prompt": "a"}\n', ":1: expected"),
        ('{"prompt": "", "answer": "b"}\n', ":1: expected"),
        ("[1]\n", ":1: expected"),
        ("[" * 100_000, ":1: not JSON"),
    ],
)
def test_a_bad_file_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match=words):
        questions(DataConfig(path=str(file)))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        questions(DataConfig(path=str(tmp_path / "none")))
