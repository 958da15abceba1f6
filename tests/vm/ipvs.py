"""What the tests in the guest share: IPVS mode at work in a node of the rig."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from apimachinery.kit import command
from netproxy.ipvs.apply import IpvsMode
from netproxy.ipvs.options import Options
from tests.conftest import SLOWNESS
from tests.netproxy.rig import Rig, new_rig
from tests.netproxy.test_kernel import GROUND

Body = Callable[[Rig, IpvsMode], Coroutine[Any, Any, None]]


def run(body: Body, options: Options = Options(), **grounds: Any) -> None:  # noqa: B008
    async def main() -> None:
        with new_rig() as rig:
            await rig.wire()
            mode = IpvsMode((replace(GROUND, **grounds),), rig.node, "", options)
            await mode.open()
            try:
                await asyncio.wait_for(body(rig, mode), 60 * SLOWNESS)
            finally:
                mode.close()

    asyncio.run(main())


async def node(rig: Rig, words: str) -> str:
    argv = ["nsenter", f"--net={rig.node}", "sh", "-c", words]
    return (await command.run(argv, timeout=60)).stdout.decode()
