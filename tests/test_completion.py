"""What a shell offers while a command is typed."""

import os
import subprocess
import sys

import pytest


def offered(typed: str, shell: str = "bash") -> list[str]:
    words = typed.split(" ")
    told = {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1), "_RLDOCTOR_COMPLETE": f"{shell}_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "rldoctor"], env={**os.environ, **told}, capture_output=True, text=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("rldoctor ho", "plain,host"),
        ("rldoctor check --set cluster.gpus_", "plain,cluster.gpus_per_node="),
        ("rldoctor check --system sli", "plain,slime"),
        ("rldoctor check --select error,chec", "plain,error,checkpoint"),
        ("rldoctor check --ignore token-budget-in", "plain,token-budget-inactive"),
        ("rldoctor explain moe-dist", "plain,moe-dist-checkpoint-hang"),
        ("rldoctor check exam", "file,exam"),
    ],
)
def test_a_begun_word_is_finished(typed: str, word: str) -> None:
    assert word in offered(typed)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    told = {**os.environ, "_RLDOCTOR_COMPLETE": f"{shell}_source"}
    done = subprocess.run([sys.executable, "-m", "rldoctor"], env=told, capture_output=True, text=True)
    assert f"{shell}_complete" in done.stdout
