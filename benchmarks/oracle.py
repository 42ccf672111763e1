"""How far check and upstream's own validators agree: upstream recipes, one value changed at a time.

python benchmarks/oracle.py PYTHON SYSTEM=CHECKOUT... [--recipes 6] [--out docs/oracle.md]

PYTHON runs the validators (oracle_judges.py); slime's and ChatLearn's need Megatron's checkout, too. A recipe
counts that upstream accepts; of many they are taken evenly. It is changed in one place at a time: *known*
changes are the examples of our own limits, put into the first recipe; *values* changes each value that it
says (numbers times three, zero, negative, more and less by one, switches turned, words cut, keys left out and
cut); *keys* says each switch and word of the catalogue that it does not say, evenly chosen ones of many.
Errors that the recipe itself has are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import yaml
from msgspec import Struct

from rldoctor import facts, sources
from rldoctor.check import check
from rldoctor.dialects import catalogue, grammar, limits
from rldoctor.facts import ToldFacts
from rldoctor.types import RLDoctorError

HERE = Path(__file__).parent
MEGATRON: dict[str, str] = {}
Settings = Mapping[str, Any]
PLACES = {
    "verl": ("examples/*_trainer/*.sh",),
    "megatron": ("tests/functional_tests/test_cases/gpt/gpt3*/model_config.yaml",),
    "areal": ("examples/math/*.yaml",),
    "chatlearn": ("scripts/fsdp_*/*.sh", "scripts/mcore_*/*.sh"),
    "slime": ("scripts/run-*.sh",),
}
WHY = """
## Why we are silent
- Megatron: `--export-*`, `--enable-gpt-oss` and `--freeze-base-for-mtp` are declared where ModelOpt is
  installed, which the judge's environment is not. What some known changes meet, an empty AssertionError
  among it, is another check of the same recipe that comes first. To argparse -1e-05 is no number.
- slime: the same, and a model whose position embeddings the recipe leaves at their default.

## Why we say more than they accept at the launch
- verl: `validate_config` sees neither what the workers' code asks of a value (estimators, losses, penalties,
  engines, truncation, resume modes: an error of the first step) nor what the engine's own arguments allow.
  With dynamic batches it skips the arithmetic of batches; the workers cut the batch into equal parts later.
- Megatron: the judge is `validate_args`; `TransformerConfig` refuses the rest when the model is built, and
  checkpoints and routers when they are used.
- AReaL: the judge is the configuration; back ends and rollouts that do not go together are refused by the
  trainer's `_validate_cfg`, engine arguments by the engine, steps without sequences by the packing.
- slime: the judge is `parse_args` with Megatron's and slime's checks, for a checkpoint that is not there.
  What its config.json says is compared at the launch (`_hf_validate_args`); rewards, data and losses are
  refused when they are used, engine arguments by SGLang, models by `TransformerConfig`. A rollout that is
  no whole number of steps is told as an error, since its last samples are lost.
- ChatLearn: the judge is the configuration; what runs together is refused when the algorithm builds its
  modules (`chatlearn/algorithm/grpo.py`), engine arguments by the engine.
- Each line names the place that refuses it; sizes that are changed are told by the rule of that name, whose
  references `rldoctor explain RULE` shows.
"""
LAUNCHES = {
    "areal": "python3 examples/math/gsm8k_rl.py --config grpo.yaml",
    "chatlearn": "python chatlearn/entrypoint.py grpo --config-file grpo.yaml runtime_args.exp_name=o",
}
LONGEST = 150
MOST_KEYS = 150
NUMBER = re.compile(r"-?\d[\d.]*")
FREE = ("path", "dir", "name", "project", "logger", "data", "load", "save", "tensorboard", "wandb")
CPU = {
    "--attention-backend",
    "--fp8-format",
    "--fp8-param-gather",
    "--transformer-impl",
    "--moe-grouped-gemm",
}
FILL: dict[str, Settings] = {
    "megatron": {"--tokenizer-type": "NullTokenizer", "--vocab-size": 1000, "--use-mcore-models": True},
    "areal": {"train_dataset.path": "d", "train_dataset.type": "rl"},
    "chatlearn": {
        "runtime_args.log_args_dict.log_dir": "/o",
        "runtime_args.output_dir": "/o",
        "runtime_args.data_path": "/d",
        "models.policy.num_gpu": 8,
        "models.policy_trainer.num_gpu": 8,
        "models.ref_policy.num_gpu": 8,
        "models.policy_trainer.load": "/m",
        "models.ref_policy.load": "/m",
    },
    "slime": {
        "--actor-num-nodes": 1,
        "--actor-num-gpus-per-node": 8,
        "--eval-prompt-data": "aime /data/a.jsonl",
        "--seq-length": 4096,
        "--max-position-embeddings": 131072,
        "--tokenizer-type": "NullTokenizer",
        "--vocab-size": 1000,
    },
}


class Case(Struct, frozen=True):
    """A recipe with one change of a kind."""

    recipe: str
    kind: str
    change: str
    settings: Settings
    where: str = ""


def recipes(system: str, checkout: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the settings of upstream's recipes, those of which every value is known."""
    seen: set[str] = set()
    for pattern in PLACES[system]:
        for path in sorted(checkout.glob(pattern)):
            try:
                worlds = facts.walk(sources.read(str(path), sources.Told({}, ())), ToldFacts())
            except RLDoctorError:
                continue
            found = next((each for each in worlds if each.system == system), None)
            if found is not None and found.start.command is not None:
                said = (*found.start.below, *found.start.command.settings)
                known = {s.key: s.value for s in said if s.state == "known" and s.key != "--config-file"}
                known = {key: value for key, value in known.items() if _plain(key, value)}
                if system in ("megatron", "slime"):  # the test's own words are none of the trainer's
                    known = {key: value for key, value in known.items() if key.startswith("--")}
                text = json.dumps(known, sort_keys=True, default=str)
                if len(known) > 12 and text not in seen:
                    seen.add(text)
                    yield str(path.relative_to(checkout)), {**known, **FILL.get(system, {})}


