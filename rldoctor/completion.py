"""Words that a shell offers while a command is typed: rules, phases, severities, concepts, systems."""

from __future__ import annotations

from collections.abc import Iterable

import click


def rules(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Return the rules that begin so."""
    from rldoctor.rules import index

    return _those(index().ids, begun)


def explained(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Return the rules, concepts and groups of concepts that begin so."""
    from rldoctor.rules import index
    from rldoctor.vocabulary import load

    groups = dict.fromkeys(name.partition(".")[0] for name in load().concepts)
    return _those((*groups, *load().concepts, *index().ids), begun)


def asked_for(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Return the rules, phases and severities that begin so, behind the words already given."""
    from rldoctor.rules import index
    from rldoctor.suppress.choice import NO_PHASE, SEVERITIES
    from rldoctor.vocabulary import load

    before, comma, last = begun.rpartition(",")
    words = _those((*SEVERITIES, *load().phases, NO_PHASE, *index().ids), last)
    return [f"{before}{comma}{word}" for word in words]


def concepts(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Return the concepts that begin so, as ``--set`` takes them."""
    from rldoctor.vocabulary import load

    return [f"{name}=" for name in _those(load().concepts, begun)]


def systems(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Return the systems that begin so."""
    from rldoctor.dialects import NAMES

    return _those(NAMES, begun)


def _those(known: Iterable[str], begun: str) -> list[str]:
    return [word for word in known if word.startswith(begun)]
