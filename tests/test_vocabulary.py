import pytest
import yaml

from rldoctor import vocabulary
from rldoctor.types import ROLES

RAW = {
    "roles": dict.fromkeys(ROLES, "a role"),
    "phases": {"train": "steps"},
    "families": {"oom": "memory ran out"},
    "concepts": {"train.tp": {"type": "int", "meaning": "tensor parallel size"}},
    "metrics": {"loss": {"meaning": "training loss"}},
    "events": {"hang": {"meaning": "nothing moves", "fields": {"seconds": {"type": "float"}}}},
    "functions": {"halve": {"kind": "sizing", "takes": ["concept"], "meaning": "half"}},
}


def raw(**parts):
    return {**RAW, **parts}


def test_the_shipped_vocabulary_survives_json_and_is_cached():
    read = vocabulary.read(vocabulary.FILE)
    assert vocabulary.from_json(vocabulary.as_json(read)) == read
    assert vocabulary.load() == read
    assert vocabulary.load() is vocabulary.load()


def test_the_shipped_vocabulary_has_no_id_twice():
    def no_twice(loader, node, deep=False):
        keys = [loader.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), [key for key in keys if keys.count(key) > 1]
        return {loader.construct_object(k): loader.construct_object(v, deep=True) for k, v in node.value}

    class Strict(yaml.SafeLoader):
        pass

    Strict.add_constructor("tag:yaml.org,2002:map", no_twice)
    yaml.load(vocabulary.FILE.read_text(), Loader=Strict)


def test_present_and_asked_are_different_concepts():
    concepts = vocabulary.load().concepts
    assert concepts["cluster.gpus"].present and not concepts["train.gpus"].present
    assert concepts["cluster.gpu_memory_gib"].unit == "GiB"


def test_phases_and_enum_choices_of_events_are_known():
    words = vocabulary.load()
    fields = [field for kind in words.events.values() for field in kind.fields.values()]
    assert {field.type for field in fields} <= {*vocabulary.TYPES, "phase"}
    assert words.events["out_of_memory"].fields["device"].choices == ("gpu", "host", "cpu_limit")
    assert {phase.split(".")[0] for phase in words.phases} <= set(words.phases)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"concepts": {"train.tp": {"type": "integer", "meaning": "x"}}}, "type is one of"),
        ({"concepts": {"train.tp": {"type": "enum", "meaning": "x"}}}, "an enum has choices"),
        ({"concepts": {"tp": {"type": "int", "meaning": "x"}}}, "an id is group.name"),
        ({"metrics": {"loss": {}}}, "loss has no meaning"),
        ({"functions": {"halve": {"kind": "magic", "takes": [], "meaning": "x"}}}, "kind is one of"),
        ({"events": {"hang": {"meaning": "x", "field": {}}}}, "unknown key field, did you mean fields?"),
        ({"roles": {"policy": "x"}}, "roles: critic stands on one side only"),
    ],
)
def test_a_mistake_is_refused(parts, said):
    with pytest.raises(vocabulary.VocabularyErrors, match=said.replace(".", r"\.").replace("?", r"\?")):
        vocabulary.parse(raw(**parts), "vocabulary.yaml")


def test_all_mistakes_are_told_at_once():
    wrong = raw(concepts={"tp": {"type": "integer", "meaning": "x"}}, metrics={"loss": {}})
    with pytest.raises(vocabulary.VocabularyErrors) as error:
        vocabulary.parse(wrong, "vocabulary.yaml")
    assert len(error.value.message.splitlines()) == 3


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("train.tpp", "train.tp"),
        ("rollout.train.ep", "rollout.ep"),
        ("batch.globl", "batch.global"),
        ("zz", None),
    ],
)
def test_nearest(word, near):
    assert vocabulary.nearest(word, vocabulary.load().concepts) == near


def test_words_are_frozen():
    with pytest.raises(AttributeError):
        vocabulary.load().concepts["train.tp"].type = "str"
