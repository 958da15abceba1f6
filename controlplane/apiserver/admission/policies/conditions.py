"""matchConditions, of webhooks and of policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery.objects import Obj
from controlplane.apiserver.admission.policies.naming import Asked
from controlplane.apiserver.expressions.compiling import CONDITION, Scope
from controlplane.apiserver.expressions.evaluating import (
    CONDITIONS_COST,
    Failed,
    Naming,
    OutOfBudget,
    Purse,
    evaluated,
    value,
)


class Unclear(Exception):
    """Whether the conditions hold cannot be told; the text is upstream's."""


async def hold(conditions: Sequence[Obj], scope: Scope, naming: Naming, asked: Asked, fails_open: bool) -> bool:
    """Whether all conditions hold. Raises Unclear where that cannot be told; who fails open takes it for not."""

    def work(purse: Purse) -> bool:
        names = naming.within(purse)
        wrong: list[str] = []
        for condition in conditions:
            try:
                if not _holds(condition, scope, names, purse):
                    return False
            except Failed as error:
                wrong.append(str(error))
        if wrong:
            wrong = list(dict.fromkeys(wrong))
            raise Unclear(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
        return True

    try:
        return await evaluated(work, CONDITIONS_COST, asked.answers, asked.ask)
    except (Unclear, OutOfBudget) as error:
        if fails_open:
            return False
        raise Unclear(str(error)) from error


def _holds(condition: Obj, scope: Scope, names: dict[str, Any], purse: Purse) -> bool:
    return value(condition["expression"], scope, CONDITION, names, purse) is True
