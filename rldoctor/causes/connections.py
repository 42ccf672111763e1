"""What to do about a connection that nobody answers, whatever asked for it."""

from __future__ import annotations

from typing import Final

from rldoctor.causes.kinds import Kind

CONNECTIONS: Final = (
    Kind(
        r"OSError|ConnectionRefusedError|ConnectionError|TimeoutError|timeout|URLError",
        r"Errno (?:101|110|111|112|113)\b|Connection refused|No route to host|Network is unreachable",
        (
            "Start what should listen there before {place} asks for it, and see that it still lives (its own "
            "log, ss -ltn on its node), at the same address and port; across nodes an address of its node, "
            "never localhost: {message}",
            "Let this node reach it: the network, a firewall or security group on that port, a proxy "
            "(no_proxy with the nodes' addresses); where it is the internet, on a node without a way out, "
            "use the site's proxy (https_proxy) or what was downloaded before (HF_HUB_OFFLINE=1)",
        ),
        "ss -ltn; nc -zv HOST PORT; env | grep -i proxy; ip route get HOST",
    ),
)
