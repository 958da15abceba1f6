"""How the devices of a pod's containers are, as the API tells it (KEP-4680). Pure but for what it is given.

Of prepared devices of claims nobody says how they are: drivers are not asked (`DRAResourceHealth`).
"""

from __future__ import annotations

from agent import podspec
from agent.devices.claims import Claims
from agent.devices.plugins import DevicePlugins
from apimachinery.objects import Obj


def allocated(pod: Obj, plugins: DevicePlugins, claims: Claims) -> dict[str, list[Obj]]:
    """allocatedResourcesStatus by container, of those that have devices: as upstream, not of init containers."""
    found = {}
    for container in podspec.containers(pod):
        resources = plugins.health(podspec.uid(pod), container["name"])
        shown = [_shown(name, _of_plugin(devices)) for name, devices in resources.items()]
        asked = claims.asked(pod, container)
        if shown := shown + [_shown(f"claim:{name}", dict.fromkeys(ids, "Unknown")) for name, ids in asked.items()]:
            found[container["name"]] = shown
    return found


def _of_plugin(devices: dict[str, bool]) -> dict[str, str]:
    return {device: "Healthy" if well else "Unhealthy" for device, well in devices.items()}


def _shown(name: str, devices: dict[str, str]) -> Obj:
    return {"name": name, "resources": [{"resourceID": one, "health": health} for one, health in devices.items()]}
