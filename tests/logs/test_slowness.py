# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from collections.abc import Callable

import pytest

from rldoctor.logs import LogReading
from rldoctor.types import Event

Read = Callable[..., LogReading]
TIMES = (
    "step:4 - timing_s/gen:40.0 - timing_s/update_actor:6.0 - timing_s/old_log_prob:4.0 - timing_s/step:52.0"
)
STATE = "INFO 09-26 11:35:{0} metrics.py:351] Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: {1} tokens/s, Running: {2} reqs, Swapped: 0 reqs\n"


def slow(result: LogReading) -> list[Event]:
    return [
        event for event in result.events if event.kind == "complaint" and event.fields["about"] == "speed"
    ]


def states(*made: tuple[float, int]) -> str:
    return "".join(STATE.format(10 + at, rate, running) for at, (rate, running) in enumerate(made))


def test_slow_steps_show_the_phase_that_takes_most(reading: Read) -> None:
    (event,) = slow(reading(f"Each step is very slow, what can I do?\n```\n{TIMES}\n```\n"))
    assert event.fields == {"about": "speed", "way": "slow", "phase": "rollout", "share": 0.8}
    assert event.lines[0].number == 3


def test_times_in_lines_of_their_own_are_one_step(reading: Read) -> None:
    times = "timing_s/step:    91.5\ntiming_s/gen:    20.1  (22%)\ntiming_s/update_actor:   66.3\n"
    (event,) = slow(reading(f"The training is too slow for us.\nWhat takes the time?\n```\n{times}```\n"))
    assert event.fields["phase"] == "train"
    assert event.lines[0].text.startswith("timing_s/update_actor")


def test_an_engine_shows_how_slow_it_is_where_somebody_says_so(reading: Read) -> None:
    log = states((41.0, 4), (39.5, 4))
    (event,) = slow(reading(f"The throughput seems to be low, why is that?\n```\n{log}```\n"))
    assert (event.fields["phase"], event.lines[0].number) == ("rollout", 4)
    assert slow(reading(log)) == []


def test_an_engine_that_crawls_needs_no_words(reading: Read) -> None:
    (event,) = slow(reading(states((0.8, 1), (0.9, 1), (0.8, 1))))
    assert event.fields["seen"] is True
    assert slow(reading(states((300.0, 40), (0.8, 1), (0.9, 0), (0.0, 0)))) == []


@pytest.mark.parametrize(
    ("sentence", "phase"),
    [
        ("I run train.sh as it is, and found that the rollout is extremely slow", "rollout"),
        ("In PPO the generation speed is very slow, training is fast", "rollout"),
        ("每次保存都太慢，请问怎么解决", "checkpoint"),
        ("it is much slower than before to update the actor weights", "train"),
    ],
)
def test_words_alone_name_the_phase(reading: Read, sentence: str, phase: str) -> None:
    (event,) = slow(reading(f"{sentence}\n```\nexport A=1\n```\n"))
    assert event.fields["phase"] == phase


def test_a_little_slow_in_words_alone_is_nothing(reading: Read) -> None:
    assert slow(reading("I think the training may be slow here, or is it not?\n```\nexport A=1\n```\n")) == []


def test_a_bar_shows_what_a_person_calls_slow(reading: Read) -> None:
    step = "{'loss': 0.0, 'grad_norm': 0.2, 'reward': 0.1, 'reward_std': 0.1, 'completion_length': 820.0}\n"
    bar = "  0%|          | 1/1000 [04:41<78:02:42, 281.24s/it]\n"
    (event,) = slow(reading(f"{step}{bar}\nI get a training time of 78 hours, is this normal?\n"))
    assert (event.fields["phase"], event.lines[0].number) == ("rollout", 2)
    assert not slow(reading(f"{step}{bar}"))
    assert not slow(reading(f"{step}{bar.replace('281', '2')}\nIt takes 3 hours in all, is this normal?\n"))


def test_a_save_of_hours_is_slow_whoever_looks(reading: Read) -> None:
    step = "step:{} - timing_s/gen:410.2 - timing_s/update_actor:510.2 - timing_s/save_checkpoint:{} - timing_s/step:1.0\n"
    (event,) = slow(reading(step.format(40, 10480.2)))
    assert (event.fields["phase"], event.fields["share"]) == ("checkpoint", 0.92)
    assert not slow(reading(step.format(40, 910.2)))
    assert not slow(reading(step.format(40, 10480.2) + step.format(80, 91.2)))
