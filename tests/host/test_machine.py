"""Kernel log, limits, disks, network, clock and versions, each from what a machine really holds."""

import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from rldoctor.host import clock, disks, kernel, limits, network, versions
from rldoctor.host.lines import GIB, Line
from rldoctor.host.versions import Package


def by_status(lines: Iterator[Line]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.status, []).append(line.text)
    return found


def test_xid_errors_of_cards_and_of_programs_differ(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text(
        "4,811,99,-;NVRM: Xid (PCI:0000:4e:00): 79, pid='<unknown>', GPU has fallen off the bus.\n"
        "4,812,99,-;NVRM: Xid (PCI:0000:4e:00): 79, pid='<unknown>', GPU has fallen off the bus.\n"
        "4,813,100,-;NVRM: Xid (PCI:0000:87:00): 31, pid=4711, name=python3, MMU Fault\n"
        "3,900,120,-;Memory cgroup out of memory: Killed process 991 (ray::WorkerDict) total-vm:81GB\n"
    )
    found = by_status(kernel.lines(log))
    assert found["error"] == ["Xid 79 (the GPU has fallen off the bus) at PCI:0000:4e:00, 2 times since boot"]
    assert "Xid 31" in found["note"][0]
    assert found["warning"] == ["killed ray::WorkerDict for memory, 1 time since boot"]


def test_a_kernel_log_that_may_not_be_read_is_unknown(tmp_path: Path) -> None:
    assert list(by_status(kernel.lines(tmp_path / "none"))) == ["unknown"]


def test_shared_memory_of_a_plain_container_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sizes = SimpleNamespace(f_blocks=64 * 256, f_bavail=64 * 256, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: sizes)
    (line,) = limits.shared_memory(str(tmp_path))
    assert (line.status, "64 MiB" in line.text, "--shm-size" in line.hint) == ("error", True, True)
    sizes.f_blocks = sizes.f_bavail = 32 * GIB // 4096
    assert [each.status for each in limits.shared_memory(str(tmp_path))] == ["ok"]


def test_a_containers_limits_are_what_counts(tmp_path: Path) -> None:
    for name, text in (("memory.max", f"{4 * GIB}"), ("cpu.max", "100000 100000")):
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "pids.max").write_text("1024\n")
    (tmp_path / "pids.current").write_text("300\n")
    found = limits.capacity(tmp_path)
    assert (found.memory, found.cpus) == (min(4 * GIB, found.memory_of_machine), 1)
    assert "300 of 1024 processes and threads" in by_status(limits.lines(tmp_path))["warning"]


def test_few_files_and_little_locked_memory_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mlx5_0").mkdir()
    monkeypatch.setattr(limits, "VERBS", tmp_path)
    soft = {resource.RLIMIT_NOFILE: 1024, resource.RLIMIT_NPROC: 4096, resource.RLIMIT_MEMLOCK: 8 * 2**20}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft[kind], soft[kind]))
    found = by_status(limits.lines())
    assert any("open files: 1024" in text for text in found["warning"])
    assert any("threads: 4096" in text for text in found["warning"])
    assert any("mlx5_0" in text for text in found["error"])


def test_a_disk_that_ray_will_refuse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "ray"))
    blocks = {"f_frsize": 1, "f_files": 1000, "f_favail": 500}
    monkeypatch.setattr(
        os, "statvfs", lambda _: SimpleNamespace(f_blocks=900 * GIB, f_bavail=30 * GIB, **blocks)
    )
    found = by_status(disks.lines((str(tmp_path),)))
    assert any("Ray stops at 95% in use" in text for text in found["error"])
    assert any("30.0 GiB free of 900.0 GiB" in text for text in found["warning"])


def test_no_inodes_and_no_right_to_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    full = SimpleNamespace(f_blocks=900 * GIB, f_bavail=800 * GIB, f_frsize=1, f_files=1000, f_favail=0)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert any("0 of 1000 inodes" in text for text in by_status(disks.lines((str(tmp_path),)))["error"])
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert any("may not be written" in text for text in by_status(disks.lines((str(tmp_path),)))["error"])


def test_a_port_that_is_taken_and_by_whom() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        lines = [each for each in network.lines((port,)) if each.topic == "port"]
    (line,) = [each for each in lines if each.values["port"] == port]
    assert line.status == "warning" and str(os.getpid()) in line.text


