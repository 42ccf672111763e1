"""A rule's first cure in the forms in which people write settings: variable, array, sourced file, Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rule_examples import told_by
from test_rule_edits import EXAMPLES, errors, proposals, written

from rldoctor import edits, sources
from rldoctor.check import Checked, check
from rldoctor.rules import Rule
from rldoctor.rules.examples import RuleTest
from rldoctor.sources import Told
from rldoctor.types import Command, Finding, Remedy, Setting

Rewrite = Callable[[Path, Command], dict[str, str]]
SIMPLE = re.compile(r"[\w./-]+")
ONE_EACH = list({rule.id: (rule, test) for rule, test in reversed(EXAMPLES) if test.config}.values())


def in_variables(entry: Path, command: Command) -> dict[str, str]:
    """Return the script with each plain value in a variable of its own."""
    text, names = entry.read_bytes(), []
    places = [s.value_place for s in own(command, entry) if s.value_place and s.form in ("flag", "override")]
    for place in sorted(set(places), key=lambda place: -place.start):
        value = text[place.start : place.end].decode()
        if SIMPLE.fullmatch(value) and text[place.start - 1 : place.start] in (b"=", b" "):
            names.append(f"V{len(names)}={value}")
            text = text[: place.start] + f"$V{len(names) - 1}".encode() + text[place.end :]
    return {entry.name: "\n".join([*names, text.decode()])}


def in_an_array(entry: Path, command: Command) -> dict[str, str]:
    """Return the script with its arguments in an array, one a line."""
    head, body, tail = around(entry, command)
    return {entry.name: f"ARGS=(\n{lines(body)})\n{head}" + '"${ARGS[@]}"' + tail}


def in_a_sourced_file(entry: Path, command: Command) -> dict[str, str]:
    """Return the script with its arguments in an array of another file."""
    head, body, tail = around(entry, command)
    script = f"source ./arguments.sh\n{head}" + '"${ARGS[@]}"' + tail
    return {entry.name: script, "arguments.sh": f"ARGS=(\n{lines(body)})\n"}


def in_python(entry: Path, command: Command) -> dict[str, str]:
    """Return a launcher whose text is the script."""
    return {"launch.py": f"import os\n\nos.system(r'''\n{entry.read_text()}''')\n"}


def own(command: Command, entry: Path) -> list[Setting]:
    return [each for each in command.settings if each.place is not None and each.place.file == str(entry)]


def around(entry: Path, command: Command) -> tuple[str, str, str]:
    """Return a script's text before, in and after the arguments of a command."""
    data = entry.read_bytes()
    places = [each.place for each in own(command, entry) if each.place is not None]
    start, end = min(place.start for place in places), max(place.end for place in places)
    if command.place is None or start < command.place.start:
        pytest.skip("the example has its arguments in arrays already")
    return data[:start].decode(), data[start:end].decode(), data[end:].decode()


def lines(body: str) -> str:
    return "".join(f"  {line.strip()}\n" for line in re.sub(r"\\\n", "\n", body).splitlines() if line.strip())


@pytest.mark.parametrize("form", [in_variables, in_an_array, in_a_sourced_file, in_python])
@pytest.mark.parametrize(("rule", "test"), ONE_EACH, ids=[rule.id for rule, _ in ONE_EACH])
def test_a_cure_works_in_every_form(rule: Rule, test: RuleTest, form: Rewrite, tmp_path: Path) -> None:
    entry = written(test, tmp_path / "example")
    if entry.suffix == ".yaml":
        pytest.skip("a YAML file: its own examples apply their edits")
    _, wanted = cure(rule, check([str(entry)], told_by(test)))
    command = trained(entry, test)
    if wanted is None or command is None:
        pytest.skip("no cure with an edit, or nothing that could be written in another form")
    folder = tmp_path / "form"
    folder.mkdir()
    for name, text in form(entry, command).items():
        (folder / name).write_text(text)
    path = folder / ("launch.py" if form is in_python else entry.name)
    before = check([str(path)], told_by(test))
    finding, remedy = cure(rule, before)
    assert finding is not None, [each.rule for each in before.report.findings]
    if remedy is None:
        assert form is in_python and variables_alone(wanted)
        return
    edits.apply(remedy.edits, {str(each): each.read_bytes() for each in folder.iterdir()})
    after = check([str(path)], told_by(test))
    left = [(each.rule, each.role, each.title) for each in after.report.findings]
    assert (finding.rule, finding.role, finding.title) not in left, (remedy.title, path.read_text())
    assert errors(after) <= errors(before)


def variables_alone(remedy: Remedy) -> bool:
    """Say whether a cure sets an environment variable: a launcher's own has no one place."""
    return any(name.startswith("env.") for name in remedy.set)


def cure(rule: Rule, checked: Checked) -> tuple[Finding | None, Remedy | None]:
    """Return the rule's first finding that is certain, and its first cure with an edit."""
    found = next(
        (each for each in checked.report.findings if each.rule == rule.id and each.confidence == "certain"),
        None,
    )
    proposed = next(((finding, each) for finding, each, _ in proposals(rule, checked)), None)
    return proposed if proposed is not None else (found, None)


def trained(entry: Path, test: RuleTest) -> Command | None:
    """Return the one command of a script that has arguments of its own and is not a wrapper."""
    document = sources.read(str(entry), Told(told_by(test).env))
    if len(document.worlds) != 1:
        return None
    wrapping = {name for command in document.worlds[0] for name in command.wrapped_by}
    inner = [each for each in document.worlds[0] if own(each, entry) and each.program not in wrapping]
    return inner[0] if len(inner) == 1 else None
