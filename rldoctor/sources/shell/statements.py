"""Walks the syntax tree of a script: which commands run, in which worlds. Nothing is executed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rldoctor.sources.shell import arithmetic, conditions, control, declarations, expansion, recovery, simple
from rldoctor.sources.shell.call import REDIRECTS, Call, read_call, redirect, rest_of
from rldoctor.sources.shell.state import MOST_NESTING, State, Status
from rldoctor.sources.shell.text import Pieces, Source, from_pieces
from rldoctor.sources.shell.worlds import choose, join

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

_OPPOSITE: dict[Status, Status] = {"yes": "no", "no": "yes", "open": "open", "presumed": "open"}


@cache
def _parser() -> Parser:
    import tree_sitter

    return tree_sitter.Parser(tree_sitter.Language(_grammar()))


def _grammar() -> object:
    """Return the compiled grammar without running its package, which takes 8 ms to find unused queries."""
    found = find_spec("tree_sitter_bash")
    folder = (found.submodule_search_locations or [""])[0] if found else ""
    binding = PathFinder.find_spec("_binding", [folder])
    if binding is None or binding.loader is None:
        import tree_sitter_bash

        return tree_sitter_bash.language()
    module = module_from_spec(binding)
    binding.loader.exec_module(module)
    return module.language()


def parse(source: Source) -> Tree:
    """Return the syntax tree; offsets are those of the source's text."""
    return _tree(source.text)


@lru_cache(maxsize=4)  # who edits a script asks for its tree again
def _tree(text: str) -> Tree:
    return _parser().parse(text.encode("latin-1"))


def _root(text: str) -> Node:
    return _parser().parse(text.encode("latin-1")).root_node


def execute(source: Source, state: State) -> list[State]:
    """Follow a source from its first statement to its last, in every world."""
    outer, state.source = state.source, source
    root = parse(source).root_node
    if root.has_error:
        _note_errors(root, state)
        root = recovery.recovered(source.text, root, _root)
    ends = block(root.named_children, state)
    for end in ends:
        end.source = outer
    return ends


def _note_errors(root: Node, state: State) -> None:
    pending, found = [root], 0
    while pending and found < 3:
        node = pending.pop()
        if node.is_error or node.is_missing:
            found += 1
            span = state.source.span(node.start_byte, max(node.end_byte, node.start_byte + 1))
            state.run.problem("the shell syntax is broken here", span, "the rest was read as far as it goes")
        elif node.has_error:
            pending += reversed(node.children)


def block(nodes: list[Node], state: State) -> list[State]:
    """Run statements one after the other, in every world they lead to."""
    states = [state]
    for node in nodes:
        if node.type == "comment" or not node.is_named:
            continue
        following: list[State] = []
        for each in states:
            following += [each] if each.stop else run(node, each)
        states = join(following)
        if all(each.stop for each in states):
            break
    return states


def run(node: Node, state: State, stdin: Pieces | None = None) -> list[State]:
    """Run one statement."""
    if not state.run.step() or state.run.nesting >= MOST_NESTING:
        return [state]
    state.run.nesting += 1
    found = _dispatch(node, state, stdin)
    state.run.nesting -= 1
    return found


def _dispatch(node: Node, state: State, stdin: Pieces | None) -> list[State]:
    kind = node.type
    if kind == "command":
        return _rest(node, node.end_byte, simple.run(read_call(node, state, stdin), state))
    if kind in ("variable_assignment", "variable_assignments"):
        return declarations.assign(node, state)
    if kind in ("declaration_command", "unset_command"):
        return declarations.declare(node, state)
    handler = _HANDLERS.get(kind)
    if handler is not None:
        return handler(node, state)
    if kind == "redirected_statement":
        return _redirected(node, state, stdin)
    if kind in ("ERROR", "do_group", "program", "else_clause"):
        return block(node.named_children, state)
    return state.ended("open")


def _redirected(node: Node, state: State, stdin: Pieces | None) -> list[State]:
    body = node.child_by_field_name("body")
    if body is None:
        return state.ended("yes")
    if body.type == "command":
        return _redirected_command(node, body, state, stdin)
    call = Call([], [], None, None, stdin=stdin)
    _take_redirects(node, state, call)
    kept = state.output
    if call.redirected:
        state.output = None
    found = run(body, state, call.stdin)
    for each in found:
        if call.redirected:
            each.output = kept
    return found


def _redirected_command(node: Node, body: Node, state: State, stdin: Pieces | None) -> list[State]:
    call = read_call(body, state, stdin)
    if rest_of(body, state.source.text) is not None:
        return _rest(body, node.end_byte, simple.run(call, state))
    _take_redirects(node, state, call)
    passed_on = call.stdin if call.name == "cat" and len(call.words) == 1 else None
    return _after_document(node, simple.run(call, state), passed_on)