def test_a_proxy_between_driver_and_engine() -> None:
    said = by_status(network.proxies({"http_proxy": "http://p:1"}, "10.0.0.7"))
    assert "localhost, 127.0.0.1, 10.0.0.7" in said["warning"][0]
    spared = {"http_proxy": "http://p:1", "no_proxy": "localhost,127.0.0.1,10.0.0.7"}
    assert list(by_status(network.proxies(spared, "10.0.0.7"))) == ["ok"]
    assert list(by_status(network.proxies({"no_proxy": "x"}, ""))) == ["ok"]


@pytest.mark.parametrize(
    ("name", "words", "status"),
    [
        ("NCCL_SOCKET_IFNAME", "eth", "ok"),
        ("NCCL_SOCKET_IFNAME", "=eth", "error"),
        ("NCCL_SOCKET_IFNAME", "^lo,docker", "ok"),
        ("NCCL_SOCKET_IFNAME", "^eth,bond", "error"),
        ("NCCL_SOCKET_IFNAME", "ens,bond0:1", "ok"),
        ("GLOO_SOCKET_IFNAME", "eth", "error"),
        ("GLOO_SOCKET_IFNAME", "eth0", "ok"),
    ],
)
def test_interfaces_as_nccl_and_gloo_read_them(name: str, words: str, status: str) -> None:
    assert [line.status for line in network.interfaces({name: words}, ["lo", "eth0", "bond0"])] == [status]


def test_rdma_that_is_misspelt_or_switched_off() -> None:
    cards = ["mlx5_0", "mlx5_1"]
    assert [each.status for each in network.verbs({"NCCL_IB_HCA": "mlx4"}, cards)] == ["error"]
    assert [each.status for each in network.verbs({"NCCL_IB_DISABLE": "1"}, cards)] == ["warning"]
    assert [each.status for each in network.verbs({"NCCL_IB_HCA": "mlx5"}, cards)] == ["ok"]
    assert list(network.verbs({}, [])) == []


def test_the_clock_as_the_kernel_tells_it() -> None:
    told = [clock.judged(status).status for status in (0x2001, 0x2041, None)]
    assert told == ["ok", "warning", "unknown"]
    assert next(iter(clock.lines())).topic == "clock"


def test_packages_that_do_not_fit() -> None:
    found = {
        "vllm": Package("0.11.0", ("torch==2.8.0", "numpy", 'ray[cgraph]>=2.48; platform_system == "Linux"')),
        "sglang": Package("0.5.9", ("torch~=2.9.1", "transformers<5,>=4.57")),
        "torch": Package("2.9.1+cu130"),
        "transformers": Package("5.0.0"),
    }
    lines = list(versions.judged("/env", found, "12.8"))
    told = [line.text for line in lines if line.status == "warning"]
    assert told == [
        "vllm 0.11.0 requires torch==2.8.0, installed is 2.9.1+cu130",
        "sglang 0.5.9 requires transformers<5,>=4.57, installed is 5.0.0",
    ]
    assert [line.text for line in lines if line.status == "error"] == [
        "torch 2.9.1+cu130 is built for CUDA 13.0, the driver runs up to 12.8"
    ]


@pytest.mark.parametrize(
    ("version", "bound", "fits"),
    [
        ("2.8.0", "==2.8.*", True),
        ("2.9.0", "==2.8.*", False),
        ("2.9.0", "!=2.8.*", True),
        ("2.9.3", "~=2.9.1", True),
        ("2.10.0", "~=2.9.1", False),
        ("2.10.0", ">=2.9,<2.11", True),
        ("2.8.0+cu128", "==2.8.0", True),
    ],
)
def test_bounds_are_read_as_pip_does(version: str, bound: str, fits: bool) -> None:
    found = {"vllm": Package("1", (f"torch{bound}",)), "torch": Package(version)}
    assert (not [line for line in versions.judged("", found, None) if line.status == "warning"]) is fits


def test_installed_packages_are_read_from_their_folder(tmp_path: Path) -> None:
    info = tmp_path / "flash_attn-2.8.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: flash_attn\nRequires-Dist: torch\n\nText: x\n"
    )
    assert versions.installed(tmp_path) == {"flash-attn": Package("2.8.3", ("torch",))}
