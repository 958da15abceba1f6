"""Which signing requests are approved, signed, refused and cleaned away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apimachinery.objects import Obj
from apimachinery.signing import Request
from apimachinery.timestamps import format_time
from controlplane.controllers.certificates import plan
from tests.controlplane.controllers.build import T0

NODES = ("system:nodes",)
CLIENT = ["digital signature", "key encipherment", "client auth"]
SERVING = ["digital signature", "key encipherment", "server auth"]


def csr(signer: str = plan.KUBELET_CLIENT, *conditions: str, **spec: Any) -> Obj:
    told = [{"type": kind, "status": "True", "lastUpdateTime": format_time(T0)} for kind in conditions]
    spec = {"signerName": signer, "usages": CLIENT, "username": "system:node:a", **spec}
    meta = {"name": "r", "creationTimestamp": format_time(T0)}
    return {"metadata": meta, "spec": spec, "status": {"conditions": told} if told else {}}


def node(**parts: Any) -> Request:
    return Request("system:node:a", NODES, **parts)


APPROVED = [
    (csr(), node(), ["selfnodeclient", "nodeclient"]),
    (csr(username="system:bootstrap:abc"), node(), ["nodeclient"]),
    (csr(usages=CLIENT[::2]), node(), ["selfnodeclient", "nodeclient"]),
    (csr(plan.CLIENT), node(), []),
    (csr(plan.KUBELET_SERVING, usages=SERVING), node(dns=("a",)), []),
    (csr(plan.KUBELET_CLIENT, "Approved"), node(), []),
    (csr(plan.KUBELET_CLIENT, "Denied"), node(), []),
    (csr(usages=SERVING), node(), []),
    (csr(), Request("system:node:a", ("system:masters",)), []),
    (csr(), Request("jane", NODES), []),
    (csr(), node(ips=("10.0.0.1",)), []),
]


@pytest.mark.parametrize(("request_", "asked", "subresources"), APPROVED)
def test_what_may_be_approved_unasked(request_: Obj, asked: Request, subresources: list[str]) -> None:
    assert [p.subresource for p in plan.permissions(request_, asked)] == subresources


SIGNED = [
    (csr(plan.CLIENT, "Approved"), True),
    (csr(plan.CLIENT), False),
    (csr(plan.CLIENT, "Approved", "Denied"), False),
    (csr(plan.CLIENT, "Approved", "Failed"), False),
    (csr("example.com/own", "Approved"), False),
    ({**csr(plan.CLIENT), "status": {"certificate": "eA==", "conditions": [{"type": "Approved"}]}}, False),
]


@pytest.mark.parametrize(("request_", "signed"), SIGNED)
def test_what_is_signed(request_: Obj, signed: bool) -> None:
    assert plan.to_sign(request_) is signed


COMPLAINTS = [
    (csr(plan.CLIENT), Request("jane", ("team",), dns=("x",)), ""),
    (csr(plan.CLIENT, usages=["client auth"]), Request("jane", ()), ""),
    (csr(plan.CLIENT, usages=SERVING), Request("jane", ()), "invalid usage for client certificate: server auth"),
    (
        csr(plan.CLIENT, usages=CLIENT[:1]),
        Request("jane", ()),
        "missing required usage for client certificate: client auth",
    ),
    (csr(), node(), ""),
    (csr(), node(dns=("a",)), "DNS subjectAltNames are not allowed"),
    (csr(), node(ips=("10.0.0.1",)), "IP subjectAltNames are not allowed"),
    (csr(), node(emails=("a@example.com",)), "Email subjectAltNames are not allowed"),
    (csr(), node(uris=("x:y",)), "URI subjectAltNames are not allowed"),
    (csr(usages=SERVING), node(), "usages did not match [client auth digital signature key encipherment]"),
    (csr(), Request("jane", NODES), "subject common name does not begin with system:node:"),
    (csr(), Request("system:node:a", ()), "subject organization is not system:nodes"),
    (csr(plan.KUBELET_SERVING, usages=SERVING), node(ips=("10.0.0.1",), dns=("a",)), ""),
    (csr(plan.KUBELET_SERVING, usages=SERVING[::2]), node(dns=("a",)), ""),
    (csr(plan.KUBELET_SERVING, usages=SERVING), node(), "DNS or IP subjectAltName is required"),
    (
        csr(plan.KUBELET_SERVING),
        node(dns=("a",)),
        "usages did not match [digital signature key encipherment server auth]",
    ),
    (csr(plan.LEGACY, usages=["cert sign"]), Request("any", ()), ""),
]


@pytest.mark.parametrize(("request_", "asked", "text"), COMPLAINTS)
def test_what_each_signer_demands(request_: Obj, asked: Request, text: str) -> None:
    assert plan.complaint(request_, asked) == text


@pytest.mark.parametrize(("asked", "given"), [(None, 86400), (3600, 3600), (1, 600), (10**9, 86400)])
def test_how_long_a_certificate_lives(asked: int | None, given: int) -> None:
    spec = {} if asked is None else {"expirationSeconds": asked}
    assert plan.life({"spec": spec}, timedelta(days=1)) == timedelta(seconds=given)


ISSUED = {**csr(), "status": {**csr(plan.CLIENT, "Approved")["status"], "certificate": "eA=="}}
OVER = [
    (csr(), 24),
    (csr(plan.CLIENT, "Denied"), 1),
    (csr(plan.CLIENT, "Failed"), 1),
    (csr(plan.CLIENT, "Approved"), 24),
    (ISSUED, 1),
]


@pytest.mark.parametrize(("request_", "hours"), OVER)
def test_when_a_request_is_of_no_use_any_more(request_: Obj, hours: int) -> None:
    assert not plan.is_over(request_, None, T0 + timedelta(hours=hours))
    assert plan.is_over(request_, None, T0 + timedelta(hours=hours, seconds=1))


def test_an_expired_certificate_is_of_no_use() -> None:
    assert plan.is_over(ISSUED, T0, T0 + timedelta(seconds=1))
    assert not plan.is_over(ISSUED, T0, T0)


def other(name: str, *addresses: str) -> Obj:
    return {
        "metadata": {"name": name},
        "status": {"addresses": [{"type": "InternalIP", "address": a} for a in addresses]},
    }


def serving(*conditions: str, **spec: Any) -> Obj:
    return csr(plan.KUBELET_SERVING, *conditions, **{"usages": SERVING, "groups": [*NODES], **spec})


SELF = node(dns=("a",), ips=("10.0.0.1",))


@pytest.mark.parametrize(
    ("asking", "asked", "nodes", "problem"),
    [
        (serving(), SELF, [], ""),
        (serving(), SELF, [other("a", "10.0.0.1"), other("b", "10.0.0.2")], ""),
        (serving(), SELF, [other("b", "10.0.0.1")], "belongs to node b"),
        (serving(), node(dns=("a", "b"), ips=("10.0.0.1",)), [], "names"),
        (serving(), node(dns=("kubernetes",)), [], "names"),
        (serving(), node(), [], "required"),
        (serving(username="system:node:b"), SELF, [], "author"),
        (serving(groups=["system:authenticated"]), SELF, [], "author"),
        (serving("Approved"), SELF, [], "decided"),
        (serving("Denied"), SELF, [], "decided"),
        (serving(usages=CLIENT), SELF, [], "usages"),
        (csr(groups=[*NODES]), SELF, [], "none"),
    ],
)
def test_a_node_gets_a_serving_certificate_for_itself_alone(
    asking: Obj, asked: Request, nodes: list[Obj], problem: str
) -> None:
    told = plan.claims_of_serving(asking, asked, nodes)
    assert problem in told if problem else told == ""
