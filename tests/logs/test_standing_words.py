# ruff: noqa: E501  lines of logs are long
from __future__ import annotations

from collections.abc import Callable

import pytest

from rldoctor.logs import LogReading
from rldoctor.types import Event

Read = Callable[..., LogReading]


def standing(result: LogReading) -> list[Event]:
    return [event for event in result.events if event.kind == "standstill"]


def test_the_line_that_a_person_quotes_is_where_it_stands(reading: Read) -> None:
    page = (
        "My run gets stuck at `Loading extension module fused_adam`, nothing fails.\n\n"
        "Detected CUDA files\nLoading extension module fused_adam...\nall ranks have loaded their data\n\n"
        "These are the versions:\n\n1. torch: 2.6.0\n"
    )
    (event,) = standing(reading(page))
    assert event.fields["what"] == "extensions"
    assert event.lines[0].text.startswith("Loading extension module")


def test_what_is_under_way_may_stand_a_few_lines_above_the_last(reading: Read) -> None:
    page = (
        "一直卡在这里，没有反应\n```\nBuilding extension module fused_adam...\n"
        "Allowing ninja to set a default number of workers...\n```\n"
    )
    (event,) = standing(reading(page))
    assert event.fields["what"] == "extensions"
    assert [line.text[:8] for line in event.lines[:2]] == ["Allowing", "Building"]


@pytest.mark.parametrize(
    ("sentence", "what"),
    [
        ("It hangs while saving the model.", "saving"),
        ("The weight sync hangs after the second step.", "sync"),
        ("It is stuck in the dataloader.", "data"),
        ("训练卡在采样这里不动了", "rollout"),
        ("It hangs, and I do not know where.", "silence"),
    ],
)
def test_a_person_says_what_stands(reading: Read, sentence: str, what: str) -> None:
    page = f"{sentence}\n```\n{{'loss': 0.4, 'grad_norm': 1.2}}\nrank 0 has 310 parameters\n```\n"
    (event,) = standing(reading(page))
    assert event.fields["what"] == what


def test_code_within_a_sentence_makes_it_no_line_of_a_log(reading: Read) -> None:
    page = (
        "With `weight_update_mode=disk` my training hangs for ever in the rollout.\n```\n"
        "(AReaL) Cleared 384 batch shards\n```\n"
    )
    (event,) = standing(reading(page))
    assert event.fields["what"] == "rollout"


def test_a_person_may_point_at_what_follows_though_its_bar_is_full(reading: Read) -> None:
    bar = "100%|##########| 80000/80000 [00:08<00:00, 9610.12it/s]\n"
    (event,) = standing(reading(f"The run hangs, there is no further output after this:\n```\n{bar}```\n"))
    assert event.lines[0].text.startswith("100%")


def test_a_bar_that_moves_as_fast_as_the_one_before_stands_not(reading: Read) -> None:
    full = "Generating rollouts (train): 100%|##########| 128/128 [00:07<00:00, 17.17it/s]\n"
    part = "Generating rollouts (train):  88%|########  | 112/128 [{}<00:01, 14.10it/s]\n"
    assert standing(reading(full + part.format("00:06"))) == []
    assert standing(reading(full + part.format("10:06"))) != []
    assert standing(reading(part.format("00:06"))) != []


def test_a_person_knows_better_than_the_times_between_signs_of_life(reading: Read) -> None:
    page = (
        "The job is stuck at hitting the following endpoint\n```\n"
        "(RolloutRayActor pid=35) [2025-08-05 12:15:16] INFO:     Application startup complete.\n"
        '(RolloutRayActor pid=35) [2025-08-05 12:15:27] INFO:     127.0.0.1:51012 - "GET /health HTTP/1.1" 200 OK\n```\n'
    )
    (event,) = standing(reading(page))
    assert event.fields == {"what": "engine", "phase": "start"}


def test_a_sentence_that_quotes_a_sign_of_life_is_none(reading: Read) -> None:
    state = "Avg generation throughput: 5.4 tokens/s, Running: 1 reqs, Waiting: 14 reqs, GPU KV cache usage: 76.5%"
    page = (
        "The log shows **Running: 1 reqs, Waiting: 14 reqs** for an hour, the engine seems to hang.\n```\n"
        f"(APIServer pid=851) INFO 04-28 22:54:32 [loggers.py:257] Engine 000: {state}\n"
        '(APIServer pid=851) INFO:     10.1.2.8:59146 - "GET /metrics HTTP/1.1" 200 OK\n```\n'
    )
    (event,) = standing(reading(page))
    assert event.fields["what"] == "rollout"
    assert "Running: 1 reqs" in event.lines[0].text


def test_after_a_restart_the_ranks_gather_a_second_time(reading: Read) -> None:
    step = " iteration      {}/   20000 | elapsed time per iteration (ms): 334.9 | lm loss: 8.02E+00 | grad norm: 1.2 |\n"
    agent = "[2026-03-01 10:00:00,200] torch.distributed.elastic.agent.server.api: [INFO] [default] "
    anew = f"{agent}Detected 1 new nodes from group_rank=0; will restart worker group\n"
    gather = f"{agent}Rendezvous'ing worker group\n"
    (event,) = standing(reading(step.format(100) + step.format(200) + anew + gather))
    assert event.fields["what"] == "meeting"
    assert standing(reading(step.format(100) + step.format(200) + gather)) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "训练到一半hang住了",
        "The run deadlocks after the first step.",
        "It never finishes the first rollout of the epoch.",
        "All GPUs are busy and there is no progress for hours.",
        "The job is not progressing, what can I do?",
        "任务夯住了，没有进展",
    ],
)
def test_many_words_say_that_nothing_moves(reading: Read, sentence: str) -> None:
    assert standing(reading(f"{sentence}\n```\nrank 0 has 310 parameters\n```\n"))


@pytest.mark.parametrize(
    "sentence",
    [
        "The reward never changes with this data set, why?",
        "I use the hang monitor of the cluster. What changed between these releases?",
        "It has stopped with code 1, but I do not know why.",
    ],
)
def test_other_words_do_not(reading: Read, sentence: str) -> None:
    assert standing(reading(f"{sentence}\n```\nrank 0 has 310 parameters\n```\n")) == []


def test_a_stack_shows_the_calls_that_led_to_where_it_stands(reading: Read) -> None:
    stack = (
        'Process 4085: Engine\n\nThread 4085 (idle): "MainThread"\n    poll (zmq/sugar/poll.py:106)\n'
        "    recv (vllm/distributed/shm_broadcast.py:802)\n    dequeue (vllm/distributed/shm_broadcast.py:794)\n"
        "    get_response (vllm/executor/multiproc.py:387)\n    step (vllm/engine/core.py:59)\n"
    )
    (event,) = [event for event in reading(stack).events if event.kind == "hang"]
    assert [line.text.split()[0] for line in event.lines] == ["recv", "dequeue", "get_response"]


def test_the_thread_that_runs_the_script_is_the_main_one_whatever_it_is_called(reading: Read) -> None:
    stack = (
        "Thread 0x7F4A (active)\n\t watch (ray/telemetry.py:97)\n\t run (threading.py:864)\n"
        "Thread 0x7F4B (active)\n\t take_next (ray/worker.py:988)\n\t loop (ray/worker.py:1005)\n"
        "\t <module> (ray/workers/default_worker.py:105)\n"
    )
    (event,) = [event for event in reading(stack).events if event.kind == "hang"]
    assert event.fields["frame"].startswith("take_next")
