"""Reads the names of a family's arguments from checkouts and writes them where advice looks them up.

    python -m scripts.argument_names huggingface /path/to/trl /path/to/transformers ...

writes ``rldoctor/dialects/arguments/huggingface.txt``, a name a line: the fields of classes that hold
options, the flags of parsers, and constants that are words of a configuration. Nothing of a checkout is
imported. With ``--add`` what is there stays.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent.parent / "rldoctor" / "dialects" / "arguments"
FILES: Final = {
    "huggingface": r"training_args\w*\.py|generation/configuration_utils\.py|quantization_config\.py"
    r"|\w+_config\.py|trl/scripts/utils\.py|trl/core\.py|accelerate/(?:accelerator|utils/dataclasses)\.py"
    r"|peft/(?:config|tuners/lora/config)\.py",
    "openrlhf": r"openrlhf/cli/\w+\.py",
    "swift": r"(?:arguments?|argument/\w+|\w*_args)\.py",
    "deepspeed": r"deepspeed/runtime/(?:(?:zero/|activation_checkpointing/)?(?:offload_)?config"
    r"|precision_config|constants)\.py",
    "llamafactory": r"hparams/\w+\.py",
    "roll": r"roll/(?:configs/\w+|pipeline/\w+/\w+_config)\.py",
    "skyrl": r"skyrl\w*/(?:train|tinker)/(?:config/)?(?:sft_)?config\.py",
    "axolotl": r"axolotl/(?:utils/schemas/\w+|integrations/\w+/args|core/trainers/\w+/args)\.py",
    "nemo_rl": r"nemo_rl/(?:algorithms/\w+|models/\w+/(?:\w+/)?(?:config|__init__|interfaces)"
    r"|data/__init__|utils/(?:logger|checkpoint))\.py",
}
HOLDERS: Final = re.compile(r"\w*(?:Config|Arguments|Args|Plugin|ArgumentsMixin)|Accelerator")
INTERNAL: Final = frozenset(("world_size", "local_rank"))  # fields that a trainer fills in itself
OTHERS: Final = re.compile(r"(?:Pretrained|PreTrained|Judge|Watermark|Synthid|Compile)\w*")


def main(argv: list[str]) -> int:
    """Write one family's names and say how many there are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("family", choices=sorted(FILES))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--add", action="store_true", help="keep the names that are there")
    told = parser.parse_args(argv)
    path = FOLDER / f"{told.family}.txt"
    found = set(path.read_text().split()) if told.add and path.is_file() else set()
    wanted = re.compile(rf"(?:.*/)?(?:{FILES[told.family]})")
    for folder in told.folders:
        for file in folder.rglob("*.py"):
            if wanted.fullmatch(file.as_posix()):
                found.update(names(file.read_text(encoding="utf-8", errors="replace")))
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in sorted(found - INTERNAL) if not name.startswith("_")))
    print(told.family, len(found))
    return 0


def names(text: str) -> Iterator[str]:
    """Yield the fields, flags and words of a configuration that a module declares."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and HOLDERS.fullmatch(node.name) and not OTHERS.match(node.name):
            yield from _fields(node)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            flags = (each.value for each in node.args if isinstance(each, ast.Constant))
            yield from (flag[2:] for flag in flags if isinstance(flag, str) and flag.startswith("--"))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            words = {
                each.id.lower() for each in node.targets if isinstance(each, ast.Name) and each.id.isupper()
            }
            yield from words & {node.value.value}


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """Yield the annotated fields of a class, and what its ``__init__`` takes."""
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield each.target.id
        elif isinstance(each, ast.FunctionDef) and each.name == "__init__":
            yield from (arg.arg for arg in (*each.args.args, *each.args.kwonlyargs) if arg.arg != "self")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
