"""What is said of GPUs, from a library that answers as NVML does; and of a machine without one."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from rldoctor.host import facts, gpus
from rldoctor.host.lines import GIB, Line


class NVMLError(Exception):
    """What NVML raises where a card does not know a question."""


class Card:
    """One GPU; ``says`` maps a question to its answer."""

    def __init__(self, total: int = 80 * GIB, used: int = GIB // 2, name: str = "NVIDIA H100", **says: Any):
        self.memory = SimpleNamespace(total=total, used=used, free=total - used)
        self.name, self.says = name, says


def nvml(*cards: Card) -> SimpleNamespace:
    def ask(question: str) -> Any:
        def answer(card: Card, *_: Any) -> Any:
            if question not in card.says:
                raise NVMLError("Not Supported")
            return card.says[question]

        return answer

    questions = ("EccMode", "TotalEccErrors", "RemappedRows", "CurrentClocksThrottleReasons")
    questions += ("ComputeMode", "ComputeRunningProcesses")
    return SimpleNamespace(
        NVMLError=NVMLError,
        NVML_MEMORY_ERROR_TYPE_UNCORRECTED=1,
        NVML_VOLATILE_ECC=0,
        nvmlDeviceGetCount=lambda: len(cards),
        nvmlSystemGetDriverVersion=lambda: "570.86.15",
        nvmlSystemGetCudaDriverVersion_v2=lambda: 12080,
        nvmlDeviceGetHandleByIndex=lambda index: cards[index],
        nvmlDeviceGetName=lambda card: card.name,
        nvmlDeviceGetMemoryInfo=lambda card: card.memory,
        **{f"nvmlDeviceGet{question}": ask(question) for question in questions},
    )


def seen(monkeypatch: pytest.MonkeyPatch, *cards: Card) -> list[Line]:
    monkeypatch.setattr(gpus, "library", lambda: nvml(*cards))
    return list(gpus.lines())


def loud(lines: list[Line]) -> list[tuple[str, str]]:
    return [(line.topic, line.text) for line in lines if line.status in ("warning", "error")]


def test_no_library_is_a_clear_line_and_no_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "library", lambda: "NVML Shared Library Not Found")
    (line,) = gpus.lines()
    assert (line.status, line.text) == ("note", "no GPU: NVML Shared Library Not Found")
    assert facts.of_lines([line]) == {}


def test_healthy_idle_gpus_and_their_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    lines = seen(monkeypatch, *[Card(EccMode=(1, 1), TotalEccErrors=0, RemappedRows=(2, 0, 0, 0))] * 8)
    assert loud(lines) == []
    assert lines[0].text == "8 × NVIDIA H100, 80.0 GiB each, driver 570.86.15, CUDA up to 12.8"
    assert facts.of_lines(lines) == {"cluster.gpus_per_node": 8, "cluster.gpu_memory_gib": 80.0}


def test_faults_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    ill = Card(TotalEccErrors=3, RemappedRows=(0, 1, 1, 1), CurrentClocksThrottleReasons=0x40, ComputeMode=3)
    told = loud(seen(monkeypatch, Card(), ill))
    assert {topic for topic, _ in told} == {"gpu 1"}
    text = " | ".join(text for _, text in told)
    for word in ("3 uncorrectable ECC", "could not be remapped", "waits for a reset", "thermal", "exclusive"):
        assert word in text


def test_who_else_is_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    own, gone = os.getpid(), 2**22 + 7
    running = [SimpleNamespace(pid=pid, usedGpuMemory=61 * GIB) for pid in (own, gone)]
    lines = seen(monkeypatch, Card(used=62 * GIB, ComputeRunningProcesses=running), Card(used=9 * GIB))
    first, second = (text for topic, text in loud(lines) if topic.startswith("gpu "))
    assert f"taken by {gone} (of another container) 62464 MiB" in first
    assert f" {own} " not in first.split("by")[1]
    assert "cannot be seen" in second


def test_mixed_cards_and_what_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,5")
    told = loud(seen(monkeypatch, Card(), Card(total=40 * GIB, name="NVIDIA A100")))
    assert [topic for topic, _ in told] == ["gpus", "gpus visible"]
    assert "names GPU 5, there are 2" in told[1][1]


def test_the_real_library_answers_here_as_it_may() -> None:
    lines = list(gpus.lines())
    assert lines[0].topic == "gpus"
