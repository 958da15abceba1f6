"""The lab's nodes as a cloud's machines: they are there while the lab's description names them."""

from __future__ import annotations

from apimachinery.objects import Obj, name
from controlplane.cloud.interface import CloudError, Instance
from lab import state
from lab.paths import Paths
from lab.spec import Node, Spec, SpecError

PROVIDER = "lab"
INSTANCE_TYPE = "network-namespace"


def provider_id(lab: str, node: str) -> str:
    """The node's machine, as Node.spec.providerID names it."""
    return f"{PROVIDER}://{lab}/{node}"


def described(paths: Paths) -> Spec:
    """The lab as it is now. CloudError when its description is gone or damaged."""
    try:
        found = state.load(paths)
    except SpecError as error:
        raise CloudError(str(error)) from error
    if found is None:
        raise CloudError(f"lab {paths.lab} is not described any more")
    return found


class LabInstances:
    """Machines of one lab. A node with another provider's id, or with none, is not this cloud's to judge."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    async def exists(self, node: Obj) -> bool:
        return self._machine(described(self._paths), node) is not None

    async def is_shut_down(self, node: Obj) -> bool:
        machine = self._machine(described(self._paths), node)
        return machine is not None and machine.stopped

    async def describe(self, node: Obj) -> Instance | None:
        """By its name, where it has no id yet."""
        spec = described(self._paths)
        if not (node.get("spec") or {}).get("providerID") and name(node) not in {each.name for each in spec.nodes}:
            raise CloudError(f"lab {spec.name} has no node {name(node)}")
        machine = _named(spec, name(node)) if not _id(node) else self._machine(spec, node)
        return None if machine is None else instance(spec, machine)

    def _machine(self, spec: Spec, node: Obj) -> Node | None:
        prefix = provider_id(spec.name, "")
        if not _id(node).startswith(prefix):
            raise CloudError(f"node {name(node)} ({_id(node) or 'without a providerID'}) is no machine of {prefix}")
        return _named(spec, _id(node).removeprefix(prefix))


def instance(spec: Spec, machine: Node) -> Instance:
    """What the lab knows of one of its nodes."""
    internal = [{"type": "InternalIP", "address": address} for address in spec.addresses_of(machine)]
    return Instance(
        provider_id=provider_id(spec.name, machine.name),
        addresses=(*internal, {"type": "Hostname", "address": machine.name}),
        instance_type=INSTANCE_TYPE,
        zone=spec.zone,
        region=spec.name,
    )


def _id(node: Obj) -> str:
    return str((node.get("spec") or {}).get("providerID") or "")


def _named(spec: Spec, wanted: str) -> Node | None:
    return next((each for each in spec.nodes if each.name == wanted), None)
