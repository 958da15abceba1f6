"""How an expression becomes a program: grammar, types, and every function that there is."""

from __future__ import annotations

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
from apimachinery.cel.program import DEEP, Program, Unfit, Uninstantiable
from apimachinery.cel.syntax.grammar import parse
from apimachinery.cel.syntax.source import Complaints, Source
from apimachinery.cel.types.checker import check
from apimachinery.cel.types.environment import Environment, functions
from apimachinery.cel.types.literals import complain_of_literals, unmade

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


def compile(expression: str, environment: Environment) -> Program:
    """An expression that fits its environment. Raises Unfit."""
    complaints = Complaints(Source(expression))
    with DEEP:
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
            return Program(expression, tree, plan(tree))
        except RecursionError:
            raise Unfit("ERROR: <input>:-1:0: expression recursion limit exceeded: 250") from None
