"""Sampling engines. A new one is one file here and one line in ``ENGINES``."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import torch

from trainer_core.config import Config
from trainer_core.memory import Meter
from trainer_core.protocols import Engine

ENGINES: Final = {"builtin": "trainer_core.engines.builtin:BuiltinEngine"}


def build(config: Config, device: torch.device, meter: Meter) -> Engine:
    """Build the engine that the config names; its library is imported only now."""
    module, _, name = ENGINES[config.rollout.engine].partition(":")
    engine: Engine = getattr(import_module(module), name)(config, device, meter)
    return engine
