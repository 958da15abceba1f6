"""What flows have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from tests.controlplane.conformance.flows import Flow
from tests.controlplane.stage import Stage
from tests.waiting import WHOLE


def test_a_wait_ends_before_the_scenario_does() -> None:
    """Else it is cut off, and neither who waited nor for what is said."""

    class At:
        client = None

        async def until(self, what: Callable[[], Any], within: float) -> float:
            return within

    async def scenario() -> None:
        flow = Flow(cast(Stage, At()), "flow0")
        begun = asyncio.get_running_loop().time()
        within = await flow.until(lambda: True)
        # Nearly all of it, and as much less as went before.
        assert WHOLE - 10 < within < WHOLE
        flow.end_at = begun + 1
        assert await flow.until(lambda: True) <= 1

    asyncio.run(scenario())
