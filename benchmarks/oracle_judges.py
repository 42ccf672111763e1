"""Upstream's own validators as judges: JSON lines of settings in, JSON lines of verdicts out.

Run by oracle.py with the Python of an environment that has hydra-core, omegaconf and torch:
python oracle_judges.py SYSTEM CHECKOUT < cases > verdicts. Packages for GPUs are put in by stand-ins.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import sys
import types
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

STAND_INS = (
    "PIL", "aiofiles", "aiohttp", "aiosignal", "aiosqlite", "anthropic", "apex", "cachetools",
    "datasets", "einops", "fastapi", "flash_attn", "flash_attn_interface", "flask", "hf_transfer",
    "httpx", "latex2sympy2", "liger_kernel", "litellm", "math_verify", "mbridge", "megatron.bridge",
    "msgpack", "multi_storage_client", "numba", "nvidia_resiliency_ext", "openai", "orjson",
    "pebble", "prettytable", "pybase64", "pynvml", "ray", "requests", "sentencepiece",
    "setproctitle", "sglang", "sglang_router", "swanlab", "tenacity", "tiktoken", "torchdata", "torchvision",
    "trackio", "transformer_engine", "triton", "uvicorn", "uvloop", "vllm", "wandb", "werkzeug",
    "wget", "zmq",
)  # fmt: skip
FIRST = (
    "algorithm", "chatlearn.algorithm.grpo_utils", "chatlearn.data", "chatlearn.models", "chatlearn.runtime",
    "chatlearn.utils.megatron_utils", "swanlab", "wandb",
)  # fmt: skip
Judge = Callable[[dict[str, Any]], None]


class Anything(type):
    """The class of classes that have every attribute."""

    def __getattr__(cls, name: str) -> Any:
        """Return a further class that stands for anything."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (Stand,), {})


class Stand(metaclass=Anything):
    """Stands for any function, class or decorator of a package that is not there."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take whatever is given."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Return itself, as a decorator's result would be."""
        return self

    def __getattr__(self, name: str) -> Any:
        """Return another one."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Stand()


class Package(types.ModuleType):
    """A package that is not there: whatever is asked of it is a class that stands for anything."""

    def __getattr__(self, name: str) -> Any:
        """Return a class of that name."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (Stand,), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a stand-in for a package that is not installed, or that validators do not need."""

    def __init__(self, names: Sequence[str]) -> None:
        """Take the names of the packages."""
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return a spec for the names of the list, and for what is below them."""
        if any(name == each or name.startswith(f"{each}.") for each in self.names):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        """Return a module that has every attribute."""
        module = Package(spec.name)
        module.__path__, module.__version__ = [], "9.9.9"
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: a stand-in is whole."""


def verl(checkout: str) -> Judge:
    """Return the judge of verl: Hydra's composition, validate_config and the dataclasses."""
    from hydra import compose, initialize_config_dir
    from verl.utils.config import omega_conf_to_dataclass, validate_config
    from verl.workers.config import HFModelConfig

    HFModelConfig.__post_init__ = lambda self: None  # it would read the model
    folder = str(Path(checkout, "verl", "trainer", "config"))

    def judge(settings: dict[str, Any]) -> None:
        name = str(settings.pop("--config-name", "ppo_trainer")).removesuffix(".yaml").strip("'\"")
        words = [word(key, value) for key, value in settings.items() if not key.startswith("-")]
        with initialize_config_dir(folder, version_base=None):
            config = compose(name, overrides=words)
        critic = config.algorithm.adv_estimator == "gae"
        reference = config.actor_rollout_ref.actor.use_kl_loss or config.algorithm.use_kl_in_reward
        validate_config(config, bool(reference), bool(critic))
        omega_conf_to_dataclass(config.actor_rollout_ref.rollout)

    return judge


def word(key: str, value: Any) -> str:
    return f"{key}={value}"


def megatron(checkout: str) -> Judge:
    """Return the judge of Megatron: parse_args and validate_args, on eight GPUs of Hopper's generation."""
    import torch

    override()
    from megatron.training import arguments

    arguments.get_device_arch_version = lambda: 9
    torch.cuda.get_device_capability = lambda *_: (9, 0)

    def judge(settings: dict[str, Any]) -> None:
        os.environ["WORLD_SIZE"] = str(settings.pop("WORLD_SIZE", 8))
        os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = str(settings.pop("CUDA_DEVICE_MAX_CONNECTIONS", 1))
        sys.argv = ["pretrain_gpt.py"]
        for key, value in settings.items():
            sys.argv += [key] if value is True else [key, *str(value).split(" ")]
        arguments.validate_args(arguments.parse_args())

    return judge


