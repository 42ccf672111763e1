"""Data: prompts in an order that is a function of seed and position alone, so that a run resumes exactly."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from trainer_core.config import Config, DataConfig
from trainer_core.types import Prompt, UserError

END_TOKEN = 257


class Tokenizer(Protocol):
    """Text to tokens and back."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of tokens; special ones have none."""


class ByteTokenizer:
    """A token a byte; 256 pads, 257 ends, 258 begins."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the text's UTF-8 bytes."""
        return tuple(text.encode())

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of the bytes among the tokens."""
        return bytes(token for token in token_ids if token < 256).decode(errors="replace")


class FileTokenizer:
    """The tokenizer that a model's folder brings."""

    def __init__(self, path: Path) -> None:
        import tokenizers

        self._inner = tokenizers.Tokenizer.from_file(str(path))

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text, without special ones."""
        return tuple(self._inner.encode(text, add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text, without special tokens."""
        return str(self._inner.decode(list(token_ids), skip_special_tokens=True))


def tokenizer(config: Config) -> Tokenizer:
    """Return the model's own tokenizer, or bytes where it has none."""
    own = Path(config.model.path, "tokenizer.json") if config.model.path else None
    return FileTokenizer(own) if own and own.is_file() else ByteTokenizer()


def questions(config: DataConfig) -> list[tuple[str, str]]:
    """Return all pairs of prompt and answer, or raise UserError where there are none."""
    pairs = _from_file(Path(config.path)) if config.path else _generated(config)
    if not pairs:
        raise UserError(f"{config.path}: no prompts in it")
    return pairs


def _generated(config: DataConfig) -> list[tuple[str, str]]:
    source = random.Random(config.seed)
    texts = ["".join(source.choices(config.alphabet, k=config.prompt_length)) for _ in range(config.prompts)]
    if config.task == "sort":
        return [(text, "".join(sorted(text))) for text in texts]
    return [(text, text) for text in texts]


def _from_file(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        raise UserError(f"data.path: {path}: no such file")
    pairs = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                pairs.append(_pair(line, f"{path}:{number}"))
    return pairs


def _pair(line: str, place: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{place}: not JSON: {error}") from error
    if not isinstance(row, dict) or not row.get("prompt") or "answer" not in row:
        raise UserError(f'{place}: expected {{"prompt": …, "answer": …}} with a prompt that is not empty')
    return str(row["prompt"]), str(row["answer"])


class PromptStream:
    """Prompts for ever, each epoch in an order of its own; ``position`` counts those taken."""

    def __init__(self, config: DataConfig, pairs: Sequence[tuple[str, str]], words: Tokenizer) -> None:
        self.position = 0
        self._seed, self._pairs, self._words = config.seed, pairs, words
        self._epoch, self._order = -1, list(range(len(pairs)))

    def take(self, count: int) -> list[Prompt]:
        """Return the next prompts and move on."""
        first, self.position = self.position, self.position + count
        return [self._at(position) for position in range(first, first + count)]

    def _at(self, position: int) -> Prompt:
        epoch, place = divmod(position, len(self._pairs))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, list(range(len(self._pairs)))
            random.Random(f"{self._seed}:{epoch}").shuffle(self._order)
        text, answer = self._pairs[self._order[place]]
        return Prompt(position, self._words.encode(text), text, answer)
