"""What a Service's writer need not say, what goes with its type, and what the pools refuse: upstream's order."""

from __future__ import annotations

import re
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.objects import copy
from controlplane.apiserver import defaults
from controlplane.apiserver.catalog.strategy import PLAIN, Strategy
from controlplane.apiserver.strategies import servicefields
from controlplane.apiserver.strategies.services import ServicePools

Obj = dict[str, Any]
HTTP: Obj = {"port": 80, "name": "http"}


def made(**spec: Any) -> Obj:
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"}, "spec": copy(spec)}
    defaults.apply(obj)
    return obj


def strategy() -> Strategy:
    """Of a cluster in which another Service has a few things."""
    pools = ServicePools("10.97.0.0/24", "30000-30100")
    other = made(ports=[HTTP | {"nodePort": 30001}], clusterIP="10.97.0.9", clusterIPs=["10.97.0.9"], type="NodePort")
    other["metadata"]["name"] = "other"
    pools.service_changed(None, other)
    return pools.strategy(PLAIN)


def stored(**spec: Any) -> Obj:
    return made(
        **{"clusterIP": "10.97.0.5", "clusterIPs": ["10.97.0.5"], "ipFamilies": ["IPv4"]},
        **{"ipFamilyPolicy": "SingleStack", **spec},
    )


NODE_PORT: Obj = {"type": "NodePort", "ports": [{**HTTP, "nodePort": 30005}]}
LOCAL: Obj = {**NODE_PORT, "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30006}
CLASSED: Obj = {**LOCAL, "loadBalancerClass": "a/b"}


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        (
            {"clusterIP": "10.97.0.9"},
            "spec.clusterIPs",
            'Invalid value: ["10.97.0.9"]: failed to allocate IP 10.97.0.9: provided IP is already allocated',
        ),
        (
            {"clusterIP": "10.9.0.9"},
            "spec.clusterIPs",
            'Invalid value: ["10.9.0.9"]: failed to allocate IP 10.9.0.9: the provided network does not match the '
            "current range",
        ),
        (
            {"type": "NodePort", "ports": [HTTP, {"port": 80, "protocol": "UDP", "nodePort": 29999}]},
            "spec.ports[0].nodePort",
            "Invalid value: 29999: provided port is not in the valid range. The range of valid ports is 30000-30100",
        ),
        (
            {"type": "NodePort", "ports": [{"port": 80, "protocol": "UDP", "nodePort": 30001}]},
            "spec.ports[0].nodePort",
            "Invalid value: 30001: provided port is already allocated",
        ),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30007}, {"port": 81, "nodePort": 30007}]},
            "spec.ports[1].nodePort",
            "Invalid value: 30007: provided port is already allocated",
        ),
    ],
)
def test_what_the_pools_refuse_is_all_that_is_told(spec: Obj, field: str, text: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        strategy().prepare_create(made(**{"ports": [{"port": 0}], **spec}))
    assert refused.value.details is not None
    assert [(c["field"], c["message"]) for c in refused.value.details["causes"]] == [(field, text)]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"clusterIP": "10.97.0.9"}, ""),
        ({"clusterIP": "10.9.0.9"}, "the provided IP (10.9.0.9) is not in the valid range. The range of valid IPs is"),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 29999}]}, ""),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}]}, "provided port is already allocated"),
        ({**LOCAL, "healthCheckNodePort": 30001}, "provided port is already allocated"),
    ],
)
def test_a_dry_run_does_not_look_what_addresses_are_taken_and_what_ports_there_are(spec: Obj, why: str) -> None:
    pools, service = strategy(), made(**{"ports": [HTTP], **spec})
    assert pools.trial is not None
    if why:
        with pytest.raises(errors.ApiError, match=re.escape(why)):
            pools.trial.prepare_create(service)
        return
    pools.trial.prepare_create(service)
    pools.reserve(service, None, True).release()
    with pytest.raises(errors.Invalid):
        pools.prepare_create(made(**{"ports": [HTTP], **spec}))


def test_a_port_for_health_that_cannot_be_had_is_the_servers_failure() -> None:
    with pytest.raises(errors.InternalError) as refused:
        strategy().prepare_create(made(**{**LOCAL, "healthCheckNodePort": 30001}))
    told = "failed to allocate requested HealthCheck NodePort 30001: provided port is already allocated"
    assert refused.value.message == f"Internal error occurred: {told}"
    assert refused.value.details == {"causes": [{"message": told}]}


def test_what_the_pools_refuse_is_told_of_a_service_without_a_name_too() -> None:
    nameless = made(type="NodePort", ports=[{"port": 80, "nodePort": 30001}])
    del nameless["metadata"]["name"]
    with pytest.raises(errors.Invalid, match='Service "" is invalid: spec.ports.0..nodePort: Invalid value: 30001'):
        strategy().prepare_create(nameless)


