"""Control flow: ``if``, ``case``, the loops, functions and subshells, over worlds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from rldoctor.sources.shell import arithmetic, conditions, expansion
from rldoctor.sources.shell.state import MOST_DEPTH, MOST_NESTING, Function, Hint, State, Variable, scalar
from rldoctor.sources.shell.text import Piece, Pieces, Word, assumes_of, held, raw
from rldoctor.sources.shell.worlds import choose, join

if TYPE_CHECKING:
    from tree_sitter import Node

RunNode = Callable[["Node", State], list[State]]
_MOST_TURNS = 512


def sequence(nodes: list[Node], state: State, run: RunNode) -> list[State]:
    """Run statements one after the other, without joining what their tests tell apart."""
    states = [state]
    for node in nodes:
        following: list[State] = []
        for each in states:
            following += [each] if each.stop else run(node, each)
        states = join(following) if len(following) > 8 else following
    return states


def _split(node: Node) -> tuple[list[Node], list[Node], list[Node]]:
    """Return the condition, the body and the further clauses of an ``if`` or ``elif``."""
    condition: list[Node] = []
    body: list[Node] = []
    clauses: list[Node] = []
    target = condition
    for child in node.children:
        if child.type == "then":
            target = body
        elif child.type in ("elif_clause", "else_clause"):
            clauses.append(child)
        elif child.is_named and child.type != "comment":
            target.append(child)
    return condition, body, clauses


def if_(node: Node, state: State, run: RunNode) -> list[State]:
    """Run an ``if``: the arm its tests pick, or each where they are open."""
    _, _, clauses = _split(node)
    return _chain([node, *clauses], state, run)


def _chain(clauses: list[Node], state: State, run: RunNode) -> list[State]:
    if not clauses or state.run.nesting >= MOST_NESTING:
        return state.ended("yes")
    state.run.nesting += 1
    found = _clause(clauses, state, run)
    state.run.nesting -= 1
    return found


def _clause(clauses: list[Node], state: State, run: RunNode) -> list[State]:
    first, rest = clauses[0], clauses[1:]
    if first.type == "else_clause":
        return _body(first.named_children, state, run)
    condition, body, _ = _split(first)
    found: list[State] = []
    for each in sequence(condition, state, run):
        if each.stop:
            found.append(each)
            continue
        verdict = {"yes": True, "no": False}.get(each.status)
        found += choose(
            each, verdict, lambda world: _body(body, world, run), lambda world: _chain(rest, world, run)
        )
    return join(found)


def _body(nodes: list[Node], state: State, run: RunNode) -> list[State]:
    states = [state]
    for node in nodes:
        if node.type != "comment":
            states = join([end for each in states for end in ([each] if each.stop else run(node, each))])
    return states


def case(node: Node, state: State, run: RunNode) -> list[State]:
    """Run a ``case``: the first arm that fits, or all that may."""
    subject = node.child_by_field_name("value")
    if subject is None:
        return state.ended("open")
    value = expansion.text(state, subject.start_byte, subject.end_byte)
    name = conditions.variable_of(state.source.text[subject.start_byte : subject.end_byte])
    items = [child for child in node.named_children if child.type == "case_item"]
    return _cases(items, _Subject(value, name), state, run)


class _Subject(Struct, frozen=True):
    """What a ``case`` looks at, the variable that it is, and whether an arm before may have been the one."""

    value: Pieces
    name: str | None
    open: bool = False


def _cases(items: list[Node], subject: _Subject, state: State, run: RunNode) -> list[State]:
    while items and (verdict := _fits(items[0], subject, state)) is False:
        items = items[1:]
    if not items or state.run.nesting >= MOST_NESTING:
        return state.ended("yes")
    body = _falling(items)
    if verdict and subject.open:
        return _body(body, state, run)
    further = replace(subject, open=verdict is None)
    state.because, state.hint = assumes_of(subject.value), _hint(items[0], subject, state)
    state.run.nesting += 1
    found = choose(
        state,
        verdict,
        lambda world: _body(body, world, run),
        lambda world: _cases(items[1:], further, world, run),
    )
    state.run.nesting -= 1
    return join(found)


def _fits(item: Node, subject: _Subject, state: State) -> bool | None:
    verdicts: list[bool | None] = []
    for pattern in item.children_by_field_name("value"):
        start, end = pattern.start_byte, pattern.end_byte
        text = state.source.text[start:end]
        excluded = (subject.name, text.strip("\"'")) in state.excluded
        verdict = False if excluded else conditions.matches(state, subject.value, start, end)
        verdicts.append(text == "*" or verdict)
    return True if True in verdicts else None if None in verdicts else False


def _hint(item: Node, subject: _Subject, state: State) -> Hint | None:
    values = item.children_by_field_name("value")
    texts = [state.source.text[each.start_byte : each.end_byte].strip("\"'") for each in values]
    plain = subject.name and not any(re.search(r"[*?\[$]", text) for text in texts)
    return Hint(subject.name or "", tuple(texts)) if plain else None


def _falling(items: list[Node]) -> list[Node]:
    """Return the statements of the first arm, and of those it falls through to by ``;&``."""
    body: list[Node] = []
    for item in items:
        values = item.children_by_field_name("value")
        body += [c for c in item.named_children if c not in values and c.type != "comment"]
        if not any(child.type == ";&" for child in item.children):
            break
    return body


def for_(node: Node, state: State, run: RunNode) -> list[State]:
    """Run a ``for`` over its words."""
    name = node.child_by_field_name("variable")
    body = node.child_by_field_name("body")
    if name is None or body is None:
        return state.ended("open")
    values = node.children_by_field_name("value")
    words = [w for v in values for w in expansion.fields(state, v.start_byte, v.end_byte)]
    if not any(child.type == "in" for child in node.children):
        words = list(state.positional)
    variable = state.source.text[name.start_byte : name.end_byte]
    states = [state]
    for word in words[:_MOST_TURNS]:
        for each in states:
            if not each.stop:
                each.assign(variable, Variable("scalar", (held(word),)))
        states = _turn(body, states, run)
        if all(each.stop for each in states):
            break
    return _left(states)


def _turn(body: Node, states: list[State], run: RunNode) -> list[State]:
    """Run a loop's body once in every world that is still in the loop."""
    found: list[State] = []
    for each in states:
        ends = [each] if each.stop else _body(body.named_children, each, run)
        for end in ends:
            if end.stop == "continue":
                end.stop = ""
        found += ends
    return join(found)


