"""What pods receive and send is bounded: the configuration, then bytes on their way, beside Debian's bandwidth."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink, tc
from cni.bandwidth import config
from cni.bandwidth.plugin import ifb_name
from cni.skel import Request
from cni.types import CniError
from tests.cni import kernel
from tests.cni.invoke import Attachment, Caller
from tests.cni.test_portmap import World, world  # noqa: F401  (the fixture)
from tests.waiting import eventually

MBIT = 1_000_000
BOUNDS = {"ingressRate": 16 * MBIT, "ingressBurst": 400_000, "egressRate": 8 * MBIT, "egressBurst": 400_000}


def parsed(given: dict[str, Any], **more: Any) -> config.Bounds:
    return config.parse(Request("ADD", config={"name": "net", "runtimeConfig": {"bandwidth": given}, **more}))


def test_rates_are_bits_and_what_the_configuration_says_wins() -> None:
    found = parsed({"ingressRate": 8000, "ingressBurst": 800})
    assert found.ingress == tc.Bucket(1000, 100, 125) and found.egress is None
    bound = parsed(
        {"ingressRate": 1, "ingressBurst": 1, "egressRate": 1, "egressBurst": 1}, egressRate=8, egressBurst=8
    )
    assert bound.ingress is None and bound.egress and bound.egress.rate == 1
    # As containerd writes it.
    huge = parsed({"EgressRate": 80 * MBIT, "EgressBurst": 4294967295}).egress
    assert huge and (huge.rate, huge.burst) == (10 * MBIT, 536870911)
    plain = config.parse(Request("ADD", config={"name": "net", "egressRate": 8000, "egressBurst": 800}))
    assert plain.egress == tc.Bucket(1000, 100, 125)
    assert config.parse(Request("ADD", config={"name": "net"})) == config.Bounds(None, None)


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ({"ingressRate": 8}, 7, "ingressBurst must be set"),
        ({"egressBurst": 8}, 7, "egressRate must be set"),
        ({"egressRate": -1, "egressBurst": 8}, 7, "less than nothing"),
        ({"egressRate": "1M", "egressBurst": 8}, 6, "not a number of bits"),
        ({"egressRate": 1, "egressBurst": 1 << 40}, 7, "more than 4 GB"),
        ({"egressRate": 8, "egressBurst": 8, "unshapedSubnets": ["10.0.0.0/8"]}, 2, "unshapedSubnets"),
    ],
)
def test_wrong_bounds_are_named(given: dict[str, Any], code: int, text: str) -> None:
    with pytest.raises(CniError, match=text) as refused:
        parsed(given)
    assert refused.value.code == code


def network_of(world: World) -> dict[str, Any]:  # noqa: F811
    found = world.conflist()
    bandwidth = {"type": "bandwidth", "capabilities": {"bandwidth": True}}
    common = {k: v for k, v in found["plugins"][0].items() if k == "daemonSocket"}
    return {**found, "plugins": [*found["plugins"], {**bandwidth, **common}]}


def seconds_for(source: Path, target: Path, address: str, size: int) -> float:
    """How long so many bytes take by TCP."""
    listening = netns.open_socket(target, socket.AF_INET, socket.SOCK_STREAM)
    with listening, netns.open_socket(source, socket.AF_INET, socket.SOCK_STREAM) as client:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("", 9))
        listening.listen(1)
        client.settimeout(30)
        client.connect((address, 9))
        link, _ = listening.accept()
        with link:
            sender = threading.Thread(target=client.sendall, args=(bytes(size),))
            began = time.monotonic()
            sender.start()
            left = size
            while left:
                left -= len(link.recv(min(left, 1 << 16)))
            sender.join(30)
            return time.monotonic() - began


@pytest.mark.kernel
def test_a_pod_receives_and_sends_no_faster(world: World) -> None:  # noqa: F811
    async def scenario(caller: Caller) -> None:
        network = network_of(world)
        what = dataclasses.replace(world.attachment(0), capabilities={"bandwidth": BOUNDS})
        free: Attachment = world.attachment(1)
        result = await caller.add(network, what)
        plain = await caller.add(network, free)
        assert len(result["interfaces"]) == 4 and result["interfaces"][3]["name"].startswith("bwp")
        assert len(plain["interfaces"]) == 3
        await caller.check({**network, "plugins": [network["plugins"][0], network["plugins"][2]]}, what, result)
        pod, size = world.pods[0], 450_000
        # No machine is so slow that it were faster: only what is in the bucket at once comes before its time.
        assert seconds_for(world.beside, pod, kernel.address_of(result), size) > (size - 50_000) / 2e6 * 0.9
        assert seconds_for(pod, world.beside, "10.99.0.2", size) > (size - 50_000) / 1e6 * 0.9
        with Netlink(world.node) as node:
            bound = [found for _, kind, found in node.dump(tc.dump(), tc.parse) if kind == "tbf" and found]
            assert sorted(found.rate for found in bound) == [MBIT, 2 * MBIT]
            for _ in range(2):
                await caller.delete(network, what, result)
            eventually(lambda: not [link for link in node.links() if link.kind == "ifb"])
        await caller.delete(network, free, plain)

    world.run(scenario)


@pytest.mark.kernel
@pytest.mark.parametrize("world", ["daemon"], indirect=True)
def test_what_is_lost_is_told_and_what_is_left_is_freed(world: World) -> None:  # noqa: F811
    network = network_of(world) | {"cniVersion": "1.1.0"}

    async def scenario(caller: Caller) -> None:
        whats = [dataclasses.replace(world.attachment(n), capabilities={"bandwidth": BOUNDS}) for n in range(2)]
        results = [await caller.add(network, what) for what in whats]
        await caller.status(network)
        await caller.check(network, whats[0], results[0])
        with Netlink(world.node) as node:
            index = node.index(results[0]["interfaces"][1]["name"])
            node.do(tc.shape(index, tc.Bucket(1, 1, 1)))
            with pytest.raises(CniError, match="is not bound to 2000000 bytes"):
                await caller.check(network, whats[0], results[0])
            await caller.gc(network, [("c1", "eth0")])
            left = [ifb_name("whtnet", "c1", "eth0")]
            eventually(lambda: [x.name for x in node.links() if x.kind == "ifb"] == left)
            with pytest.raises(CniError, match="prevResult names no veth"):
                await caller.check({**network, "plugins": network["plugins"][2:]}, whats[0], results[0])

    world.run(scenario)
