"""Images that are mounted as volumes (KEP-4639): had once in each walk over a pod, whoever mounts them.

Every image volume of the pod is resolved before its containers, also one that nobody mounts; what could not be had is
told of by the containers that mount it. Source: https://kubernetes.io/docs/concepts/storage/volumes/#image .
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent import podspec
from agent.containers.images import Images
from agent.cri.model import Image
from agent.failures import StartError
from apimachinery.objects import Obj


class ImageVolumes:
    """One pod's, for one walk. `sandbox`: the PodSandboxConfig, which a pull is told; `too_early`: for an image, by
    reference, what is raised instead of a pull."""

    def __init__(self, images: Images, pod: Obj, sandbox: Any, too_early: Mapping[str, StartError]) -> None:
        self._images = images
        self._pod = pod
        self._sandbox = sandbox
        self._too_early = too_early
        volumes = (volume for volume in podspec.spec(pod).get("volumes") or () if volume.get("image"))
        self._sources: dict[str, Obj] = {volume["name"]: volume["image"] for volume in volumes}
        self._had: dict[str, Image | StartError] = {}

    def are_in(self, container: Obj) -> bool:
        """Whether the container mounts one."""
        return any(mount["name"] in self._sources for mount in container.get("volumeMounts") or ())

    async def of(self, container: Obj) -> Mapping[str, str]:
        """Ids of the images that the container mounts, by reference. Raises StartError where one could not be had."""
        for name, source in self._sources.items():
            if name not in self._had:
                self._had[name] = await self._ensure(source)
        found: dict[str, str] = {}
        for mount in container.get("volumeMounts") or ():
            had = self._had.get(mount["name"])
            if isinstance(had, StartError):
                raise had
            if had is not None:
                found[self._sources[mount["name"]].get("reference", "")] = had.id
        return found

    async def _ensure(self, source: Obj) -> Image | StartError:
        reference = str(source.get("reference", ""))
        # No name of a container: what is told is told of the pod.
        holder = {"name": "", "image": reference, "imagePullPolicy": source.get("pullPolicy")}
        try:
            return await self._images.ensure(self._pod, holder, self._sandbox, self._too_early.get(reference))
        except StartError as error:
            return error