def _left(states: list[State]) -> list[State]:
    for each in states:
        if each.stop == "break":
            each.stop = ""
        each.status = "presumed" if not each.stop else each.status
    return join(states)


def counted(node: Node, state: State, run: RunNode) -> list[State]:
    """Run ``for ((…; …; …))``."""
    body = node.child_by_field_name("body")
    if body is None:
        return state.ended("open")
    text = state.source.text
    head = text[node.start_byte : body.start_byte]
    first = node.start_byte + head.index("((") + 2
    bounds = [first]
    inside = text[first : node.start_byte + head.rindex("))")]
    bounds += [first + at + 1 for at, char in enumerate(inside) if char == ";"]
    stops = [at - 1 for at in bounds[1:]] + [first + len(inside)]
    if len(bounds) != 3:
        return state.ended("open")

    def value(index: int, world: State) -> int | None:
        inner = expansion.text(world, bounds[index], stops[index], "quoted")
        return arithmetic.evaluate(world, inner) if raw(inner).strip() else 1

    value(0, state)
    return _looped(state, lambda world: value(1, world), lambda world: value(2, world), body, run)


def _looped(
    state: State,
    test: Callable[[State], int | None],
    update: Callable[[State], object],
    body: Node,
    run: RunNode,
) -> list[State]:
    states = [state]
    for _ in range(_MOST_TURNS):
        verdict = test(states[0]) if not states[0].stop else 0
        if verdict == 0:
            return _left(states)
        states = _turn(body, states, run)
        if verdict is None or len(states) > 1 or states[0].stop:
            return _left(states)
        update(states[0])
    return _left(states)


def while_(node: Node, state: State, run: RunNode) -> list[State]:
    """Run a ``while`` or ``until``; one that hangs on something open is taken once or not at all."""
    body = node.child_by_field_name("body")
    test = [c for c in node.children_by_field_name("condition") if c.is_named]
    if body is None or not test:
        return state.ended("open")
    until = node.children[0].type == "until"
    states = [state]
    for _ in range(_MOST_TURNS):
        if len(states) > 1 or states[0].stop:
            return _left(states)
        ends = sequence(test, states[0], run)
        verdict = {"yes": True, "no": False}.get(ends[0].status) if len(ends) == 1 else None
        if verdict is until:
            return _left(ends)
        if verdict is None:
            return _left(join(_turn(body, [ends[0].fork()], run) + ends))
        states = _turn(body, ends, run)
    return _left(states)


def isolated(state: State, body: Callable[[State], list[State]]) -> list[State]:
    """Run a subshell: its commands count, its variables are lost."""
    inner = state.fork()
    found = []
    for end in body(inner):
        outer = state.fork()
        outer.commands, outer.output, outer.status = end.commands, end.output, end.status
        outer.ray_env = end.ray_env
        found.append(outer)
    return join(found)


def merged_output(states: list[State]) -> Pieces:
    """Return what the worlds print if they print the same."""
    outputs = {raw(each.output or ()): each.output or () for each in states}
    if len(outputs) == 1:
        return outputs.popitem()[1]
    return (Piece("", unknown=True, depends=("a branch",)),)


def define(state: State, name: str, body: Node) -> None:
    """Keep a function of the script."""
    state.functions[name] = Function(state.source, body)


def call_function(
    state: State, function: Function, arguments: list[Word], prefix: dict[str, Variable], run: RunNode
) -> list[State]:
    """Run a function with its own arguments and local variables."""
    if state.run.depth >= MOST_DEPTH:
        return state.ended("open")
    outer = (state.positional, state.source, state.local, state.open_arguments)
    state.positional, state.source, state.open_arguments = _held(arguments), function.source, False
    state.local = {name: state.variables.get(name) for name in prefix}
    for name, variable in prefix.items():
        state.assign(name, variable)
    state.run.depth += 1
    ends = run(function.body, state)
    state.run.depth -= 1
    for end in ends:
        end.restore(end.local or {})
        end.positional, end.source, end.local, end.open_arguments = outer
        if end.stop == "return":
            end.stop = ""
    return join(ends)


def _held(words: list[Word]) -> tuple[Word, ...]:
    return tuple(held(word) for word in words)


def unknown_variable(name: str, depends: str) -> Variable:
    """Return a variable whose value comes from outside."""
    return scalar((Piece(f"${name}", unknown=True, depends=(depends,)),))
