"""Asking a VIP must not change what becomes of the next question."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from apimachinery.kit import netns
from benchmarks.ends import FIRST_EARLY_PORT, ask
from benchmarks.services import route
from benchmarks.vips import BACKENDS, GROUND, new_world, run_inside
from netproxy import modes
from tests.netproxy.rig import IN_KERNEL

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.mark.parametrize("mode_name", IN_KERNEL)
def test_more_questions_than_ports_are_all_answered(mode_name: str) -> None:
    # With a range of the usual size the same happens after 14,116 questions: connect() takes ports of one parity
    # first, and those left over were the ones whose early questions went nowhere.
    answers: Counter[str] = Counter()
    with new_world() as world:
        netns.write_sysctl(world.node, "net.ipv4.ip_local_port_range", "40000\t40099")

        async def body() -> None:
            mode = modes.make(mode_name, (GROUND,))
            await mode.open()
            await mode.rebuild({})
            early = {ask(0.02, FIRST_EARLY_PORT + number) for number in range(20)}
            assert not early & set(BACKENDS)
            served = route(-1, BACKENDS[0])
            await mode.rebuild({served.port.key: served})
            # Long enough for a busy machine: a question that went the wrong way is never answered.
            answers.update(ask(10.0) for _ in range(400))
            mode.close()

        run_inside(world.node, body)
    assert answers == {BACKENDS[0]: 400}
