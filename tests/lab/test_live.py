"""`wherry trace --live`: the rules that real packets met."""

from __future__ import annotations

import asyncio
import os

import pytest

from apimachinery.kit import command
from lab.live import TABLE, follow, ruleset
from tests.netproxy.rig import BRIEF, PODS, Rig, new_rig

DROP = "table ip judge { chain f { type filter hook forward priority 4; tcp dport 8080 drop; }; }"


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_rule_that_stops_a_packet_is_shown_and_nothing_stays() -> None:
    async def body(rig: Rig) -> None:
        await rig.wire()
        enter = ["nsenter", f"--net={rig.node}"]
        await command.run([*enter, "nft", "-f", "-"], stdin=DROP.encode(), timeout=60)
        following = asyncio.ensure_future(follow(rig.node, ruleset(PODS[0], PODS[1], 8080, "TCP"), 3))
        while not following.done():
            await asyncio.to_thread(rig.outcome, rig.pods[PODS[0]], PODS[1], 8080, BRIEF)
        lines = following.result()
        assert any("judge" in line and "drop" in line for line in lines), lines
        assert not any(TABLE in line for line in lines)
        left = await command.run([*enter, "nft", "list", "tables"], timeout=60)
        assert TABLE.encode() not in left.stdout

    with new_rig() as rig:
        asyncio.run(body(rig))


def test_only_the_connection_that_was_asked_for_is_followed() -> None:
    text = ruleset("10.244.1.5", "10.96.0.9", 80, "UDP")
    assert text.count("ip saddr 10.244.1.5 ip daddr 10.96.0.9 udp dport 80 ") == 2 and "flags owner" in text
    assert "saddr" not in ruleset("", "fd00::1", 80, "TCP") and "ip6 daddr fd00::1" in ruleset("", "fd00::1", 80, "TCP")
