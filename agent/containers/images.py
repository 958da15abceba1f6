"""An image on the node before its container: pull policy, upstream's reasons and texts.

Source: https://kubernetes.io/docs/concepts/containers/images/ .
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from agent import podspec
from agent.containers.references import with_default_tag
from agent.cri.errors import CriError, CriUnavailable, cri_error
from agent.cri.model import Credential, Image
from agent.failures import StartError
from agent.reporter import Reporter
from apimachinery.objects import Obj

# Reasons told once more as "Error: REASON", like every failed step of a start.
IMAGE_REASONS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
)


class ImageRuntime(Protocol):
    async def image(self, image: str) -> Image | None: ...
    async def pull(self, image: str, credential: Credential | None, sandbox_config: Any) -> str: ...


class CredentialSource(Protocol):
    async def credentials(self, pod: Obj, image: str) -> tuple[Credential, ...]:
        """Credentials from imagePullSecrets for the image, best match first; empty means anonymous."""


class Images:
    """`parallel`: pulls under way at the same time."""

    def __init__(
        self,
        runtime: ImageRuntime,
        reporter: Reporter,
        credentials: CredentialSource | None,
        *,
        parallel: int,
    ) -> None:
        self._runtime = runtime
        self._reporter = reporter
        self._credentials = credentials
        self._slots = asyncio.Semaphore(parallel)

    async def ensure(self, pod: Obj, container: Obj, sandbox_config: Any, too_early: StartError | None) -> Image:
        """The container's image, pulled where the policy says so; `too_early`: what is raised instead of a pull, as
        the last one failed only lately. Raises StartError."""
        name = str(container.get("image", ""))
        try:
            image = with_default_tag(name)
        except ValueError as error:
            text = f'Failed to apply default image tag "{name}": {error}'
            self._reporter.container(pod, container, "Warning", "InspectFailed", text)
            raise StartError("InvalidImageName", text) from error
        policy = podspec.pull_policy(container)
        # What is here does not count where it is always asked for anew.
        present = await self._present(pod, container, image) if policy != "Always" else None
        if present:
            text = f'Container image "{name}" already present on machine and can be accessed by the pod'
            self._reporter.container(pod, container, "Normal", "Pulled", text)
            return present
        if policy == "Never":
            text = f'Container image "{name}" is not present with pull policy of Never'
            self._reporter.container(pod, container, "Warning", "ErrImageNeverPull", text)
            raise StartError("ErrImageNeverPull", text)
        if too_early is not None:
            raise too_early
        return await self._pull(pod, container, image, sandbox_config)

    async def _present(self, pod: Obj, container: Obj, image: str) -> Image | None:
        try:
            return await self._runtime.image(image)
        except CriUnavailable:
            raise
        except CriError as error:
            text = f'Failed to inspect image "{container.get("image", "")}": {error}'
            self._reporter.container(pod, container, "Warning", "InspectFailed", text)
            raise StartError("ImageInspectError", text) from error

    async def _pull(self, pod: Obj, container: Obj, image: str, sandbox_config: Any) -> Image:
        name = container["image"]
        self._reporter.container(pod, container, "Normal", "Pulling", f'Pulling image "{name}"')
        queued = time.monotonic()
        async with self._slots:
            begun = time.monotonic()
            try:
                await self._pull_with_credentials(pod, image, sandbox_config)
                # The runtime answers a pull with a reference; containers are created from the id.
                found = await self._runtime.image(image)
                if found is None:
                    raise cri_error("ImageStatus", "NotFound", f"image {image} vanished after the pull")
            except CriError as error:
                text = f'Failed to pull image "{name}": {error}'
                self._reporter.container(pod, container, "Warning", "Failed", text)
                raise StartError("ErrImagePull", str(error), image=name) from error
        ended = time.monotonic()
        text = (
            f'Successfully pulled image "{name}" in {_seconds(ended - begun)} '
            f"({_seconds(ended - queued)} including waiting). Image size: {found.size} bytes."
        )
        self._reporter.container(pod, container, "Normal", "Pulled", text)
        return found

    async def _pull_with_credentials(self, pod: Obj, image: str, sandbox_config: Any) -> None:
        found = await self._credentials.credentials(pod, image) if self._credentials else ()
        attempts: tuple[Credential | None, ...] = found or (None,)
        failure: CriError | None = None
        for credential in attempts:
            try:
                await self._runtime.pull(image, credential, sandbox_config)
                return
            except CriError as error:
                failure = error
        assert failure is not None
        raise failure


def _seconds(value: float) -> str:
    """1.234s or 56ms, as Go prints a duration rounded to milliseconds."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s" if value >= 1 else f"{round(value * 1000)}ms"
