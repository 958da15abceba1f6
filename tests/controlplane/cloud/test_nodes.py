"""What a node is told of its machine."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.objects import Obj, labels
from controlplane.cloud.interface import CloudError, Instance
from controlplane.cloud.nodes import plan
from tests.controlplane.controllers import build

TAINT = {"key": plan.UNINITIALIZED, "value": "true", "effect": "NoSchedule"}
OTHER = {"key": "other", "effect": "NoSchedule"}
INTERNAL, EXTERNAL = {"type": "InternalIP", "address": "10.0.0.5"}, {"type": "ExternalIP", "address": "192.0.2.5"}
SIXTH = {"type": "InternalIP", "address": "fd00::5"}
HOSTNAME = {"type": "Hostname", "address": "n"}
MACHINE = Instance("lab://x/n", (INTERNAL, HOSTNAME), "small", "z1", "r1")


def node(node_labels: dict[str, str] | None = None, addresses: tuple[Obj, ...] = (), **spec: Any) -> Obj:
    made = build.node("n", **spec)
    made["metadata"]["labels"] = node_labels or {}
    made["status"]["addresses"] = list(addresses)
    return made


def test_a_new_node_gets_its_id_and_labels_and_loses_the_taint() -> None:
    before = node({"own": "1"}, taints=[TAINT, OTHER])
    after = plan.initialized(before, MACHINE)
    assert after["spec"] == {"providerID": "lab://x/n", "taints": [OTHER]}
    assert labels(after) == {
        "own": "1",
        "failure-domain.beta.kubernetes.io/zone": "z1",
        "topology.kubernetes.io/zone": "z1",
        "failure-domain.beta.kubernetes.io/region": "r1",
        "topology.kubernetes.io/region": "r1",
        "beta.kubernetes.io/instance-type": "small",
        "node.kubernetes.io/instance-type": "small",
    }
    assert plan.is_initialized(after) and not plan.is_initialized(before)
    assert before["spec"]["taints"] == [TAINT, OTHER]


def test_an_id_stays_and_one_must_be_there() -> None:
    kept = plan.initialized(node(taints=[TAINT], providerID="lab://x/own"), MACHINE)
    assert kept["spec"]["providerID"] == "lab://x/own"
    with pytest.raises(CloudError, match="does not set node provider ID for node n"):
        plan.initialized(node(taints=[TAINT]), Instance(""))


def test_a_clouds_own_labels_do_not_replace_and_are_none_of_kubernetes() -> None:
    more = {"example.com/rack": "7", "own": "cloud", "x.k8s.io/y": "no", "kubernetes.io/z": "no"}
    after = plan.initialized(node({"own": "1"}), Instance("lab://x/n", labels=more))
    assert labels(after) == {"own": "1", "example.com/rack": "7"}


def test_old_labels_are_said_by_their_new_keys_too() -> None:
    old, new = plan.TWINS[0]
    assert plan.missing_labels(node({old: "z1"})) == {new: "z1"}
    assert plan.missing_labels(node({old: "z1", new: "z2"})) == {new: "z1"}
    assert plan.missing_labels(node({old: "z1", new: "z1"})) == {}
    assert plan.missing_labels(node({new: "z1"})) == {}


@pytest.mark.parametrize(
    ("told", "chosen", "wanted"),
    [
        ((INTERNAL, EXTERNAL), "", [INTERNAL, EXTERNAL, HOSTNAME]),
        ((), "", []),
        ((), "10.0.0.5", []),
        ((INTERNAL, EXTERNAL, {**HOSTNAME, "address": "m"}), "", [INTERNAL, EXTERNAL, {**HOSTNAME, "address": "m"}]),
        (({**INTERNAL, "address": "10.0.0.4"}, INTERNAL, EXTERNAL), "10.0.0.5", [INTERNAL, EXTERNAL, HOSTNAME]),
        ((INTERNAL, SIXTH), "fd00::5,10.0.0.5", [SIXTH, INTERNAL, HOSTNAME]),
    ],
)
def test_addresses(told: tuple[Obj, ...], chosen: str, wanted: list[Obj]) -> None:
    given = node(addresses=(INTERNAL, HOSTNAME))
    given["metadata"]["annotations"] = {plan.PROVIDED_IP: chosen} if chosen else {}
    assert plan.addresses(given, Instance("lab://x/n", told)) == wanted


def test_an_address_that_the_machine_has_not_is_refused() -> None:
    given = node(taints=[TAINT])
    given["metadata"]["annotations"] = {plan.PROVIDED_IP: "10.9.9.9"}
    with pytest.raises(CloudError, match="provided node ip for node 'n' is not valid"):
        plan.initialized(given, MACHINE)


def test_addresses_are_written_when_they_differ() -> None:
    assert plan.address_change(node(addresses=(INTERNAL, HOSTNAME)), MACHINE) is None
    assert plan.address_change(node(addresses=(HOSTNAME,)), MACHINE) == [INTERNAL, HOSTNAME]
    assert plan.address_change(node(addresses=(HOSTNAME,)), Instance("lab://x/n")) is None


def test_a_machine_that_is_off_taints_its_node() -> None:
    off = {"key": plan.SHUTDOWN, "effect": "NoSchedule"}
    assert plan.with_shutdown(node(taints=[OTHER]), True) == [OTHER, off]
    assert plan.with_shutdown(node(taints=[OTHER, off]), False) == [OTHER]
    assert plan.with_shutdown(node(taints=[OTHER, off]), True) is None
    assert plan.with_shutdown(node(taints=[OTHER]), False) is None
