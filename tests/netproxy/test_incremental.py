"""However a state was reached, the rules are those of a rebuild from that state; every step is a legal transaction."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netproxy import modes
from netproxy.model import Family, PortKey, Route
from netproxy.topology import Place
from tests.netproxy.simulated import endpoint, endpoint_slice, ground, service, state_of, tracker

IPS = [f"10.244.{node}.{i}" for node in (1, 2) for i in (5, 6)]
NAMES = ("a", "b", "c")
HISTORIES = int(os.environ.get("WHERRY_HISTORIES", "120"))
"""of each mode; thousands where somebody has the time"""


@st.composite
def specs(draw: st.DrawFn, name: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]))
    protocols = draw(st.lists(st.sampled_from(["TCP", "UDP"]), min_size=1, max_size=2, unique=True))
    ports = [{"name": "p" if p == "TCP" else "u", "port": 80, "protocol": p} for p in protocols]
    if kind != "ClusterIP":
        # Two Services may ask for the same node port and external address: the API forbids the first only.
        ports = [{**p, "nodePort": draw(st.sampled_from([30001, 30002]))} for p in ports]
    spec: dict[str, Any] = {
        "type": kind,
        "clusterIP": f"10.96.0.{NAMES.index(name) + 1}",
        "clusterIPs": [f"10.96.0.{NAMES.index(name) + 1}"],
        "ports": ports,
        "externalIPs": draw(st.sampled_from([[], ["192.0.2.1"], ["192.0.2.1", "192.0.2.2"]])),
        "internalTrafficPolicy": draw(st.sampled_from(["Cluster", "Cluster", "Local"])),
        "sessionAffinity": draw(st.sampled_from(["None", "None", "ClientIP"])),
    }
    spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": draw(st.sampled_from([60, 90]))}}
    if kind != "ClusterIP":
        spec["externalTrafficPolicy"] = draw(st.sampled_from(["Cluster", "Local"]))
    if kind == "LoadBalancer":
        spec["loadBalancerSourceRanges"] = draw(st.sampled_from([[], ["198.51.100.0/24"], ["10.20.0.0/16"]]))
    return spec


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, str, Any]:
    name = draw(st.sampled_from(NAMES))
    what = draw(st.sampled_from(["service", "slice", "slice", "second slice", "no service", "no slice"]))
    if what == "service":
        ingress = draw(st.sampled_from([(), ("203.0.113.7",), ("203.0.113.7", "203.0.113.8")]))
        return what, name, service(draw(specs(name)), ingress, name)
    if what.endswith("slice") and not what.startswith("no"):
        ips = draw(st.lists(st.sampled_from(IPS), max_size=4, unique=True))
        made = [endpoint(ip, "node1" if ".1." in ip else "node2", ready=draw(st.booleans())) for ip in ips]
        ports = [{"name": "p", "port": 8080, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
        label = f"{name}-{'2' if what.startswith('second') else '1'}"
        return "slice", name, endpoint_slice(*made, name=label, owner=name, ports=ports)
    return what, name, None


@pytest.mark.parametrize("mode", modes.mode_names())
@settings(max_examples=HISTORIES)
@given(sequence=st.lists(st.tuples(steps(), st.booleans()), max_size=14))
def test_changes_lead_where_a_rebuild_leads(mode: str, sequence: list[tuple[tuple[str, str, Any], bool]]) -> None:
    track = tracker(Place("node1"))
    rules = state_of(mode, ground(Family.IPV4))
    rules.rebuild({})
    known: dict[tuple[str, str], Any] = {}
    routes: dict[PortKey, Route] = {}
    for (what, name, obj), sync in sequence:
        kind = what.removeprefix("no ")
        label = obj["metadata"]["name"] if obj else (name if kind == "service" else f"{name}-1")
        old = known.pop((kind, label), None)
        if obj is not None:
            known[kind, label] = obj
        if old is not None or obj is not None:
            (track.service_changed if kind == "service" else track.slice_changed)(old, obj)
        if sync:
            rules.change(track.drain().routes)
    rules.change(track.drain().routes)
    assert rules.change(track.drain().routes) == ""
    routes.update(track.routes)
    fresh = state_of(mode, ground(Family.IPV4))
    fresh.rebuild(routes)
    assert rules.state() == fresh.state()
    # What a rebuild over an older state leaves is the same too.
    rules.rebuild(routes)
    assert rules.state() == fresh.state()


def test_an_unchanged_service_writes_nothing() -> None:
    track = tracker()
    track.service_changed(None, service())
    track.slice_changed(None, endpoint_slice(endpoint("10.244.1.5")))
    assert track.drain().routes
    relabelled = service()
    relabelled["metadata"] = {**relabelled["metadata"], "labels": {"a": "b"}}
    track.service_changed(service(), relabelled)
    assert not track.drain().routes
