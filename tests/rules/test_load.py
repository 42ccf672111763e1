from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rldoctor.rules.load import RuleFileErrors, load_all
from rldoctor.rules.schema import Rule

RULES = Path(__file__).parent.parent / "fixtures" / "rules"
SOUND = (RULES / "train" / "more-pipeline-stages-than-layers.yaml").read_text()
EVENTFUL = (RULES / "rollout" / "long-collective-in-rollout.yaml").read_text()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Rule]:
    def load(text: str, name: str = "train/some-bad-thing.yaml") -> Rule:
        file = tmp_path / name
        file.parent.mkdir()
        file.write_text(text)
        (rule,) = load_all(tmp_path)
        return rule

    return load


@pytest.fixture
def mistakes(read: Callable[..., Rule]) -> Callable[..., list[str]]:
    def told(text: str, name: str = "train/some-bad-thing.yaml") -> list[str]:
        """Return each mistake as line:column: message."""
        with pytest.raises(RuleFileErrors) as caught:
            read(text, name)
        return [f"{error.line}:{error.column}: {error.message}" for error in caught.value.mistakes]

    return told


def changed(old: str, new: str, text: str = SOUND) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def test_a_sound_file_becomes_a_rule() -> None:
    rules = {rule.id: rule for rule in load_all(RULES)}
    rule = rules["more-pipeline-stages-than-layers"]
    assert (rule.phase, rule.severity, rule.roles) == ("train", "error", ("policy", "critic"))
    config, log = rule.on
    assert (config.kind, config.when) == ("config", None)
    assert log.find == ("number of layers", r"/num_layers \(\d+\)/")
    assert (log.within, log.same, log.severity) == (20, "process", "warning")
    assert rule.remedies[0].set == {"train.pp": ["call", "halve", [["name", "train.pp"]], {}]}
    assert rule.remedies[1].set == {"train.pp": ["const", 1]}
    assert [test.expect for test in rule.tests] == ["certain", "none", "certain", "possible"]


def test_on_is_a_word_and_a_release_keeps_its_zero(read: Callable[..., Rule]) -> None:
    rule = read(EVENTFUL)
    assert [trigger.kind for trigger in rule.on] == ["event", "metric"]
    assert rule.since == {"verl": "0.10"}
    assert rule.until == {"verl": "1.0"}


def test_all_mistakes_are_told_at_once_with_their_places(mistakes: Callable[..., list[str]]) -> None:
    text = """\
severity: fatal
titel: no title
explanation: it breaks
references: []
family: memory
verdict: config
on:
- config: {when: train.tq > 1}
- log: {find: '/[/'}
when: ckpt.format == 'torch-dist'
remedies:
- {title: two at once, safety: safe, set: {train.tp: 1}, command: make}
tests:
- {name: only a match, facts: {train.tp: 2}, expect: certain}
"""
    assert mistakes(text) == [
        "1:1: a rule has no title",
        "1:11: unknown severity fatal, known: error, warning, hint, harmless",
        "2:1: unknown key titel, did you mean title?",
        "4:13: references is a list of at least one",
        "5:9: unknown family memory, known: " + ", ".join(FAMILIES),
        "8:18: unknown concept train.tq, did you mean train.tp?",
        "9:15: not an RE2 pattern: missing ]: [",
        "10:23: unknown word for ckpt.format: torch-dist, did you mean torch_dist?",
        "12:3: a remedy has one action, this has set and command",
        "14:1: no test is a near miss: expect none",
    ]