def _plain(key: str, value: Any) -> bool:
    listed = "scheduling_spec" in key or any(part.isdigit() for part in key.split("."))
    known = isinstance(value, str | int | float | bool) and (value is not False or not key.startswith("-"))
    return key not in CPU and known and "$" not in str(value) and not listed


def known(system: str, recipe: str, base: Settings) -> Iterator[Case]:
    """Yield the recipe with what each of our own limits refuses."""
    for limit in limits.load(system):
        extra = {key: value for key, value in limit.example.items() if key != "program"}
        if limit.example.get("program") is None and not CPU & set(extra):
            told = limit.says or f"no such word: {limit.reads[0]}"
            yield Case(recipe, "known", told, {**base, **extra}, limit.where)


def changes(system: str, recipe: str, base: Settings) -> Iterator[Case]:
    """Yield the recipe with one change each, whatever we know of it."""
    for key, value in base.items():
        if key in FILL.get(system, {}) or any(word in key.lower() for word in FREE):
            continue
        rest = {name: base[name] for name in base if name != key}
        for new in _others(value):
            yield Case(recipe, "values", f"{key} {value} → {new}", {**base, key: new})
        yield Case(recipe, "values", f"{key} left out", rest)
        yield Case(recipe, "values", f"{key[:-1]} for {key}", {**rest, key[:-1]: value})
    unsaid = list(_unsaid(system, base))
    for key, new in unsaid[:: 1 + len(unsaid) // MOST_KEYS]:
        yield Case(recipe, "keys", f"{key} {new} added", {**base, key: new})


def _others(value: Any) -> Iterator[Any]:
    """Yield what one could have written by mistake in place of a value."""
    word = str(value)
    if word.lower() in ("true", "false"):
        yield from (word.lower() == "false",) if value is not True else ()
    elif word.lstrip("-").isdigit():
        number = int(word)
        yield from (
            new for new in dict.fromkeys((number * 3, 0, -1, number - 1, number + 1)) if new != number
        )
    elif _is_number(word):
        yield from (new for new in (float(word) * 10, 0.0, -float(word)) if new != float(word))
    elif len(word) > 2 and word.isidentifier():
        yield word[:-1]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _unsaid(system: str, base: Settings) -> Iterator[tuple[str, Any]]:
    """Yield what could be said further: the other state of each switch, and each word of a choice."""
    shipped = catalogue.load(system)
    newest = grammar.of(system, shipped.releases[-1], _command(system, base), ())
    for part in newest.parts if newest is not None else ():
        for key in () if part.prefix else part.keys():
            known = part.find(key)
            if known is None or key in base or key in CPU or known.kind.startswith("section"):
                continue
            if known.kind == "flag":
                yield key, True
            elif known.kind.startswith("bool") and isinstance(known.default, bool):
                yield key, not known.default
            else:
                yield from ((key, word) for word in known.choices if word != known.default)


def _command(system: str, base: Settings) -> Any:
    document = sources.read_text(_text(system, base), "a", _kind(system))
    return facts.walk(document, ToldFacts(system=system))[0].start.command


class Judge:
    """One process of upstream's validators, asked case by case: to import them takes longer than to ask."""

    def __init__(self, python: str, system: str, checkout: Path) -> None:
        self.command = [python, str(HERE / "oracle_judges.py"), system, str(checkout)]
        self.process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        paths = f"{MEGATRON.get('checkout', '')}:{os.environ.get('PYTHONPATH', '')}"
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )

    def says(self, settings: Settings) -> str | None:
        """Return what upstream says against some settings, None where it accepts them."""
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            return None
        stdin.write(json.dumps(settings) + "\n")
        stdin.flush()
        for line in stdout:
            if line.startswith(('"', "null")):
                return json.loads(line)  # type: ignore[no-any-return]
        ended = f"the process ended with exit code {self.process.wait()}"
        self.process = self._started()
        return ended


