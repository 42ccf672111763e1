"""The condition language of rules and dialect rows: a checked, three-valued subset of Python expressions.

A compiled condition is nested lists that JSON can store, its first item a tag:
``["const", 8]``, ``["name", "train.tp"]``, ``["list", [node, …]]``, ``["and", [node, …]]``,
``["or", [node, …]]``, ``["not", node]``, ``["neg", node]``, ``["op", "+", left, right]``,
``["cmp", first, [["<", node], …]]``, ``["vcmp", …]`` (compares versions), ``["if", condition, then, else]``
and ``["call", name, [node, …], {keyword: node}]``.

The unknown value is contagious, except where ``and``, ``or`` and ``in [...]`` can decide without it.
None makes order comparisons false and arithmetic None. Evaluation never raises for any values.
"""

from __future__ import annotations

from functools import lru_cache

from rldoctor.expr.evaluating import compare, evaluate
from rldoctor.expr.nodes import BUILTIN_NAMES, ExprError, Node, Scope, functions, names, walk
from rldoctor.expr.releases import version_key

__all__ = ["BUILTIN_NAMES", "ExprError", "Node", "Scope"]
__all__ += ["compare", "compile", "evaluate", "functions", "names", "version_key", "walk"]


@lru_cache(maxsize=4096)  # the same words stand in the texts of many findings
def compile(text: str) -> Node:
    """Return the compiled condition, or raise ExprError with the column and what is not allowed."""
    from rldoctor.expr import compiling  # with an index that is up to date nothing has to be compiled

    return compiling.compile(text)
