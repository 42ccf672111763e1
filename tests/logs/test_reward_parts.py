from __future__ import annotations

from collections.abc import Callable

from rldoctor.logs import LogReading
from rldoctor.types import Event

Read = Callable[..., LogReading]


def steps(number: int, **parts: list[float]) -> str:
    return "".join(
        "{'loss': 0.01, 'grad_norm': 0.3, "
        + "".join(f"'rewards/{name}/mean': {values[n % len(values)]}, " for name, values in parts.items())
        + f"'reward': {0.1 + n / 50}, 'reward_std': 0.2, 'completions/mean_length': 300.0}}\n"
        for n in range(number)
    )


def constant(result: LogReading) -> list[Event]:
    return [event for event in result.events if event.kind == "reward_part_constant"]


def test_a_part_that_never_moves_is_named(reading: Read) -> None:
    (event,) = constant(reading(steps(9, accuracy_reward=[0.0], format_reward=[0.1, 0.2, 0.3])))
    assert (event.fields["name"], event.fields["value"], event.fields["steps"]) == ("accuracy_reward", 0.0, 9)


def test_few_steps_tell_nothing(reading: Read) -> None:
    assert not constant(reading(steps(4, accuracy_reward=[0.0], format_reward=[0.1, 0.2])))


def test_where_no_part_moves_it_is_the_whole(reading: Read) -> None:
    assert not constant(reading(steps(9, accuracy_reward=[0.0], format_reward=[0.1])))


def test_what_is_deducted_may_never_be(reading: Read) -> None:
    assert not constant(reading(steps(9, repetition_penalty=[0.0], format_reward=[0.1, 0.2])))
