"""Ports, proxies, and whether the interfaces that NCCL and Gloo are told exist."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from rldoctor.host.limits import VERBS
from rldoctor.host.lines import Line

PORTS: Final = {6379: "Ray's head", 8265: "Ray's dashboard and jobs"}
RENDEZVOUS: Final = 29500
PROXIES: Final = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
LOCAL: Final = ("localhost", "127.0.0.1")
SOCKETS: Final = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")


def lines(ports: tuple[int, ...]) -> Iterator[Line]:
    """Yield what of the network is free, in the way, or not there."""
    import psutil

    yield from _ports(ports, os.environ)
    yield from proxies(os.environ, _own_address())
    names = sorted(psutil.net_if_addrs())
    devices = sorted(each.name for each in VERBS.iterdir()) if VERBS.is_dir() else []
    yield from interfaces(os.environ, names)
    yield from verbs(os.environ, devices)


def _ports(more: tuple[int, ...], environment: Mapping[str, str]) -> Iterator[Line]:
    told = environment.get("MASTER_PORT", "")
    wanted = dict(PORTS) | {int(told) if told.isdecimal() else RENDEZVOUS: "the rendezvous (MASTER_PORT)"}
    wanted |= {port: "asked for" for port in more if port not in wanted}
    owners = _listeners()
    for port, what in wanted.items():
        values = {"port": port}
        if not _is_taken(port):
            yield Line("port", "ok", f"{port} ({what}) is free", values=values)
        elif "gcs_server" in owners.get(port, "") or "raylet" in owners.get(port, ""):
            text = f"{port} ({what}) is taken: a Ray cluster runs here"
            yield Line("port", "warning", text, "join it with RAY_ADDRESS=auto, or ray stop --force", values)
        else:
            who = owners.get(port) or "a process that cannot be seen from here"
            yield Line(
                "port",
                "warning",
                f"{port} ({what}) is taken by {who}",
                "end it, or take another port",
                values,
            )


def _is_taken(port: int) -> bool:
    """Say whether a port cannot be listened on; it is given back at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


def _listeners() -> dict[int, str]:
    """Return who listens on which port, as far as this user may see."""
    import psutil

    found = {}
    try:
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.pid is not None and each.laddr:
                found[each.laddr.port] = f"{psutil.Process(each.pid).name()} ({each.pid})"
    except psutil.Error:  # processes end while they are looked at
        return found
    return found


def proxies(environment: Mapping[str, str], own: str) -> Iterator[Line]:
    """Yield whether a proxy stands between a driver and the engines on the same machine."""
    named = next((name for name in PROXIES if environment.get(name)), None)
    if named is None:
        yield Line("proxy", "ok", "none is set")
        return
    spared = f"{environment.get('no_proxy', '')},{environment.get('NO_PROXY', '')}"
    words = {word.strip().lower() for word in spared.split(",")}
    missing = [name for name in (*LOCAL, own) if name and name not in words and "*" not in words]
    if not missing:
        yield Line("proxy", "ok", f"{named} is set, no_proxy spares this machine")
        return
    text = f"{named} is set, and no_proxy does not name {', '.join(missing)}"
    hint = f"export no_proxy={','.join(missing)}: else requests to engines on this machine go to the proxy"
    yield Line("proxy", "warning", text, hint)


def _own_address() -> str:
    """Return the address of this host's own name, empty where it has none; no name server is asked."""
    name = socket.gethostname().lower()
    hosts = Path("/etc/hosts")
    text = hosts.read_text(encoding="utf-8", errors="replace") if hosts.is_file() else ""
    for line in text.splitlines():
        words = line.partition("#")[0].lower().split()
        if name in words[1:]:
            return words[0] if not words[0].startswith("127.") else ""
    return ""


def interfaces(environment: Mapping[str, str], names: Collection[str]) -> Iterator[Line]:
    """Yield whether the interfaces that are told exist: prefixes, ``=exact``, ``^not``."""
    real = [name for name in names if name != "lo"]
    told = {name: environment[name] for name in SOCKETS if environment.get(name)}
    if not told:
        many = len(real) > 2
        text = f"{', '.join(real) or 'none but lo'}; NCCL and Gloo choose by themselves"
        hint = (
            "set NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME where nodes do not reach each other"
            if many
            else ""
        )
        yield Line("interfaces", "note" if many or not real else "ok", text, hint, {"names": list(names)})
    for name, words in told.items():
        exact = name == "GLOO_SOCKET_IFNAME" or words.startswith("=")
        matched = _matched(words.lstrip("=^"), names, exact)
        if words.startswith("^"):
            matched = [each for each in real if each not in matched]
        if matched:
            yield Line("interfaces", "ok", f"{name}={words}: {', '.join(matched)}")
        else:
            text = f"{name}={words} matches none of {', '.join(names)}"
            yield Line("interfaces", "error", text, "the job fails or hangs when its processes meet")


def _matched(words: str, names: Collection[str], exact: bool) -> list[str]:
    wanted = [word.strip().partition(":")[0] for word in words.split(",") if word.strip()]
    return [each for each in names if any(each == w if exact else each.startswith(w) for w in wanted)]


def verbs(environment: Mapping[str, str], devices: Collection[str]) -> Iterator[Line]:
    """Yield whether RDMA is there, used, and named rightly."""
    told = environment.get("NCCL_IB_HCA", "")
    if told and not told.startswith("^") and not _matched(told.lstrip("="), devices, told.startswith("=")):
        text = f"NCCL_IB_HCA={told} matches none of {', '.join(devices) or 'no RDMA device'}"
        yield Line("rdma", "error", text, "NCCL falls back to TCP, many times slower, or fails")
    elif devices and environment.get("NCCL_IB_DISABLE") == "1":
        text = f"NCCL_IB_DISABLE=1 leaves {', '.join(devices)} unused"
        yield Line("rdma", "warning", text, "unset NCCL_IB_DISABLE, unless RDMA is broken here")
    elif devices:
        yield Line("rdma", "ok", ", ".join(devices), values={"devices": list(devices)})