def areal(checkout: str) -> Judge:
    """Return the judge of AReaL: the structured configuration, its dataclasses and the back ends' strings."""
    from areal.api.alloc_mode import ModelAllocation
    from areal.api.cli_args import GRPOConfig
    from omegaconf import OmegaConf

    def judge(settings: dict[str, Any]) -> None:
        given = OmegaConf.create({})
        for key, value in settings.items():
            OmegaConf.update(given, key, value, force_add=True)
        merged = OmegaConf.merge(OmegaConf.structured(GRPOConfig), given)
        config = OmegaConf.to_object(merged)
        for name in ("actor", "rollout"):
            backend = getattr(getattr(config, name), "backend", None)
            if backend:
                ModelAllocation.from_str(backend, name)

    return judge


def chatlearn(checkout: str) -> Judge:
    """Return the judge of ChatLearn: the structured configuration, its dataclasses and their checks."""
    import dataclasses

    whole = Package("chatlearn")  # its own file starts Ray
    whole.__path__ = [str(Path(checkout, "chatlearn"))]
    sys.modules["chatlearn"] = whole
    from chatlearn.algorithm.grpo import GrpoConfig
    from omegaconf import OmegaConf

    def judge(settings: dict[str, Any]) -> None:
        words = [f"{key}={value}" for key, value in settings.items()]
        given = OmegaConf.from_dotlist(words)
        merged = OmegaConf.merge(OmegaConf.structured(GrpoConfig), given)
        config = OmegaConf.to_object(merged)
        if not dataclasses.is_dataclass(config):
            raise TypeError("no configuration")
        config.validate()  # type: ignore[attr-defined]

    return judge


def slime(checkout: str) -> Judge:
    """Return the judge of slime: parse_args with Megatron's and its own checks; engines are not installed."""
    import argparse

    import torch

    override()
    from megatron.training import arguments as of_megatron
    from slime.backends.megatron_utils import arguments as backend
    from slime.utils import arguments

    of_megatron.get_device_arch_version = lambda: 9
    torch.cuda.get_device_capability = lambda *_: (9, 0)
    os.path.exists = lambda _: True  # type: ignore[assignment]  # checkpoints are on another machine
    real = backend.megatron_parse_args
    backend.megatron_parse_args = lambda **how: real(**{**how, "skip_hf_validate": True})

    def judge(settings: dict[str, Any]) -> None:
        nodes, gpus = settings.get("--actor-num-nodes", 1), settings.get("--actor-num-gpus-per-node", 8)
        os.environ["WORLD_SIZE"] = str(int(nodes) * int(gpus))
        os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = "1"
        engine = {
            name: settings.get("--" + name.replace("_", "-"), default) for name, default in ENGINE.items()
        }
        counted = {name: int(value) if str(value).isdigit() else value for name, value in engine.items()}
        arguments.sglang_parse_args = lambda: argparse.Namespace(**counted)
        sys.argv = ["train.py"]
        for key, value in settings.items():
            sys.argv += [key] if value is True else [key, *str(value).split(" ")]
        arguments.parse_args()

    return judge


def override() -> None:
    """Give Python 3.11 what Megatron takes from 3.12."""
    import typing

    typing.override = getattr(typing, "override", lambda method: method)


ENGINE = {
    "sglang_dp_size": 1, "sglang_pp_size": 1, "sglang_ep_size": 1, "sglang_moe_dp_size": 1,
    "sglang_enable_dp_attention": False, "prefill_num_servers": None, "sglang_config": None,
}  # fmt: skip
JUDGES: dict[str, Callable[[str], Judge]] = {
    "verl": verl,
    "megatron": megatron,
    "areal": areal,
    "chatlearn": chatlearn,
    "slime": slime,
}


def verdict(judge: Judge, settings: dict[str, Any]) -> str | None:
    """Return what a validator says against settings, None where it accepts them."""
    said = StringIO()
    try:
        with redirect_stdout(StringIO()), redirect_stderr(said):
            judge(dict(settings))
    except SystemExit:
        return (said.getvalue().strip().splitlines() or ["it stopped"])[-1][:200]
    except Exception as error:  # noqa: BLE001  whatever it raises is its verdict
        cause = error.__cause__ or error
        return f"{type(cause).__name__}: {cause}".splitlines()[0][:200]
    return None


def main(words: Sequence[str]) -> None:
    """Read cases from standard input, write one verdict a line."""
    import torch._dynamo
    import torch.utils._triton

    system, checkout = words
    torch.utils._triton.has_triton_package()  # asked before there is a stand-in
    sys.meta_path.append(Finder(STAND_INS))
    sys.meta_path.insert(0, Finder(FIRST))
    sys.path.insert(0, checkout)
    with redirect_stdout(sys.stderr):
        judge = JUDGES[system](checkout)
    for line in sys.stdin:
        print(json.dumps(verdict(judge, json.loads(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
