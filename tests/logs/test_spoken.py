from __future__ import annotations

from collections.abc import Callable

import pytest

from rldoctor.logs import LogReading
from rldoctor.logs.detect.spoken import complaints
from rldoctor.types import Event

Read = Callable[..., LogReading]
STEPS = "".join(
    f"step:{n} - actor/grad_norm:0.3 - critic/rewards/mean:{0.6 - n / 20:.2f}\n" for n in range(1, 5)
)


def told(result: LogReading) -> list[Event]:
    return [event for event in result.events if event.kind == "complaint"]


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("After 80 steps the reward drops and never comes back", [("reward", "down")]),
        ("the mean_reward per epoch (it ought to increase) gradually goes down", [("reward", "down")]),
        ("Why doesn't my reward go up?", [("reward", "flat")]),
        ("训练了两天reward一直不上升", [("reward", "flat")]),
        ("all rewards stay at `0`, and I see no error", [("reward", "zero")]),
        ("grad_norm突然爆炸", [("grad", "up")]),
        ("a sudden explosion of the gradient norm", [("grad", "up")]),
        ("completion_length 越训越短", [("length", "down")]),
        ("reward不断上升，请问正常吗", []),
        ("GPU memory keeps increasing from step to step", [("memory", "up")]),
        ("训练过程中内存不断增长", [("memory", "up")]),
        ("we have enough memory, and the reward is fine", []),
        ("the return rises rapidly but the eval results decrease significantly", [("reward", "down")]),
        ("训练结果不正常（completions/clipped_ratio 长期为1.0）", [("length", "up")]),
        ("the clip_ratio is always 0.1, is this correct?", []),
        ("训练能够跑起来，但发现grad_norm特别大", [("grad", "up")]),
        ("the KL loss keeps growing while the score improves", [("kl", "up")]),
        ("entropy collapse after fifty steps", [("entropy", "down")]),
        ("completions get cut as the response length becomes much longer", [("length", "up")]),
        ("the training loss does not decrease", [("loss", "flat")]),
        ("with DPO, the loss did not seem to get low?", [("loss", "flat")]),
        ("Loss was decreasing but after 40k iterations it got spiked", [("loss", "up")]),
        ("the reward increased at first, but then it dropped to nothing", [("reward", "down")]),
        ("断点续训后发现critic/score/mean出现一个骤降", [("reward", "down")]),
    ],
)
def test_what_is_bad_for_a_number_is_heard(sentence: str, said: list[tuple[str, str]]) -> None:
    assert list(complaints(sentence)) == said


@pytest.mark.parametrize(
    "sentence",
    [
        "the reward increases steadily and the loss decreases",
        "My reward function ranges from 0 (bad) to 1 (good)",
        "the reward is between 0 and 1",
        "reward_std is 0 here, the reward itself is 0.7",
        "I wonder about the trend of the reward, especially the response length",
        "the KL divergence is shown in blue",
        "the reward rises, then the length of prompts is cut",
    ],
)
def test_what_is_good_or_only_named_is_none(sentence: str) -> None:
    assert list(complaints(sentence)) == []


def test_a_complaint_shows_the_sentence_and_the_last_and_first_step(reading: Read) -> None:
    (event,) = told(reading(f"The reward drops from the first step on. Why?\n```\n{STEPS}```\n"))
    assert (event.fields["about"], event.fields["way"]) == ("reward", "down")
    assert [line.number for line in event.lines] == [1, 6, 3]


def test_words_within_the_fence_are_a_programs(reading: Read) -> None:
    text = f"What I see:\n```\n{STEPS}[answer] I think that the reward drops because we wait.\n```\n"
    assert told(reading(text)) == []


def test_a_failure_says_more_than_its_reporter(reading: Read) -> None:
    failed = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\nValueError: bad\n'
    assert told(reading(f"Then the reward drops. Why?\n```\n{STEPS}{failed}```\n")) == []


def test_the_loss_of_reinforcement_learning_may_rise(reading: Read) -> None:
    rl = "{'loss': 0.01, 'reward': 0.4, 'kl': 0.01}\n{'loss': 0.02, 'reward': 0.5, 'kl': 0.02}\n"
    sft = "{'loss': 1.01, 'grad_norm': 0.4}\n{'loss': 1.92, 'grad_norm': 0.5}\n"
    assert told(reading(f"Why does the loss increase here?\n```\n{rl}```\n")) == []
    assert [e.fields["way"] for e in told(reading(f"Why does the loss increase here?\n```\n{sft}```\n"))] == [
        "up"
    ]


def test_a_run_that_collapses_is_heard_where_no_number_is_named(reading: Read) -> None:
    page = "I use the new one.\n\nHowever, on both nodes the whole experiment exploded at about step 160.\n"
    (event,) = told(reading(page))
    assert (event.fields["about"], event.lines[0].number) == ("reward", 3)


def test_what_passes_is_no_complaint(reading: Read) -> None:
    page = f"I see that the KL gets extremely high at some steps, and is normal then.\n```\n{STEPS}```\n"
    assert told(reading(page)) == []


def test_the_first_line_of_a_page_may_be_its_title(reading: Read) -> None:
    title = "process: ppo_actor/final_reward/avg & no_eos_ratios/avg do not increase\n"
    (event,) = told(reading(f"{title}\nWhat could be the reason?\n"))
    assert (event.fields["about"], event.fields["way"]) == ("reward", "flat")
    assert not told(reading(f"Loading the model\n{title}{STEPS}{STEPS}{STEPS}"))


@pytest.mark.parametrize(
    "sentence",
    [
        "After the first weight sync the rollout output turns into gibberish.",
        "The model generates only garbage like !!!!!!!! after step 40, why?",
        "模型输出全是感叹号!!!!!!，是什么原因？",
    ],
)
def test_answers_that_are_garbled(reading: Read, sentence: str) -> None:
    events = told(reading(f"{sentence}\n```\n{STEPS}```\n"))
    assert ("output", "garbled") in [(event.fields["about"], event.fields["way"]) for event in events]


def test_garbage_that_is_collected_is_no_answer(reading: Read) -> None:
    page = "The garbage collection takes long, what can I do about that?\n```\n" + STEPS + "```\n"
    assert not [event for event in told(reading(page)) if event.fields["about"] == "output"]


def test_without_numbers_further_sentences_show_the_same(reading: Read) -> None:
    page = (
        "What makes the reward drop to nothing?\n\nI train on one node, with the settings of the example.\n\n"
        "Why does the reward drop while the loss looks well?\n"
    )
    (event,) = told(reading(page))
    assert [line.number for line in event.lines] == [1, 5]
