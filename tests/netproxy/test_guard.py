"""What stays when all rules are gone."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from netproxy import modes
from netproxy.ground import Ground
from netproxy.guard import Guard, ruleset
from netproxy.model import Family
from tests.netproxy.rig import new_rig
from tests.netproxy.test_kernel import GROUND, OTHER, VIP, of, route


def test_the_guard_is_our_own_and_refuses_only_new_untranslated_packets() -> None:
    text = ruleset(Ground(Family.IPV4, service_cidrs=("10.96.0.0/12",), nft_table="mine"))
    assert text.startswith("table ip mine-guard {\n  flags owner;")
    assert "ct state new ip daddr 10.96.0.0/12 ct status & dnat == 0 fib daddr type != local drop" in text
    assert "type filter" not in text, "only a connection's first packet comes by a chain of type nat"
    assert "drop" not in ruleset(Ground(Family.IPV6)), "without a known range nothing is refused"


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_is_sent_while_only_the_guard_stands_is_translated_as_soon_as_there_are_rules() -> None:
    """A flow whose first packet had gone on would be remembered as not translated, from either side."""

    async def body() -> None:
        with new_rig() as rig:
            await rig.wire()
            guard, mode = Guard((GROUND,), rig.node), modes.make("nftables", (GROUND,), rig.node)
            await guard.open()
            try:
                senders = [rig.udp(where) for where in (rig.client, rig.node)]
                for sender in senders:
                    # The node's own is told.
                    with contextlib.suppress(PermissionError):
                        sender.sendto(b"x", (VIP, 80))
                await mode.open()
                await mode.rebuild(of(route(OTHER, protocol="UDP")))
                for sender in senders:
                    sender.sendto(b"x", (VIP, 80))
                    assert sender.recv(200).decode().startswith(OTHER)
            finally:
                mode.close()
                guard.close()

    asyncio.run(asyncio.wait_for(body(), 60))
