"""Tables of networking rules, runtime classes and disruption budgets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery.objects import Obj
from controlplane.apiserver.tables import texts
from controlplane.apiserver.tables.spec import AGE, NAME, Table, number, text


def _ingress(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    hosts = [r["host"] for r in spec.get("rules") or () if r.get("host")]
    balancer = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    found = {i.get("ip") or i.get("hostname") or "" for i in balancer} - {""}
    return [
        texts.name(obj),
        spec.get("ingressClassName") or texts.NONE,
        texts.shortened(hosts) if hosts else "*",
        ",".join(sorted(found)),
        "80, 443" if spec.get("tls") else "80",
        texts.age(obj, now),
    ]


def _ingress_class(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    parameters = spec.get("parameters")
    shown = texts.NONE
    if parameters:
        group = parameters.get("apiGroup")
        shown = f"{parameters.get('kind', '')}{'.' + group if group else ''}/{parameters.get('name', '')}"
    return [texts.name(obj), spec.get("controller", ""), shown, texts.age(obj, now)]


def _network_policy(obj: Obj, now: datetime) -> list[Any]:
    picked = (obj.get("spec") or {}).get("podSelector")
    return [texts.name(obj), texts.selector_or_none(picked), texts.age(obj, now)]


def _ip_address(obj: Obj, now: datetime) -> list[Any]:
    parent = (obj.get("spec") or {}).get("parentRef") or {}
    parts = (parent.get(key, "") for key in ("group", "resource", "namespace", "name"))
    return [texts.name(obj), "/".join(part for part in parts if part), texts.age(obj, now)]


def _service_cidr(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), ",".join((obj.get("spec") or {}).get("cidrs") or ()), texts.age(obj, now)]


def _runtime_class(obj: Obj, now: datetime) -> list[Any]:
    return [texts.name(obj), obj.get("handler", ""), texts.age(obj, now)]


def _budget(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    limits = [spec.get(key) for key in ("minAvailable", "maxUnavailable")]
    return [
        texts.name(obj),
        *("N/A" if limit is None else str(limit) for limit in limits),
        (obj.get("status") or {}).get("disruptionsAllowed", 0),
        texts.age(obj, now),
    ]


INGRESS = Table(
    columns=(
        NAME,
        text(
            "Class",
            "The name of the IngressClass resource that should be used for additional configuration",
        ),
        text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
        text("Address", "Address is a list containing ingress points for the load-balancer"),
        text("Ports", "Ports of TLS configurations that open"),
        AGE,
    ),
    cells=_ingress,
)
INGRESS_CLASS = Table(
    columns=(
        NAME,
        text("Controller", "Controller that is responsible for handling this class"),
        text("Parameters", "A reference to a resource with additional parameters"),
        AGE,
    ),
    cells=_ingress_class,
)
NETWORK_POLICY = Table(
    columns=(
        NAME,
        text("Pod-Selector", "networking.v1.NetworkPolicySpec#podSelector"),
        AGE,
    ),
    cells=_network_policy,
)
IP_ADDRESS = Table(
    columns=(
        NAME,
        text("ParentRef", "networking.v1.IPAddressSpec#parentRef"),
    ),
    cells=_ip_address,
)
RUNTIME_CLASS = Table(
    columns=(
        NAME,
        text("Handler", ""),
        AGE,
    ),
    cells=_runtime_class,
)
POD_DISRUPTION_BUDGET = Table(
    columns=(
        NAME,
        text("Min Available", "The minimum number of pods that must be available."),
        text("Max Unavailable", "The maximum number of pods that may be unavailable."),
        number("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
        AGE,
    ),
    cells=_budget,
)
SERVICE_CIDR = Table(
    columns=(
        NAME,
        text("CIDRs", "networking.v1.ServiceCIDRSpec#cidrs"),
        AGE,
    ),
    cells=_service_cidr,
)
