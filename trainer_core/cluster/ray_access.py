"""How Ray authenticates. It is read when Ray is imported: this module runs before, and imports it then."""

from __future__ import annotations

import os
import secrets
from importlib import import_module

from trainer_core.cluster import Transport
from trainer_core.config import Config


def start(config: Config) -> Transport:
    """Say how Ray authenticates, then start the ranks on it."""
    authenticate(own=config.cluster.address is None)
    ranks: Transport = import_module("trainer_core.cluster.on_ray").start(config)
    return ranks


def authenticate(own: bool) -> None:
    """Set the mode, which each process would else choose by what it finds in the home folder.

    A cluster of our own gets a token of its own: nobody else on the network may run code through it.
    """
    if "RAY_AUTH_MODE" in os.environ:
        return
    if own:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    known = own or "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    os.environ["RAY_AUTH_MODE"] = "token" if known else "disabled"
