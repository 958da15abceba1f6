"""The door: an expression is compiled once and evaluated as often as wanted."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

from apimachinery.cel.evaluation.budget import Activation, Budget
from apimachinery.cel.evaluation.plan import plan
from apimachinery.cel.libraries import (
    authorizer,
    clock,
    conversions,
    lists,
    network,
    optionals,
    standard,
    strings,
    versions,
)
from apimachinery.cel.syntax.grammar import parse
from apimachinery.cel.syntax.nodes import Node
from apimachinery.cel.syntax.source import Complaints, Source
from apimachinery.cel.types.checker import check
from apimachinery.cel.types.environment import Environment, NoTypes, Types, functions
from apimachinery.cel.types.kinds import Type
from apimachinery.cel.types.literals import complain_of_literals, unmade
from apimachinery.cel.values.faults import CostExceeded, EvaluationError

__all__ = [
    "Budget",
    "CostExceeded",
    "Environment",
    "EvaluationError",
    "Program",
    "Unfit",
    "Uninstantiable",
    "compile",
    "environment",
]

FUNCTIONS = functions(
    standard.FUNCTIONS,
    conversions.FUNCTIONS,
    clock.FUNCTIONS,
    optionals.FUNCTIONS,
    lists.FUNCTIONS,
    strings.FUNCTIONS,
    network.FUNCTIONS,
    versions.FUNCTIONS,
    authorizer.FUNCTIONS,
)
PATCH_FUNCTIONS = {**FUNCTIONS, **functions(versions.PATCH_FUNCTIONS)}
# The deepest tree that the grammar lets through needs so many frames.
_DEEPEST = 12_000


class Unfit(Exception):
    """An expression that does not compile; the message is upstream's, with the places."""


def environment(
    variables: Mapping[str, Type], types: Types | None = None, patches: bool = False, binds: bool = False
) -> Environment:
    """What an expression may name, with all functions that there are; patches: those too that patches are made with;
    binds: `cel.bind`, which names values.
    """
    return Environment(variables, PATCH_FUNCTIONS if patches else FUNCTIONS, types or NoTypes(), binds)


class Uninstantiable(Unfit):
    """An expression that compiles but has a literal that cannot be read; the message says why."""


class Program:
    """A compiled expression. type: of its value, dyn where that is not known."""

    def __init__(self, expression: str, tree: Node) -> None:
        self.expression = expression
        self.tree = tree
        self.type = tree.type
        self._step = plan(tree)

    def evaluate(self, variables: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Its value, given those of its variables; what it costs is taken from the budget.

        Raises EvaluationError where it has none, CostExceeded where it would cost more than it may.
        """
        with _DEEP:
            try:
                return self._step(Activation(dict(variables), budget or Budget()))
            except RecursionError:
                raise EvaluationError("expression is nested too deeply") from None


def compile(expression: str, environment: Environment) -> Program:
    """An expression that fits its environment. Raises Unfit."""
    complaints = Complaints(Source(expression))
    with _DEEP:
        try:
            tree = parse(complaints, environment.binds)
            if tree is not None:
                check(tree, environment, complaints)
            if tree is not None and not complaints:
                complain_of_literals(tree, complaints)
            if tree is None or complaints:
                raise Unfit(complaints.text())
            if wrong := unmade(tree):
                raise Uninstantiable(wrong)
            return Program(expression, tree)
        except RecursionError:
            raise Unfit("ERROR: <input>:-1:0: expression recursion limit exceeded: 250") from None


class _Deep:
    """Room for the frames of a deep tree, for as long as anybody needs it, in whichever thread; what nests deeper than
    the grammar allows is refused there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = sys.getrecursionlimit()
                sys.setrecursionlimit(max(self._before, _DEEPEST))
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                sys.setrecursionlimit(self._before)


_DEEP = _Deep()
