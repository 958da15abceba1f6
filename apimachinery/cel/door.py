"""The door: an expression is compiled once and evaluated as often as wanted.

What compiles is loaded with the first expression: it is 2 MB, and most daemons that may be given one never are.
"""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.cel.evaluation.budget import Budget
from apimachinery.cel.program import Program, Unfit, Uninstantiable
from apimachinery.cel.types.environment import Environment, NoTypes, Types
from apimachinery.cel.types.kinds import Type
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


def environment(
    variables: Mapping[str, Type], types: Types | None = None, patches: bool = False, binds: bool = False
) -> Environment:
    """What an expression may name, with all functions that there are; patches: those too that patches are made with;
    binds: `cel.bind`, which names values.
    """
    from apimachinery.cel.compiler import FUNCTIONS, PATCH_FUNCTIONS

    return Environment(variables, PATCH_FUNCTIONS if patches else FUNCTIONS, types or NoTypes(), binds)


def compile(expression: str, environment: Environment) -> Program:
    """An expression that fits its environment. Raises Unfit."""
    from apimachinery.cel import compiler

    return compiler.compile(expression, environment)