def ours(system: str, settings: Settings) -> dict[str, str]:
    """Return the errors that check has for some settings: rule and title."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "run.sh")
        if system in LAUNCHES:
            Path(folder, "grpo.yaml").write_text(_text(system, settings))
            script.write_text(LAUNCHES[system])
        else:
            script.write_text(_text(system, settings))
        report = check([str(script)], ToldFacts(system=system)).report
    return {each.id: each.title for each in report.findings if each.severity == "error"}


def _kind(system: str) -> Literal["yaml", "shell"]:
    return "yaml" if system in LAUNCHES else "shell"


def _text(system: str, settings: Settings) -> str:
    if system in LAUNCHES:
        tree: dict[str, Any] = {}
        for key, value in settings.items():
            *above, last = key.split(".")
            at = tree
            for name in above:
                at = at.setdefault(name, {}) if isinstance(at.get(name, {}), dict) else at
            at[last] = value
        return yaml.safe_dump(tree)
    if system == "verl":
        head = ["python3 -m verl.trainer.main_ppo"]
        return " ".join(
            [*head, *(shlex.quote(f"{k}={v}") for k, v in settings.items() if not k.startswith("-"))]
        )
    launch = {"slime": "python3 train.py"}.get(system, "torchrun --nproc_per_node 8 pretrain_gpt.py")
    said = [key if value is True else f"{key} {_quoted(value)}" for key, value in settings.items()]
    return " ".join([f"export CUDA_DEVICE_MAX_CONNECTIONS=1\n{launch}", *said])


def _quoted(value: Any) -> str:
    return " ".join(shlex.quote(word) for word in str(value).split(" "))


def compare(python: str, system: str, checkout: Path, most: int) -> dict[str, list[tuple[Case, str]]]:
    """Return the cases by agreement, each with the words of the one that refuses."""
    judge = Judge(python, system, checkout)
    accepted = [(name, base) for name, base in recipes(system, checkout) if judge.says(base) is None]
    chosen = accepted[:: -(-len(accepted) // most)] if accepted else []
    before = {name: set(ours(system, base)) for name, base in chosen}
    groups: dict[str, list[tuple[Case, str]]] = defaultdict(list)
    each = (case for name, base in chosen for case in changes(system, name, base))
    for case in chain(*(known(system, name, base) for name, base in chosen[:1]), each):
        theirs = judge.says(case.settings)
        said = ours(system, case.settings)
        new = {rule: title for rule, title in said.items() if rule not in before[case.recipe]}
        agreement = f"{'refused' if theirs else 'accepted'} {'error' if new else 'silent'}"
        words = "; ".join(f"{rule}: {title}" for rule, title in new.items()) if new else theirs or ""
        groups[agreement].append((case, words))
    groups["recipes"] = [(Case(name, "", "", {}), "") for name, _ in chosen]
    return groups


AGREEMENTS = ("refused error", "accepted silent", "refused silent", "accepted error")


def page(groups: Mapping[str, Mapping[str, list[tuple[Case, str]]]]) -> str:
    """Return the page of the documentation that tells the figures."""
    lines = ["# Check against upstream's own validators", "", str(__doc__).split("\n\n")[2].strip(), ""]
    heads = ("system", "recipes", "changes", "both refuse", "both accept")
    lines.append(f"| {' | '.join((*heads, 'they refuse, we are silent', 'we say error, they accept'))} |")
    lines += ["|---|---|---|---|---|---|---|"]
    for system, each in groups.items():
        for kind in ("known", "values", "keys"):
            numbers = [sum(case.kind == kind for case, _ in each.get(name, ())) for name in AGREEMENTS]
            told = [system, str(len(each["recipes"])), f"{kind} {sum(numbers)}", *map(str, numbers)]
            lines.append(f"| {' | '.join(told)} |")
    lines += ["", "## They refuse, we are silent"]
    for system, each in groups.items():
        lines += _listed(system, each.get("refused silent", ()))
    lines += ["", "## We say error, they accept"]
    for system, each in groups.items():
        lines += _listed(system, each.get("accepted error", ()))
    return "\n".join(lines) + "\n" + WHY


def _listed(system: str, cases: Sequence[tuple[Case, str]]) -> Iterator[str]:
    """Yield a line for each thing that is said, with how often it is and one change that brings it."""
    alike: dict[str, list[tuple[Case, str]]] = defaultdict(list)
    for case, words in cases:
        alike[NUMBER.sub("N", words[:LONGEST])].append((case, words[:LONGEST]))
    for each in sorted(alike.values(), key=len, reverse=True):
        case, words = each[0]
        where = next((f"; refused by `{case.where}`" for case, _ in each if case.where), "")
        yield f"- {system}: {case.change} ({len(each)}×): `{words}`{where}"


def main() -> None:
    """Print the table, and write it as a page where asked."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("python")
    words.add_argument("systems", nargs="+", metavar="SYSTEM=CHECKOUT")
    words.add_argument("--recipes", type=int, default=6)
    words.add_argument("--out", type=Path)
    asked = words.parse_args()
    pairs = [pair.split("=", 1) for pair in asked.systems]
    MEGATRON["checkout"] = dict(pairs).get("megatron", "")
    text = page({name: compare(asked.python, name, Path(path), asked.recipes) for name, path in pairs})
    if asked.out:
        asked.out.write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
