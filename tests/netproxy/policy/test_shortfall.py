"""Where the kernel cannot enforce policies, each policy says so, and the log."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery import errors, informer
from apimachinery.client import Client
from apimachinery.events import EventRecorder
from apimachinery.informer import Informer
from apimachinery.kinds import EVENT, NAMESPACE, NETWORK_POLICY, NODE, POD, Kind
from apimachinery.kit import netns
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.nft import NftError
from netproxy.model import Family
from netproxy.policy import app
from netproxy.policy.app import NetworkPolicies
from netproxy.policy.enforcer import Enforcer
from netproxy.policy.shortfall import Shortfall, of_bridges, of_mode
from tests.netproxy.policy.world import GROUNDS, policy
from tests.waiting import SECONDS, until

BOTH = (Family.IPV4, Family.IPV6)


class Api:
    """One policy, no other object, and the events it is sent."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.told = asyncio.Event()

    async def list(self, kind: Kind, *_: Any, **__: Any) -> dict[str, Any]:
        made = {"apiVersion": kind.api_version, "kind": kind.kind, **policy("x", "fence")}
        return {"metadata": {"resourceVersion": "1"}, "items": [made] if kind.kind == "NetworkPolicy" else []}

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[tuple[str, Any]]:
        await asyncio.Event().wait()
        yield "", {}

    async def create(self, kind: Kind, obj: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        assert kind is EVENT
        self.events.append(obj)
        self.told.set()
        return obj


class Closed(Api):
    """Pods are nobody's to read."""

    async def list(self, kind: Kind, *_: Any, **__: Any) -> dict[str, Any]:
        if kind is POD:
            raise errors.Forbidden("pods is forbidden")
        return await super().list(kind)


def told(tmp_path: Path, made: Callable[[], Api] = Api) -> tuple[str, str, str]:
    """The policy, type and message of the first event."""

    async def main() -> tuple[str, str, str]:
        api, lifecycle = made(), Lifecycle()
        client = cast(Client, api)
        nodes = Informer(client, NODE)
        lifecycle.spawn("nodes", nodes.run())
        recorder = EventRecorder(client, "kube-proxy", "node1")
        lifecycle.spawn("events", recorder.run())
        await NetworkPolicies(client, GROUNDS, "node1", nodes, tmp_path, recorder.event).start(lifecycle)
        await asyncio.wait_for(api.told.wait(), SECONDS)
        lifecycle.request_stop()
        await lifecycle.wait()
        event = api.events[0]
        return event["involvedObject"]["name"], event["type"], event["message"]

    return asyncio.run(main())


def test_without_nftables_each_policy_says_that_nothing_is_enforced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused(_: Enforcer) -> None:
        raise NftError("the kernel's nftables cannot be used\nand more")

    monkeypatch.setattr(Enforcer, "open", refused)
    message = "not enforced at all: the kernel's nftables cannot be used"
    assert told(tmp_path) == ("fence", "Warning", f"on node1: {message}")
    assert message in caplog.text


def test_who_may_not_read_what_policies_speak_of_says_so_with_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def done(*_: Any) -> None:
        pass

    for name in ("open", "sync", "watch"):
        monkeypatch.setattr(Enforcer, name, done)
    policy_name, kind, message = told(tmp_path, Closed)
    assert (policy_name, kind) == ("fence", "Warning")
    assert "not enforced, for they cannot be read: pods is forbidden" in message and "list and watch" in message
    assert caplog.text.count("pods is forbidden") == 1


class Changing(Api):
    """What is closed is nobody's to read; whether it is can change."""

    def __init__(self, closed: set[Kind]) -> None:
        super().__init__()
        self.closed = closed
        self.changed = asyncio.Event()

    def change(self, closed: set[Kind]) -> None:
        self.closed = closed
        self.changed.set()
        self.changed = asyncio.Event()

    async def list(self, kind: Kind, *_: Any, **__: Any) -> dict[str, Any]:
        if kind in self.closed:
            raise errors.Forbidden(f"{kind.plural} is forbidden")
        return await super().list(kind)

    async def watch(self, kind: Kind, *_: Any, **__: Any) -> AsyncIterator[tuple[str, Any]]:
        if kind in self.closed:
            raise errors.Forbidden(f"{kind.plural} is forbidden")
        yield "BOOKMARK", {"metadata": {"resourceVersion": "2"}}
        await self.changed.wait()


def test_rights_that_come_and_go_are_told_of_as_long_as_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    synced = asyncio.Event()

    async def done(*_: Any) -> None:
        pass

    async def sync(_: Enforcer) -> None:
        synced.set()

    for name, replaced in (("open", done), ("sync", sync), ("watch", done)):
        monkeypatch.setattr(Enforcer, name, replaced)
    monkeypatch.setattr(app, "of_bridges", lambda _: "")
    monkeypatch.setattr(informer, "RETRY_FIRST", 0.01)
    caplog.set_level(logging.INFO)

    async def main() -> None:
        api, lifecycle = Changing({NETWORK_POLICY, POD, NAMESPACE}), Lifecycle()
        client = cast(Client, api)
        nodes = Informer(client, NODE)
        lifecycle.spawn("nodes", nodes.run())
        events: list[str] = []
        policies = NetworkPolicies(client, GROUNDS, "n", nodes, tmp_path, lambda *event: events.append(event[3]))
        await policies.start(lifecycle)
        await until(lambda: "networkpolicies is forbidden" in caplog.text, what="the log says so")
        api.change(set())
        await asyncio.wait_for(synced.wait(), SECONDS)
        await until(lambda: caplog.text.count("enforced entirely again") == 1, what="rights are there")
        await until(lambda: all(one.has_synced for one in policies._others), what="all is read")
        assert not events, "no policy that could be read was unenforced"
        api.change({POD, NAMESPACE})
        await until(lambda: len(events) == 1, what="they are taken again")
        # The second begins when all is done that comes with the first.
        for _ in range(2):
            synced.clear()
            policies._trigger()
            await asyncio.wait_for(synced.wait(), SECONDS)
        assert len(events) == 1 and caplog.text.count("enforced entirely again") == 1
        api.change(set())
        await until(lambda: not any(one.is_refused for one in policies._others), what="and given back")
        policies._trigger()
        await until(lambda: caplog.text.count("enforced entirely again") == 2, what="all is well")
        lifecycle.request_stop()
        await lifecycle.wait()

    asyncio.run(main())


def test_without_br_netfilter_each_policy_says_that_pods_of_one_bridge_go_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def done(*_: Any) -> None:
        pass

    for name in ("open", "sync", "watch"):
        monkeypatch.setattr(Enforcer, name, done)
    monkeypatch.setattr(app, "of_bridges", lambda _: "not enforced between pods of one bridge")
    assert told(tmp_path) == ("fence", "Warning", "on node1: not enforced between pods of one bridge")


def reading(answers: dict[str, str]) -> Callable[[Any, str], str]:
    def read(_: Any, name: str) -> str:
        if name not in answers:
            raise FileNotFoundError(name)
        return answers[name]

    return read


@pytest.mark.parametrize(
    ("switches", "wanted"),
    [
        ({"iptables": "1", "ip6tables": "1"}, ""),
        ({"iptables": "0", "ip6tables": "1"}, "net.bridge.bridge-nf-call-iptables is off"),
        ({"iptables": "1", "ip6tables": "0"}, "net.bridge.bridge-nf-call-ip6tables is off"),
        ({}, "modprobe br_netfilter"),
    ],
)
def test_what_passes_below_the_rules(switches: dict[str, str], wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {f"net.bridge.bridge-nf-call-{name}": value for name, value in switches.items()}
    monkeypatch.setattr(netns, "read_sysctl", reading(answers))
    found = of_bridges(BOTH)
    assert wanted in found and bool(found) == bool(wanted)


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_switch_is_that_of_the_nodes_namespace() -> None:
    if not Path("/proc/sys/net/bridge").exists():
        pytest.skip("this kernel has no br_netfilter")
    space = netns.create("whtshort")
    try:
        for value in (0, 1):
            netns.write_sysctl(space, "net.bridge.bridge-nf-call-iptables", value)
            assert bool(of_bridges((Family.IPV4,), space)) == (value == 0)
    finally:
        netns.delete(space.name)


def test_each_policy_is_told_once_and_nobody_when_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    events: list[str] = []
    shortfall = Shortfall("node1", lambda obj, _kind, _reason, _message: events.append(obj["metadata"]["name"]))
    first, second, third = (policy("x", name) for name in ("first", "second", "third"))
    shortfall.policy_changed(None, first)
    shortfall.found("", [first])
    assert events == [] and not caplog.records
    for _ in range(2):
        shortfall.found("a reason", [first])
    shortfall.policy_changed(None, second)
    shortfall.policy_changed(second, {**second, "spec": {}})
    shortfall.policy_changed(second, None)
    assert events == ["first", "second"]
    shortfall.found("", [first])
    shortfall.policy_changed(None, third)
    assert events == ["first", "second"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]


def test_a_busy_kernel_is_asked_again_to_give_up_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def late(_self: Enforcer) -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise asyncio.TimeoutError

    async def ready(_self: Enforcer) -> None: ...

    monkeypatch.setattr(Enforcer, "open", ready)
    monkeypatch.setattr(Enforcer, "remove", late)
    monkeypatch.setattr(app, "_RETRY", 0.0)
    asyncio.run(app.remove_until_gone(GROUNDS))
    assert asked == 3


def test_a_relay_hides_who_speaks_and_policies_say_so() -> None:
    assert "userspace mode" in of_mode("userspace") and not of_mode("nftables") and not of_mode("ipvs")
