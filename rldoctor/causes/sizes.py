"""What two numbers that should be equal say about why they are not."""

from __future__ import annotations

import math
import re
from typing import Final

_PAIRS: Final = (
    r"size of tensor a \((?P<a1>\d+)\) must match the size of tensor b \((?P<b1>\d+)\)"
    r"|Expected size (?P<a2>\d+) but got size (?P<b2>\d+)"
    r"|cannot be multiplied \(\d+x(?P<a3>\d+) and (?P<b3>\d+)x\d+\)"
    r"|The expanded size of the tensor \((?P<a4>\d+)\) must match the existing size \((?P<b4>\d+)\)"
)
_SHAPE: Final = r"shape '\[(?P<shape>\d+(?:, \d+)*)\]' is invalid for input of size (?P<size>\d+)"
_ROWS: Final = r"input batch_size \((\d+)\) to match target batch_size \((\d+)\)"
MOST_TIMES: Final = 64
MOST_OUTPUTS: Final = 9
MOST_APART: Final = 2
LEAST_WORDS: Final = 30_000  # entries of a vocabulary
LEAST_TOKENS: Final = 16
PADDED_BY: Final = 2048


def compared(message: str) -> str | None:
    """Return what the two sizes of a message tell of their cause, None if they tell nothing."""
    rows = re.search(_ROWS, message)
    if rows is not None:
        return _of_rows(int(rows[1]), int(rows[2]))
    shape = re.search(_SHAPE, message)
    if shape is not None:
        return _of_shape(math.prod(map(int, shape["shape"].split(", "))), int(shape["size"]))
    found = re.search(_PAIRS, message)
    if found is None:
        return None
    one, other = sorted(int(number) for number in found.groups() if number is not None)
    return _of_sizes(one, other)


def _of_rows(given: int, wanted: int) -> str | None:
    if not wanted or given % wanted or given == wanted:
        return None
    return (
        f"Each row of labels gets {given // wanted} rows of outputs: give the classification head as many "
        "outputs as num_labels says (num_labels, problem_type; a reward model's head has one), and the model "
        "its pad token"
    )


def _of_shape(wanted: int, given: int) -> str | None:
    """Return what a tensor tells whose numbers are a part of those that its new shape has."""
    small, large = sorted((wanted, given))
    times, rest = divmod(large, small) if small else (0, 0)
    if rest or not 2 <= times <= MOST_TIMES:
        return None
    much = f"{times} times as much as" if given == large else f"1/{times} of what"
    return (
        f"The tensor has {much} the shape takes: heads of keys and values that are fewer than those of "
        f"queries, heads that are split over {times} ranks (tensor or sequence parallel), or a head size "
        "that the configuration gives otherwise (head_dim, kv_channels, num_key_value_heads)"
    )


def _of_sizes(small: int, large: int) -> str | None:
    """Return what a smaller and a larger size tell."""
    if small == 0:
        return (
            "One side is empty: a parameter that ZeRO-3 or FSDP keeps on other ranks (use it inside of its "
            "module's forward or under GatheredParameters, or take ZeRO-2), or a batch of which nothing is "
            "left"
        )
    if small >= LEAST_WORDS and large - small <= PADDED_BY:
        return (
            "They are sizes of a vocabulary, with padding or added tokens on one side alone: "
            "resize_token_embeddings, --make-vocab-size-divisible-by, the tokenizer that belongs to these "
            "weights"
        )
    if 2 <= small <= MOST_OUTPUTS and large >= LEAST_TOKENS:
        return (
            f"{small} looks like the outputs of a classification head: load reward and value models with a "
            "scalar one (num_labels=1)"
        )
    if small > MOST_OUTPUTS and large - small <= MOST_APART:
        return (
            f"They differ by {large - small}: a special token, the shift of labels, or the answer's "
            "last token that one side counts"
        )
    times, rest = divmod(large, small) if small > MOST_OUTPUTS else (0, 0)
    if rest or not 2 <= times <= MOST_TIMES:
        return None
    return (
        f"One is {times} times the other: it is split or repeated {times} times on one side alone (sequence, "
        "context or tensor parallel size, answers of a prompt, images or rows of a micro-batch); try that "
        "setting at 1"
    )