@pytest.mark.parametrize(
    ("was", "change", "wanted"),
    [
        # What is left out is as it was; a port is known by its name.
        (NODE_PORT, {"type": "NodePort", "ports": [{"port": 81, "name": "http"}]}, {"ports.0.nodePort": 30005}),
        (NODE_PORT, {"type": "NodePort", "ports": [{"port": 80, "name": "other"}]}, {"ports.0.nodePort": None}),
        (LOCAL, {**LOCAL, "healthCheckNodePort": 0}, {"healthCheckNodePort": 30006}),
        ({"ports": [HTTP]}, {"ports": [HTTP]}, {"clusterIP": "10.97.0.5", "clusterIPs": ["10.97.0.5"]}),
        ({"ports": [HTTP]}, {"ports": [HTTP], "clusterIP": "10.97.0.7"}, {"clusterIPs": ["10.97.0.7"]}),
        # What a type has no use for goes where nobody has touched it.
        (LOCAL, {**LOCAL, "type": "ClusterIP", "allocateLoadBalancerNodePorts": True},
         {"ports.0.nodePort": None, "healthCheckNodePort": None, "externalTrafficPolicy": None,
          "allocateLoadBalancerNodePorts": None}),
        (LOCAL, {**LOCAL, "type": "ClusterIP", "externalIPs": ["1.2.3.4"]}, {"externalTrafficPolicy": "Local"}),
        (LOCAL, {**LOCAL, "type": "ClusterIP", "externalTrafficPolicy": "Cluster"},
         {"externalTrafficPolicy": "Cluster", "healthCheckNodePort": None}),
        (LOCAL, {"type": "ClusterIP", "ports": [{**HTTP, "nodePort": 30008}]}, {"ports.0.nodePort": 30008}),
        (CLASSED, {**NODE_PORT, "loadBalancerClass": "a/b"}, {"loadBalancerClass": None}),
        (CLASSED, {**NODE_PORT, "loadBalancerClass": "c/d"}, {"loadBalancerClass": "c/d"}),
        (
            {"ports": [HTTP]},
            {"type": "ExternalName", "clusterIP": "10.97.0.5", "clusterIPs": ["10.97.0.5"], "ipFamilies": ["IPv6"],
             "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster"},
            {"clusterIP": None, "clusterIPs": None, "ipFamilies": ["IPv6"], "ipFamilyPolicy": None,
             "internalTrafficPolicy": None},
        ),
    ],
)  # fmt: skip
def test_a_change_of_a_service(was: Obj, change: Obj, wanted: Obj) -> None:
    old, new = stored(**was), made(**change)
    new["status"] = old["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    strategy().prepare_update(new, old)
    for path, value in wanted.items():
        place: Any = new["spec"]
        for step in path.split("."):
            place = place[int(step)] if step.isdigit() else place.get(step)
        assert place == value, path
    kept = new["spec"]["type"] == "LoadBalancer"
    assert bool(new["status"]["loadBalancer"]) == kept and old["status"]["loadBalancer"]


def test_the_same_port_twice_is_told_as_upstream_does() -> None:
    ports = [{"port": 80, "name": "a", "nodePort": 30005}, {"port": 81, "name": "b", "nodePort": 30005}]
    with pytest.raises(errors.ApiError, match=r"^duplicate nodePort: \{TCP 30005\}$"):
        strategy().prepare_update(made(type="NodePort", ports=ports), stored(**NODE_PORT))


def test_ports_are_given_once_for_all_protocols() -> None:
    free = iter((30010, 30011))
    spec: Obj = {"type": "NodePort", "ports": [{"port": 53}, {"port": 53, "protocol": "UDP"}, {"port": 54}]}
    servicefields.give_ports(spec, None, lambda index, number: None, lambda: next(free))
    assert [port["nodePort"] for port in spec["ports"]] == [30010, 30010, 30011]
    alone: Obj = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 53}]}
    servicefields.give_ports(alone, None, lambda index, number: None, lambda: next(free))
    assert alone["ports"] == [{"port": 53}]


def test_a_port_that_is_chosen_is_none_that_is_named() -> None:
    """Two for two, and in every order that chance has for them."""
    named: Obj = {"port": 81, "name": "named", "nodePort": 30000}
    for _ in range(20):
        pools = ServicePools("10.97.0.0/24", "30000-30001").strategy(PLAIN)
        service = made(type="NodePort", ports=[HTTP, named])
        pools.prepare_create(service)
        pools.reserve(service, None, False)
        assert [port["nodePort"] for port in service["spec"]["ports"]] == [30001, 30000]


def test_a_dry_run_shows_what_nobody_gets_and_draws_nothing() -> None:
    pools = ServicePools("10.97.0.0/30,fd00::/120", "30000-30000")
    trial = pools.strategy(PLAIN).trial
    assert trial is not None
    ports = [{"port": port, "name": f"p{port}"} for port in (1, 2)]
    for _ in range(4):
        shown = made(ports=ports, type="LoadBalancer", externalTrafficPolicy="Local", ipFamilyPolicy="PreferDualStack")
        trial.prepare_create(shown)
        trial.reserve(shown, None, True)
        assert shown["spec"]["clusterIPs"] == ["10.97.0.0", "fd00::"]
        assert [port["nodePort"] for port in shown["spec"]["ports"]] == [32769, 32770]
        assert shown["spec"]["healthCheckNodePort"] == 32771
    asked = made(ports=[{**HTTP, "nodePort": 40000}, {"port": 1, "name": "b"}], type="NodePort")
    trial.prepare_create(asked)
    trial.reserve(asked, None, True)
    assert [port["nodePort"] for port in asked["spec"]["ports"]] == [40000, 40001]
    assert pools.ports.free(()) == 30000
