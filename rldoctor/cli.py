"""The command line: words → one call → one report → exit code."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from rldoctor import __version__
from rldoctor.exits import BAD_INPUT, FOUND, INTERRUPTED, OK
from rldoctor.options import Launch, about_the_run, chooses, offers, prints, told_facts
from rldoctor.types import Report, RLDoctorError

if TYPE_CHECKING:
    from rldoctor.check import Checked
    from rldoctor.facts import ToldFacts
    from rldoctor.suppress.choice import Choice

RELEASE: Final = "the release (--framework-version tells it)"
FOUND_FORMS: Final = ("text", "json", "sarif", "github")
PATH: Final = click.Path(allow_dash=True)


EXAMPLES: Final = """\b
Begin with one of these:
  rldoctor check launch.sh            before a launch: what will fail, and the edits
  rldoctor check launch.sh --fix      make the safe edits, with a backup
  rldoctor diagnose run.log           after a failure: a log, several, or a folder
  rldoctor estimate launch.sh --set cluster.gpu_memory_gib=80
  rldoctor run -- bash launch.sh      launch, watch, and diagnose where it fails
  rldoctor explain token-budget-inactive"""
FINDS: Final = "Exit codes: 0 no error or warning, 1 some, 2 bad input or usage."


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXAMPLES)
@click.version_option(__version__, "-V", "--version", prog_name="rldoctor")
def cli() -> None:
    """Checks before launch, runs and heals, and diagnoses after a failure: RL post-training of LLMs."""


@cli.command(cls=Launch, short_help="Before a launch: what is wrong with scripts and configs.", epilog=FINDS)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE... [-- ARGUMENT...]")
@about_the_run
@prints(*FOUND_FORMS)
@chooses("--select", "Only these rules, phases, severities.")
@chooses("--ignore", "All but these rules, phases, severities.")
@click.option("--host", metavar="FILE|this", help="The machine: `rldoctor host --format json`, or this one.")
@click.option("--diff", "as_diff", is_flag=True, help="Only show the edits that --fix would make.")
@click.option("--fix", "do_fix", is_flag=True, help="Make the safe edits in the files.")
@click.option("--unsafe-fixes", is_flag=True, help="Edits that may change results or costs, too.")
@click.option("--explain-unknown", is_flag=True, help="Say which rules are silent, and on what they hang.")
def check(
    files: tuple[str, ...], told: tuple[str, ...], system: str | None, form: str, **how: Any
) -> NoReturn:
    """Say what is wrong with launch scripts and configurations, and mend it.

    FILE is a launch script, a YAML configuration, or - for standard input. What stands behind -- are the
    arguments that the script is started with.
    """
    facts, asked = told_facts(told, system, how["host"]), _choice(how["select"], how["ignore"])
    if (how["do_fix"] or how["unsafe_fixes"]) and not how["as_diff"]:
        if "-" in files:
            raise RLDoctorError("standard input is no file to be mended", hint="--diff shows the edits")
        checked = _fix(files, facts, how["unsafe_fixes"], asked)
    else:
        from rldoctor.check import check as run_check

        checked = run_check(files, facts, asked, with_facts=form == "json")
    if how["as_diff"]:
        from rldoctor.fix import preview

        sys.stdout.write(preview(checked, unsafe=how["unsafe_fixes"]))
    elif form != "text" or checked.files or not checked.errors:
        _print(checked.report, form)
    if how["explain_unknown"]:
        for silent in checked.silent:
            _say(f"silent: {silent.rule}: unknown: {', '.join(silent.unknown) or RELEASE}")
    for error in checked.errors:
        _say(f"error: {error}")
    sys.exit(BAD_INPUT if checked.errors else _code(checked.report))


def _choice(select: Sequence[str], ignore: Sequence[str]) -> Choice | None:
    if not select and not ignore:
        return None
    from rldoctor.rules import index
    from rldoctor.suppress.choice import choice

    return choice(select, ignore, index().ids)


def _fix(files: Sequence[str], facts: ToldFacts, unsafe: bool, asked: Choice | None) -> Checked:
    """Make the edits; say on standard error what was changed and what was left alone."""
    from rldoctor.fix import fix

    fixed = fix(files, facts, unsafe=unsafe, choice=asked)
    for change in fixed.applied:
        named = change.backup and (
            change.backup if change.file.startswith("/") else os.path.relpath(change.backup)
        )
        _say(f"changed {change.file}" + (f" (before: {named})" if named else ""))
    for text in fixed.left:
        _say(f"left: {text}")
    return fixed.checked


@cli.command(short_help="After a failure: the root cause in logs.", epilog=FINDS)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...|-")
@about_the_run
@prints(*FOUND_FORMS)
@click.option("--config", metavar="FILE", help="The configuration of the run, else the log's own is used.")
@click.option("--verbose", "-v", is_flag=True, help="All findings, cures and notes, and the timeline.")
@click.option("--against", metavar="GOOD", help="The log of a run that went well: what is different.")
@click.option("--bundle", metavar="FILE", help="Write what an issue upstream asks for (.zip, else Markdown).")
@click.option("--follow", is_flag=True, help="Wait for a live run to fail, fall ill, or end.")
@click.option("--timeout", type=float, metavar="SECONDS", help="With --follow: silence that is an end.")
def diagnose(
    files: tuple[str, ...], told: tuple[str, ...], system: str | None, form: str, **how: Any
) -> NoReturn:
    """Name the root cause of a failed run, with what only follows from it folded under it.

    FILE is a log, a folder of logs and dumps, .gz or .zst, or - for standard input.
    """
    facts = told_facts(told, system)
    if how["bundle"]:
        from rldoctor.report.bundle import refuse_unwritable

        refuse_unwritable(how["bundle"])
    if how["follow"]:
        from rldoctor.diagnose.live import follow

        report = follow(files, how["config"], facts, how["timeout"])
    else:
        from rldoctor.diagnose import diagnose as run_diagnose
        from rldoctor.diagnose.gathering import refuse_empty

        refuse_empty(files)
        report = run_diagnose(files, how["config"], facts, against=how["against"])
    _print(report, form, how["verbose"])
    if how["bundle"]:
        from rldoctor.report.bundle import write

        write(report, how["bundle"], how["config"])
        _say(f"wrote {how['bundle']}; read it before you post it")
    sys.exit(_code(report))


@cli.command(
    short_help="What each phase holds on GPU, host and disk, and what fits.",
    epilog="Exit codes: 0 every phase fits, or nobody can say; 1 one does not; 2 bad input or usage.",
)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@about_the_run
@prints("text", "json")
@click.option("--solve", multiple=True, metavar="CONCEPT", help="The largest value that surely fits.")
@click.option("--what-if", multiple=True, metavar="CONCEPT=VALUE", help="The same with another value.")
@click.option("--rank", type=click.Choice(["fullest", "all"]), default="fullest", show_default=True)
@click.option("--measured", multiple=True, metavar="RUN|LOG|reserved=GIB", help="Peaks to calibrate with.")
def estimate(
    files: tuple[str, ...], told: tuple[str, ...], system: str | None, form: str, **how: Any
) -> NoReturn:
    """Say what every phase of a run holds on GPU, host and disk, and what fits."""
    from rldoctor.estimate import Ask
    from rldoctor.estimate import estimate as run_estimate

    ask = Ask(how["solve"], how["what_if"], how["rank"] == "all", how["measured"])
    report = run_estimate(files, told_facts(told, system), ask)
    if form == "json":
        _print(report, form)
    else:
        from rldoctor.report.sizes import as_text

        sys.stdout.write(as_text(report))
    sys.exit(OK if report.verdict == "nothing" else FOUND)


@cli.command(
    cls=Launch,
    short_help="Run a training under supervision: watch, diagnose, heal, tune.",
    epilog="Exit codes: 0 finished, healed too; 1 stopped with a diagnosis; 2 bad input or usage; 130 Ctrl-C "
    "(--resume goes on).",
)
@click.argument("config", nargs=-1, type=PATH, metavar="[CONFIG | -- COMMAND...]")
@click.option("--autotune", is_flag=True, help="Heal failures and tune the token budget, live.")
@click.option("--run-folder", metavar="DIR", help="Where the run writes.")
@click.option("--resume", metavar="DIR", help="Go on with the run of a folder.")
@click.option("--set", "told", multiple=True, metavar="KEY=VALUE", help="Change a setting for this run.")
@click.option("--write", is_flag=True, help="Carry what was changed into CONFIG at the end, with a backup.")
@click.option("--allow-unsafe", is_flag=True, help="Cures that may change results or costs, too.")
@click.option(
    "--hang-after",
    type=float,
    metavar="SECONDS",
    help="Silence that is a hang; of a COMMAND, in what it prints.",
)
@click.option("--quiet", is_flag=True, help="Tell the end alone.")
def run(config: tuple[str, ...], told: tuple[str, ...], **how: Any) -> NoReturn:
    """Run a training under supervision; with --autotune heal what fails and tune what pays.

    Without CONFIG ./config.yaml is run, else the example that comes along.
    """
    from rldoctor.run.command import run as supervised
    from rldoctor.run.session import Options

    folder, again = how.pop("run_folder"), how.pop("resume")
    behind = click.get_current_context().meta["behind"]
    if behind == () and click.get_current_context().meta["dashes"]:
        raise RLDoctorError("no command stands behind --", hint="for example rldoctor run -- bash launch.sh")
    sys.exit(supervised(config, behind, folder, again, told, Options(**how)))


@cli.command(
    short_help="This machine: GPUs, limits, disks, network, versions.",
    epilog="Exit codes: 0 nothing stands in the way, 1 warnings or errors, 2 usage.",
)
@click.option("--checkpoints", multiple=True, metavar="DIR", help="Where checkpoints will be written.")
@click.option(
    "--port",
    "ports",
    multiple=True,
    type=click.IntRange(1, 65535),
    metavar="N",
    help="A port the run will take.",
)
@prints("text", "json")
def host(checkpoints: tuple[str, ...], ports: tuple[int, ...], form: str) -> NoReturn:
    """Say what of this machine stands in the way of a run: GPUs, limits, disks, network, versions."""
    from rldoctor import host as machine
    from rldoctor.host.lines import Asked

    lines = machine.examine(Asked(checkpoints, ports))
    sys.stdout.write(machine.as_json(lines) + "\n" if form == "json" else machine.as_text(lines))
    sys.exit(FOUND if machine.is_loud(lines) else OK)


@cli.command(short_help="What a rule knows, or what a word of --set means.")
@click.argument(
    "words", metavar="RULE|CONCEPT|GROUP|WORDS", nargs=-1, required=True, shell_complete=offers("explained")
)
def explain(words: tuple[str, ...]) -> None:
    """Say what a rule knows, a concept of --set means or a group has; else which rules have the words."""
    from rldoctor.explain import explain as run_explain

    sys.stdout.write(run_explain(" ".join(words)))


@cli.command()
def rules() -> None:
    """List the rules."""
    from rldoctor.explain import overview

    sys.stdout.write(overview())


def _print(report: Report, form: str, verbose: bool = False) -> None:
    if form == "json":
        from rldoctor.report.structured import as_json

        sys.stdout.write(as_json(report) + "\n")
    elif form == "sarif":
        from rldoctor.report.annotated import as_sarif

        sys.stdout.write(as_sarif(report) + "\n")
    elif form == "github":
        from rldoctor.report.annotated import as_annotations

        sys.stdout.write(as_annotations(report))
    else:
        from rldoctor.report.terminal import draw

        draw(report, verbose)


def _code(report: Report) -> int:
    loud = any(finding.severity in ("error", "warning") for finding in report.findings)
    return FOUND if loud else OK


def _say(text: str) -> None:
    """Print to standard error what is no part of the report."""
    from rldoctor.report.redact import redact

    print(redact(text), file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; bad input is one message and code 2, never a traceback."""
    if os.environ.get("RLDOCTOR_DEBUG") != "1":
        sys.excepthook = _unexpected
    _say_anything()
    try:
        cli.main(args=None if argv is None else list(argv), prog_name="rldoctor", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OK)
    except RLDoctorError as error:
        _say(f"error: {error}")
        sys.exit(BAD_INPUT)
    except OSError as error:
        if os.environ.get("RLDOCTOR_DEBUG") == "1":
            raise
        _say(f"error: {_of_system(error)}")
        os._exit(BAD_INPUT)  # what is still to be written would only fail again
    finally:
        gc.freeze()  # the process ends: walking all that lives once more frees nothing
    sys.exit(OK)


def _say_anything() -> None:
    """Have no character of a log or a path end the program: what an encoding lacks is shown otherwise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            whole = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="backslashreplace" if whole else "replace")


def _of_system(error: OSError) -> str:
    """Return what the system refuses, in words."""
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if error.errno == errno.ENOENT:
        return "the current folder does not exist any more"
    return f"cannot be written: {error.strerror}"


def _unexpected(kind: type[BaseException], error: BaseException, _trace: object) -> None:
    """Say an internal error in one line; code 2, since code 1 would mean that something was found."""
    sys.stdout.flush()
    print(
        f"rldoctor: internal error: {kind.__name__}: {error}. Please report it with the output of the same "
        "command under RLDOCTOR_DEBUG=1.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(BAD_INPUT)