def _take_redirects(node: Node, state: State, call: Call) -> None:
    """Take in redirections, and the arguments that stand after them."""
    for child in node.children:
        if child.type not in REDIRECTS:
            continue
        redirect(child, state, call)
        further = child.children_by_field_name("argument")
        if child.type == "file_redirect":
            further = child.children_by_field_name("destination")[1:]
        for word in further:
            call.words += expansion.fields(state, word.start_byte, word.end_byte)
            call.raws.append(state.source.text[word.start_byte : word.end_byte])


def _rest(node: Node, end: int, states: list[State]) -> list[State]:
    """Run what the parser took for the command's further words but stands on lines of its own."""
    found: list[State] = []
    for each in states:
        start = rest_of(node, each.source.text)
        if start is None or each.stop:
            found.append(each)
        else:
            source = each.source
            found += execute(from_pieces(source.cut(start, end), source.file, source.path), each)
    return found


def _after_document(node: Node, states: list[State], stdin: Pieces | None) -> list[State]:
    """Run what follows ``<<EOF`` on its line: the parser keeps it inside the redirection."""
    for child in node.children:
        rest = child.named_children if child.type == "heredoc_redirect" else []
        for follower in rest:
            if follower.type in ("pipeline", "list", "command"):
                inner = follower.named_children[0] if follower.type == "pipeline" else follower
                states = join([end for each in states for end in run(inner, each, stdin)])
    return states


def _list(node: Node, state: State) -> list[State]:
    left, right = node.children[0], node.children[-1]
    both = any(child.type == "&&" for child in node.children)
    found: list[State] = []
    for each in run(left, state):
        if each.stop:
            found.append(each)
            continue
        because = each.because
        verdict = verdict_of(each)
        if each.status == "presumed" and both:
            verdict = True

        def further(world: State, because: tuple[str, ...] = because) -> list[State]:
            ends = run(right, world)
            for end in ends:
                end.because = tuple(dict.fromkeys(because + end.because))
            return ends

        def stay(world: State, because: tuple[str, ...] = because) -> list[State]:
            return world.ended("no" if both else "yes", because)

        found += choose(each, verdict, further if both else stay, stay if both else further)
    return found


def verdict_of(state: State) -> bool | None:
    """Return whether the last command succeeded, ``None`` if that cannot be told."""
    return {"yes": True, "no": False}.get(state.status)


def _negated(node: Node, state: State) -> list[State]:
    found = run(node.named_children[-1], state)
    for each in found:
        each.status = _OPPOSITE[each.status]
        if each.hint is not None:
            each.hint = replace(each.hint, equal=not each.hint.equal)
    return found


def _test(node: Node, state: State) -> list[State]:
    inside = state.source.text[node.start_byte : node.end_byte]
    if inside.startswith("(("):
        return _arithmetic(node, state)
    return conditions.bracketed(state, node.start_byte, node.end_byte)


def _arithmetic(node: Node, state: State) -> list[State]:
    inside = expansion.text(state, node.start_byte + 2, node.end_byte - 2, "quoted")
    value, because = arithmetic.tested(state, inside)
    return state.ended("open" if value is None else "yes" if value else "no", because)


def _compound(node: Node, state: State) -> list[State]:
    if state.source.text.startswith("((", node.start_byte):
        return _arithmetic(node, state)
    return block(node.named_children, state)


def _subshell(node: Node, state: State) -> list[State]:
    return control.isolated(state, lambda inner: block(node.named_children, inner))


def _pipeline(node: Node, state: State) -> list[State]:
    stages = [child for child in node.named_children if child.type != "comment"]
    stdin: Pieces | None = None
    for index, stage in enumerate(stages):
        last = index == len(stages) - 1
        inner = state.fork()
        inner.output = state.output if last else ()
        ends = run(stage, inner, stdin)
        keep = max(ends, key=lambda end: len(end.commands))
        stdin = None if last else control.merged_output(ends)
        state.commands = keep.commands
        if last:
            state.output = keep.output if state.output is not None else None
            status = keep.status
    return state.ended("open" if status == "open" else "presumed" if status != "no" else "no")


def _function(node: Node, state: State) -> list[State]:
    name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
    if name is not None and body is not None:
        control.define(state, state.source.text[name.start_byte : name.end_byte], body)
    return state.ended("yes")


_HANDLERS: dict[str, Callable[[Node, State], list[State]]] = {
    "list": _list,
    "pipeline": _pipeline,
    "negated_command": _negated,
    "test_command": _test,
    "compound_statement": _compound,
    "subshell": _subshell,
    "function_definition": _function,
    "if_statement": lambda node, state: control.if_(node, state, run),
    "case_statement": lambda node, state: control.case(node, state, run),
    "for_statement": lambda node, state: control.for_(node, state, run),
    "c_style_for_statement": lambda node, state: control.counted(node, state, run),
    "while_statement": lambda node, state: control.while_(node, state, run),
}
