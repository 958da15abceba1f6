"""Gathers what a container's environment needs and applies the pure rules of this package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.cri.model import Credential
from agent.downward import PodFacts
from agent.env.credentials import credentials_for
from agent.env.variables import Referenced, container_references, make_environment
from agent.failures import ConfigError
from agent.host.paths import pod_directory
from agent.objects.cache import Objects
from agent.podspec import uid
from agent.reporter import Reporter
from agent.settings import AgentSettings
from agent.volumes.extract import place_of, volumes_of
from agent.volumes.plugins import PLUGINS, by_kind
from agent.volumes.subpath import read_beneath
from apimachinery.objects import Obj


class Environment:
    """The environment of containers, and the credentials of their images."""

    def __init__(self, settings: AgentSettings, objects: Objects, reporter: Reporter | None = None) -> None:
        """`reporter`: who is told of pull secrets that are not there."""
        self._settings = settings
        self._objects = objects
        self._reporter = reporter

    async def build(self, pod: Obj, container: Obj, pod_ips: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """The variables of `container` in CRI order; raises ConfigError."""
        wanted = container_references(container)
        referenced = Referenced(
            config_maps=await self._objects.config_maps(pod, wanted.config_maps, ConfigError),
            secrets=await self._objects.secrets(pod, wanted.secrets, ConfigError),
            services=await self._objects.services_for(pod),
            files=self._files(pod, wanted.files),
        )
        variables = make_environment(pod, container, referenced, self._facts(pod, pod_ips))
        return tuple(variables.items())

    async def credentials(self, pod: Obj, image: str) -> tuple[Credential, ...]:
        """Credentials of the pod's pull secrets for `image`.

        A missing secret is passed over, as upstream does.
        """
        names = [ref.get("name", "") for ref in pod.get("spec", {}).get("imagePullSecrets") or []]
        if not names:
            return ()
        secrets = await self._objects.secrets(pod, frozenset(names), ConfigError)
        missing = [name for name in names if name not in secrets]
        if missing and self._reporter is not None:
            text = f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
            text += "attempting to pull the image may not succeed."
            self._reporter.pod(pod, "Warning", "FailedToRetrieveImagePullSecret", text)
        return credentials_for(image, [secrets[name] for name in names if name in secrets])

    def _files(self, pod: Obj, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
        """Files of the pod's volumes, which can only be emptyDirs; those of volumes it has not are left out."""
        if not wanted:
            return {}
        place, plugin = place_of(pod, pod_directory(self._settings.root_dir, uid(pod))), by_kind(PLUGINS)["emptyDir"]
        roots = {v.name: plugin.plan(v, place).path for v in volumes_of(pod) if v.kind == plugin.kind}
        found: dict[tuple[str, str], str | None] = {}
        for volume, path in wanted:
            if (root := roots.get(volume)) is not None:
                found[volume, path] = read_beneath(root, path)
        return found

    def _facts(self, pod: Obj, pod_ips: Sequence[str]) -> PodFacts:
        return PodFacts(self._objects.host_ips(pod, self._settings.node_ip), tuple(pod_ips), self._allocatable())

    def _allocatable(self) -> Mapping[str, str]:
        return self._objects.allocatable()
