"""Reward functions as users write them at their worst; loaded by reward processes as ``bad_rewards:name``."""

from __future__ import annotations

import os
import time

LIMIT_WORD = "a"


def stuck(prompt: str, answer: str, text: str) -> float:
    if prompt.startswith(LIMIT_WORD):
        time.sleep(3600)
    return 0.5


def dies(prompt: str, answer: str, text: str) -> float:
    if prompt.startswith(LIMIT_WORD):
        os._exit(3)
    return 0.5


def raises(prompt: str, answer: str, text: str) -> float:
    if prompt.startswith(LIMIT_WORD):
        raise ValueError("not an answer")
    print("a remark on stdout")
    return 0.5


def no_number(prompt: str, answer: str, text: str) -> float:
    return float("nan")


def always_stuck(prompt: str, answer: str, text: str) -> float:
    time.sleep(3600)
    return 0.0
