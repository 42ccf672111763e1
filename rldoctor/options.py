"""Options that several commands have: what tells facts of the run, and what chooses rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from rldoctor.types import RLDoctorError

if TYPE_CHECKING:
    from rldoctor.facts import ToldFacts

SHORT: Final = {"gpus": "cluster.gpus_per_node", "nodes": "cluster.nodes", "model": "model.path"}
POSITIVE: Final = click.IntRange(min=1)
RELEASE: Final = re.compile(r"v?\d+(\.\d+)*([.+-]?[A-Za-z]\w*)*([.+-]\w+)*")

Command = TypeVar("Command", bound=Callable[..., Any])


def _remember_versions(ctx: click.Context, _: click.Parameter, words: tuple[str, ...]) -> None:
    """Keep the releases that are told for what reads the facts; without a system it is the launched one's."""
    pairs = (word.rpartition("=") for word in words)
    told = {system.strip(): version.strip() for system, _, version in pairs}
    for version in told.values():
        if not RELEASE.fullmatch(version):
            raise RLDoctorError(
                f"--framework-version {version}: not a release",
                hint="0.6.1 of what is launched, or sglang=0.5.9",
            )
    ctx.meta["versions"] = {system: version.removeprefix("v") for system, version in told.items()}


def _remember(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    """Keep what is told of the machine for what reads the facts."""
    ctx.meta[str(option.name)] = value


def _telling(name: str, **how: Any) -> Callable[[Command], Command]:
    return click.option(name, expose_value=False, callback=_remember, **how)


def offers(kind: str) -> Callable[[click.Context, click.Parameter, str], Any]:
    """Return what a shell is offered; only a completion loads the words."""

    def complete(ctx: click.Context, option: click.Parameter, begun: str) -> Any:
        from rldoctor import completion

        return getattr(completion, kind)(ctx, option, begun)

    return complete


ABOUT_THE_RUN: Final = (
    _telling("--gpus", type=POSITIVE, metavar="N", help="GPUs of a node that exist."),
    _telling("--nodes", type=POSITIVE, metavar="N", help="Nodes that exist."),
    _telling("--model", metavar="PATH|NAME", help="The model, where the files do not tell it."),
    _telling(
        "--env", multiple=True, metavar="NAME=VALUE", help="A variable that the script is started with."
    ),
    click.option(
        "--set",
        "told",
        multiple=True,
        metavar="CONCEPT=VALUE",
        help="Tell a fact (cluster.gpus=8); `rldoctor explain cluster` lists such words.",
        shell_complete=offers("concepts"),
    ),
    click.option(
        "--system",
        metavar="NAME",
        help="The system, where the files do not tell it.",
        shell_complete=offers("systems"),
    ),
    click.option(
        "--framework-version",
        metavar="[SYSTEM=]VERSION",
        multiple=True,
        expose_value=False,
        callback=_remember_versions,
        help="The release in use (0.6.1, sglang=0.5.9).",
    ),
)


def about_the_run(command: Command) -> Command:
    """Add the options that tell facts to a command."""
    for option in reversed(ABOUT_THE_RUN):
        command = option(command)
    return command


def prints(*forms: str) -> Callable[[Command], Command]:
    """Return the option of what a command prints; the first form is the default."""
    return click.option("--format", "form", type=click.Choice(forms), default=forms[0], show_default=True)


def chooses(name: str, meaning: str) -> Callable[[Command], Command]:
    """Return an option of rule ids, phases and severities."""
    return click.option(
        name, multiple=True, metavar="WORD,…", help=meaning, shell_complete=offers("asked_for")
    )


class Launch(click.Command):
    """A command whose words behind ``--`` are another command, kept as they are."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what stands behind ``--`` apart from the options."""
        at = args.index("--") if "--" in args else len(args)
        ctx.meta["behind"], ctx.meta["dashes"] = tuple(args[at + 1 :]), at < len(args)
        return super().parse_args(ctx, args[:at])


def told_facts(pairs: Sequence[str], system: str | None, host: str | None = None) -> ToldFacts:
    """Return the facts that the options of a command tell."""
    from rldoctor import dialects
    from rldoctor.facts import ToldFacts
    from rldoctor.facts.told import typed

    if system is not None:
        dialects.load(system)
    meta = click.get_current_context().meta
    words = dict(_pair("--set", text) for text in pairs)
    env = dict(_pair("--env", text) for text in meta.get("env", ())) | _behind("env.", words)
    versions = _behind("version.", words) | meta.get("versions", {})
    for name in (name for name in versions if name):
        dialects.load(name)
    facts = {name: value for name, value in words.items() if not name.startswith(("env.", "version."))}
    short = {concept: str(meta[name]) for name, concept in SHORT.items() if meta.get(name) is not None}
    facts = {**(_of_host(host) if host else {}), **short, **facts}
    typed(facts)
    return ToldFacts(facts, system, versions, env, meta.get("behind", ()))


def _of_host(name: str) -> dict[str, str]:
    from rldoctor.host import facts

    return facts.of_this() if name == "this" else facts.of_file(name)


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        example = {"--set": "CONCEPT=VALUE|cluster.gpus_per_node=8", "--env": "NAME=VALUE|NNODES=2"}[option]
        shape, _, like = example.partition("|")
        raise RLDoctorError(f"{option} {text}: not {shape}", hint=f"for example {option} {like}")
    return name.strip(), value


def _behind(prefix: str, words: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in words.items() if name.startswith(prefix)}