FAMILIES = (
    "oom",
    "collective_timeout",
    "process_death",
    "connection_lost",
    "assertion",
    "numeric",
    "stall",
    "storage",
    "hardware",
    "config",
    "data",
    "code",
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("when: train.pp > model", "when: critik.train.pp > model", "21:7: unknown concept critik.train.pp"),
        ("when: train.pp > model.num_layers", "when: train.pp > '8'", "compared with the text '8'"),
        ("when: train.pp > model.num_layers", "when: train.pp >", "21:17: not an expression"),
        ("when: train.pp > model.num_layers", "when: train.pp is None", "(write == None)"),
        ("when: train.pp > model.num_layers", "when: grad_norm > 1", "no trigger here is one"),
        ("when: train.pp > model.num_layers", "when: event.op == 'x'", "no trigger here has event.…"),
        (
            "when: train.pp > model.num_layers",
            "when: version.verl < 0.7",
            "is text, and is compared with 0.7",
        ),
        ("when: train.pp > model.num_layers", "when: version.verk < '0.7'", "did you mean verl?"),
        ("when: train.pp > model.num_layers", "when: system == 'slim'", "did you mean slime?"),
        ("when: train.pp > model.num_layers", "when: torch_dist == ckpt.format", "a text stands in quotes"),
        (
            "when: match.layers > 0",
            "when: match.layer > 0",
            "unknown match field layer, did you mean layers?",
        ),
        ("(?P<layers>", "(", "match has no named group"),
        ('find: ["number', 'find: ["/.*/", "number', "found in every line"),
        ("within: 20", "within: many", "a whole number from 1 to"),
        ("within: 20", "same: procces", "did you mean process?"),
        ("[policy, critic]", "[policy, critics]", "did you mean critic?"),
        ("explains: [process_death]", "explains: process_deaths", "did you mean process_death?"),
        ("explains: [process_death]", "explains: some-bad-thing", "does not explain itself"),
        ("halve(train.pp)", "half(train.pp)", "unknown function half"),
        ("halve(train.pp)", "halve(4)", "takes the name of a concept"),
        ("halve(train.pp)", "halve()", "is given 0"),
        ("halve(train.pp)", "halve(train.pp, flor=2)", "did you mean floor?"),
        ("set: {train.pp: 1}", "set: {train.pp: false}", "train.pp is int, not False"),
        ("set: {train.pp: 1}", "set: {train.pp: }", "'null' for the system's null"),
        ("set: {train.pp: 1}", "set: {train.dp: 1}", "is derived"),
        ("set: {train.pp: 1}", "set: {ckpt.format: torchdist}", "did you mean torch_dist?"),
        ("safety: unsafe", "safety: saef", "did you mean safe?"),
        ("'safe' if train.dp", "'save' if train.dp", "did you mean safe?"),
        ("title: No pipeline, safety: unsafe, set: {train.pp: 1}", "title: x, safety: safe", "has an action"),
        ("{train.pp} stages", "{train.p} stages", "2:10: unknown concept train.p, did you mean train."),
        ("{train.pp} stages", "{train.pp stages", "a single {"),
        ("rows: [V6]", "rows: [five]", "a letter and a number"),
        ("expect: none", "expect: silent", "known: certain, possible, none"),
        ("rows: [V6]\n", "symptom: maybe\n", "true or false"),
        ("verdict: config\n", "verdict: config\nverdict: data\n", "stands here twice"),
        (
            "family: assertion\nverdict: config",
            "verdict: config\nfamily: assertion",
            "family stands before verdict",
        ),
    ],
)
def test_a_mistake_is_told_with_what_may_have_been_meant(
    mistakes: Callable[..., list[str]], old: str, new: str, said: str
) -> None:
    told = mistakes(changed(old, new))
    assert any(said in text for text in told), told


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("event.op in", "event.device in", "13:40: unknown event field device"),
        ("== 'rollout'", "== 'roll'", "13:27: unknown word for event.phase: roll"),
        ("{event.elements}", "{event.bytes_free}", "2:25: unknown event field bytes_free"),
    ],
)
def test_an_event_binds_its_own_fields_alone(
    mistakes: Callable[..., list[str]], old: str, new: str, said: str
) -> None:
    assert mistakes(changed(old, new, EVENTFUL))[0].startswith(said)


@pytest.mark.parametrize(
    ("name", "said"),
    [("training/bad-thing.yaml", "unknown phase"), ("train/Bad_Thing.yaml", "words-joined-by-dashes")],
)
def test_the_folder_is_a_phase_and_the_name_is_words(
    mistakes: Callable[..., list[str]], name: str, said: str
) -> None:
    assert said in mistakes(SOUND, name)[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: [unclosed", "not YAML"),
        ("- a list", "a rule is a mapping of severity"),
        ("", "the file is empty"),
        ("a: &a [*a]\n", "unknown key a"),
        ("title: !!int x\n", "a rule has no severity"),
    ],
)
def test_a_file_that_is_no_rule_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "train" / "bad-thing.yaml"
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(RuleFileErrors, match=said):
        load_all(tmp_path)


def test_bytes_that_are_no_text_and_names_that_clash_are_told_beside_other_mistakes(tmp_path: Path) -> None:
    for folder in ("train", "rollout", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for folder in ("train", "rollout"):
        (tmp_path / folder / "same-name.yaml").write_text(SOUND)
    with pytest.raises(RuleFileErrors) as caught:
        load_all(tmp_path)
    told = str(caught.value)
    assert "not UTF-8" in told
    assert "has the same name" in told


def test_the_rules_that_ship_have_no_mistake() -> None:
    load_all()
