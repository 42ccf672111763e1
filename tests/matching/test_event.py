from typing import Any

from hand_made import index_of, line, nobody, reading, rule, trigger

from rldoctor.matching import match_log
from rldoctor.types import Event, Identity


def oom(**fields: Any) -> Event:
    return Event(
        "out_of_memory",
        fields,
        Identity(rank=2),
        phase="train.backward",
        lines=(line(5, "CUDA out of memory", 2),),
    )


def test_fields_are_bound_and_the_phase_is_told() -> None:
    backward = trigger(
        "event", "event.device == 'gpu' and event.phase == 'train.backward'", event="out_of_memory"
    )
    seen = rule(on=(backward,), title="{event.bytes_asked} bytes asked")
    (match,) = match_log(reading(events=(oom(device="gpu", bytes_asked=512),)), nobody(), index_of(seen))
    assert (match.finding.confidence, match.finding.phase) == ("certain", "train.backward")
    assert match.finding.title == "512 bytes asked"
    assert match.finding.evidence[0].text == "CUDA out of memory"


def test_what_a_detector_could_not_establish_is_unknown() -> None:
    seen = rule(on=(trigger("event", "event.bytes_free > 100", event="out_of_memory"),))
    (match,) = match_log(reading(events=(oom(device="gpu"),)), nobody(), index_of(seen))
    assert match.finding.confidence == "possible"


def test_another_kind_or_a_false_condition_is_no_match() -> None:
    host = rule(on=(trigger("event", "event.device == 'host'", event="out_of_memory"),))
    death = rule("death", on=(trigger("event", event="process_death"),))
    assert match_log(reading(events=(oom(device="gpu"),)), nobody(), index_of(host, death)) == ()


def test_the_ranks_of_an_incident_are_kept() -> None:
    wide = Event("collective_timeout", {}, Identity(), lines=(line(5, "timeout"),),
                 spread=tuple(Identity(rank=rank) for rank in range(8)))  # fmt: skip
    (match,) = match_log(
        reading(events=(wide,)), nobody(), index_of(rule(on=(trigger("event", event="collective_timeout"),)))
    )
    assert len(match.spread) == 8


def test_an_event_may_ask_for_its_context() -> None:
    alone = oom(device="gpu")
    near = rule(on=(trigger("event", event="out_of_memory", near=("update_weights",)),))
    lines = (line(4, "update_weights from trainer", 2), alone.lines[0])
    assert match_log(reading(alone.lines[0], events=(alone,)), nobody(), index_of(near)) == ()
    (match,) = match_log(reading(*lines, events=(alone,)), nobody(), index_of(near))
    assert [piece.line for piece in match.finding.evidence] == [5, 4]
