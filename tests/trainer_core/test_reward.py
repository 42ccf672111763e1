from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer_core.reward import RewardProcesses, exact, find, match
from trainer_core.types import Prompt, Rollout, UserError


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield
    sys.modules.pop("bad_rewards", None)


def rollouts(*prompts: str, text: str = "x") -> list[Rollout]:
    return [
        Rollout(Prompt(i, (1,), prompt, "xy"), (2,), (0.0,), "length", 0, text=text)
        for i, prompt in enumerate(prompts)
    ]


def test_builtin_rewards() -> None:
    assert match("", "abcd", "abxd") == 0.75
    assert match("", "abcd", "ab") == 0.5
    assert match("", "abcd", "abcdefg") == 1.0
    assert match("", "", "") == 0.0
    assert (exact("", "ab", "ab"), exact("", "ab", "a")) == (1.0, 0.0)


@pytest.mark.parametrize("workers", [1, 3])
def test_scores_come_back_in_order(workers: int) -> None:
    asked = [
        Rollout(Prompt(i, (1,), "p", "abcd"), (2,), (0.0,), "length", 0, text="abcd"[: i % 5])
        for i in range(500)
    ]
    scorer = RewardProcesses("match", workers)
    scored, lost = scorer.score(asked, 5)
    scorer.close()
    assert not lost
    assert [r.reward for r in scored] == [(i % 5) / 4 for i in range(500)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("stuck", "no reward within 0.4 seconds"),
        ("dies", "the reward process died"),
        ("raises", "ValueError: not an answer"),
    ],
)
def test_a_bad_reward_loses_its_sample_and_no_other(name: str, reason: str) -> None:
    asked = rollouts("b1", "a1", "b2", "b3", "a2", "b4")
    scorer = RewardProcesses(f"bad_rewards:{name}", 1)
    scored, lost = scorer.score(asked, 0.4)
    assert [r.reward for r in scored] == [0.5, None, 0.5, 0.5, None, 0.5]
    assert [(r.prompt.text, why) for r, why in lost] == [("a1", reason), ("a2", reason)]
    again, lost = scorer.score(rollouts("b1"), 5)
    scorer.close()
    assert (again[0].reward, lost) == (0.5, [])


def test_a_reward_that_is_no_number_loses_its_sample() -> None:
    scorer = RewardProcesses("bad_rewards:no_number", 1)
    scored, lost = scorer.score(rollouts("b"), 5)
    scorer.close()
    assert scored[0].reward is None
    assert "nan" in lost[0][1]


def test_answers_larger_than_a_pipe() -> None:
    scorer = RewardProcesses("exact", 1)
    scored, lost = scorer.score(rollouts(*["p"] * 5, text="y" * 200_000), 10)
    scorer.close()
    assert [r.reward for r in scored] == [0.0] * 5 and not lost


@pytest.mark.parametrize("name", ["mach", "no_such_module:f", "bad_rewards:none"])
def test_an_unknown_reward_is_told(name: str) -> None:
    with pytest.raises(UserError, match=r"reward\.function"):
        find(name)
