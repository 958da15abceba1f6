"""Tables of networking rules, runtime classes and disruption budgets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apimachinery.objects import Obj
from controlplane.apiserver.tables import texts
from controlplane.apiserver.tables.spec import AGE, NAME, Table, number, text

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


def _ingress(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    balancer = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    found = {i.get("ip") or i.get("hostname") or "" for i in balancer} - {""}
    return [
        texts.name(obj),
        spec.get("ingressClassName", texts.NONE),
        _hosts(spec.get("rules") or ()),
        ",".join(sorted(found)),
        "80, 443" if spec.get("tls") else "80",
        texts.age(obj, now),
    ]


def _hosts(rules: Sequence[Obj]) -> str:
    """Upstream counts what follows the third host by rules, whether they have a host or not."""
    shown: list[str] = []
    for rule in rules:
        if len(shown) == texts.LIST_LIMIT:
            return f"{','.join(shown)} + {len(rules) - texts.LIST_LIMIT} more..."
        shown += [rule["host"]] if rule.get("host") else []
    return ",".join(shown) or "*"


def _ingress_class(obj: Obj, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    parameters = spec.get("parameters")
    shown = texts.NONE
    if parameters:
        group = parameters.get("apiGroup")
        shown = f"{parameters.get('kind', '')}{'.' + group if group else ''}/{parameters.get('name', '')}"
    default = (obj["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"
    title = texts.name(obj) + (texts.DEFAULT if default else "")
    return [title, spec.get("controller", ""), shown, texts.age(obj, now)]


def _network_policy(obj: Obj, now: datetime) -> list[Any]:
    picked = (obj.get("spec") or {}).get("podSelector")
    return [texts.name(obj), texts.selector_or_none(picked), texts.age(obj, now)]


def _ip_address(obj: Obj, now: datetime) -> list[Any]:
    parent = (obj.get("spec") or {}).get("parentRef")
    shown = texts.NONE
    if parent is not None:
        group, space = parent.get("group"), parent.get("namespace")
        owner = f"{parent.get('resource', '')}{'.' + group if group else ''}".lower()
        shown = f"{owner}{'/' + space if space else ''}/{parent.get('name', '')}"
    return [texts.name(obj), shown, texts.age(obj, now)]


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
