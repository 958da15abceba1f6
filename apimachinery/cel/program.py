"""An expression that has been compiled, and what one is that has not been."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.cel.evaluation.budget import Activation, Budget
from apimachinery.cel.syntax.nodes import Node
from apimachinery.cel.values.faults import EvaluationError

# The deepest tree that the grammar lets through needs so many frames.
_DEEPEST = 12_000


class Unfit(Exception):
    """An expression that does not compile; the message is upstream's, with the places."""


class Uninstantiable(Unfit):
    """An expression that compiles but has a literal that cannot be read; the message says why."""


class Program:
    """A compiled expression. type: of its value, dyn where that is not known."""

    def __init__(self, expression: str, tree: Node, step: Callable[[Activation], Any]) -> None:
        """step: what evaluates the tree."""
        self.expression = expression
        self.tree = tree
        self.type = tree.type
        self._step = step

    def evaluate(self, variables: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Its value, given those of its variables; what it costs is taken from the budget.

        Raises EvaluationError where it has none, CostExceeded where it would cost more than it may.
        """
        with DEEP:
            try:
                return self._step(Activation(dict(variables), budget or Budget()))
            except RecursionError:
                raise EvaluationError("expression is nested too deeply") from None


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


DEEP = _Deep()
