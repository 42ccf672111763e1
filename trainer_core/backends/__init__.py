"""Training backends. A new one is one file here and one line in ``BACKENDS``."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import torch

from trainer_core.config import Config
from trainer_core.memory import Meter
from trainer_core.protocols import Backend

BACKENDS: Final = {"fsdp": "trainer_core.backends.fsdp:FsdpBackend"}


def build(config: Config, device: torch.device, meter: Meter) -> Backend:
    """Build this rank's part of the backend that the config names; its library is imported only now."""
    module, _, name = BACKENDS[config.train.backend].partition(":")
    backend: Backend = getattr(import_module(module), name)(config, device, meter)
    return backend
