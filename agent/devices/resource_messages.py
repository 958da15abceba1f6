"""The messages of the pod resources API, as bytes. Pure.

Field numbers: upstream's `podresources/v1/api.proto`; `v1alpha1` has the same, and fewer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.cri.wire import encode_bytes, encode_number, encode_text, fields, text_of
from agent.devices.state import Held


@dataclass(frozen=True)
class PluginDevice:
    """A device of a plugin; `nodes`: the NUMA nodes that it is near, none where its plugin does not say."""

    resource: str
    id: str
    nodes: tuple[int, ...] = ()


def asked(data: bytes) -> tuple[str, str]:
    """(namespace, name) of a GetPodResourcesRequest. Raises WireError."""
    found = list(fields(data))
    return text_of(found, 2), text_of(found, 1)


def device(of: PluginDevice) -> tuple[bytes, ...]:
    """ContainerDevices: one for each NUMA node, as upstream's."""
    plain = encode_text(1, of.resource) + encode_text(2, of.id)
    near = (encode_bytes(1, encode_number(1, node)) for node in of.nodes)
    return tuple(plain + encode_bytes(3, each) for each in near) or (plain,)


def claim(held: Held) -> bytes:
    """DynamicResource: a claim with every device that is prepared of it."""
    devices = (
        b"".join(encode_bytes(1, encode_text(1, each)) for each in one.cdi)
        + encode_text(2, driver)
        + encode_text(3, one.pool)
        + encode_text(4, one.name)
        + (encode_text(5, one.share) if one.share else b"")
        for driver, prepared in held.drivers.items()
        for one in prepared
    )
    return encode_text(2, held.ref.name) + encode_text(3, held.ref.namespace) + repeated(4, devices)


def container(name: str, devices: Iterable[bytes], claims: Iterable[bytes] = ()) -> bytes:
    """ContainerResources, without CPUs and memory: none are any container's alone."""
    return encode_text(1, name) + repeated(2, devices) + repeated(5, claims)


def pod(namespace: str, name: str, containers: Iterable[bytes]) -> bytes:
    """PodResources."""
    return encode_text(1, name) + encode_text(2, namespace) + repeated(3, containers)


def repeated(number: int, messages: Iterable[bytes]) -> bytes:
    """One field with all of them: the answers of List (pods) and GetAllocatableResources (devices) are no more."""
    return b"".join(encode_bytes(number, each) for each in messages)
