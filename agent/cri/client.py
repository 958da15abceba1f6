"""CRI calls in the agent's own terms. Every call has a deadline and raises `CriError`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.cri import events, translate
from agent.cri.channel import Channel
from agent.cri.containerd import Containerd
from agent.cri.errors import CriError, CriNotFound
from agent.cri.messages import pb
from agent.cri.model import Container, Credential, ExecResult, Image, ImageInfo, RuntimeEvent, RuntimeInfo, Sandbox

_RUNTIME = "/runtime.v1.RuntimeService/"
_IMAGES = "/runtime.v1.ImageService/"

# A pull takes as long as the network needs; upstream gives it no deadline at all.
_PULL_SECONDS = 3600.0
_QUICK_SECONDS = 10.0


class CriClient:
    """`request_seconds`: deadline of ordinary calls (upstream's runtime-request-timeout)."""

    def __init__(self, socket: Path, request_seconds: float = 120.0) -> None:
        self.channel = Channel(socket)
        self.containerd = Containerd(self.channel)
        self._timeout = request_seconds

    async def _runtime(self, method: str, request: Any, answer: Any, timeout: float | None = None) -> Any:
        return await self.channel.call(
            _RUNTIME + method, request, answer.FromString, self._timeout if timeout is None else timeout
        )

    async def _image(self, method: str, request: Any, answer: Any, timeout: float | None = None) -> Any:
        return await self.channel.call(
            _IMAGES + method, request, answer.FromString, self._timeout if timeout is None else timeout
        )

    async def close(self) -> None:
        await self.channel.close()

    async def follow(self, on_event: Callable[[RuntimeEvent], None], on_state: Callable[[bool], None]) -> None:
        """Deliver runtime events until cancelled; see `events`."""
        await events.follow(self.channel, on_event, on_state)

    # --- the runtime itself

    async def info(self) -> RuntimeInfo:
        version = await self._runtime("Version", pb.VersionRequest(), pb.VersionResponse, _QUICK_SECONDS)
        answer = await self._runtime("Status", pb.StatusRequest(), pb.StatusResponse, _QUICK_SECONDS)
        return translate.runtime_info(version, answer)

    async def takes_cdi(self) -> bool:
        """Whether it gives CDI devices to containers; one that does not ignores them without a word."""
        version = await self._runtime("Version", pb.VersionRequest(), pb.VersionResponse, _QUICK_SECONDS)
        request = pb.StatusRequest(verbose=True)
        answer = await self._runtime("Status", request, pb.StatusResponse, _QUICK_SECONDS)
        return translate.takes_cdi(version, answer.info.get("config", ""))

    # --- sandboxes

    async def run_sandbox(self, config: Any, runtime_handler: str = "") -> str:
        request = pb.RunPodSandboxRequest(config=config, runtime_handler=runtime_handler)
        answer = await self._runtime("RunPodSandbox", request, pb.RunPodSandboxResponse, self._timeout * 2)
        return str(answer.pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        request = pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        await _absent_is_fine(self._runtime("StopPodSandbox", request, pb.StopPodSandboxResponse))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        request = pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await _absent_is_fine(self._runtime("RemovePodSandbox", request, pb.RemovePodSandboxResponse))

    async def list_sandboxes(self) -> list[Sandbox]:
        """Without addresses and network mode; `sandbox` has them."""
        answer = await self._runtime("ListPodSandbox", pb.ListPodSandboxRequest(), pb.ListPodSandboxResponse)
        return [translate.listed_sandbox(item) for item in answer.items]

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        answer = await self._runtime("PodSandboxStatus", request, pb.PodSandboxStatusResponse)
        return translate.sandbox(answer.status)

    async def sandbox_image(self, sandbox_id: str) -> str:
        """The image that it was made of; "" where the runtime does not say."""
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id, verbose=True)
        answer = await self._runtime("PodSandboxStatus", request, pb.PodSandboxStatusResponse, _QUICK_SECONDS)
        return translate.sandbox_image(answer.info.get("info", ""))

    # --- containers

    async def create_container(self, sandbox_id: str, config: Any, sandbox_config: Any) -> str:
        request = pb.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config)
        answer = await self._runtime("CreateContainer", request, pb.CreateContainerResponse)
        return str(answer.container_id)

    async def start_container(self, container_id: str) -> None:
        request = pb.StartContainerRequest(container_id=container_id)
        await self._runtime("StartContainer", request, pb.StartContainerResponse)

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        """SIGTERM (or the image's signal), `grace_seconds`, SIGKILL. An absent container is stopped."""
        request = pb.StopContainerRequest(container_id=container_id, timeout=max(0, grace_seconds))
        timeout = self._timeout + max(0, grace_seconds)
        await _absent_is_fine(self._runtime("StopContainer", request, pb.StopContainerResponse, timeout))

    async def remove_container(self, container_id: str) -> None:
        request = pb.RemoveContainerRequest(container_id=container_id)
        await _absent_is_fine(self._runtime("RemoveContainer", request, pb.RemoveContainerResponse))

    async def list_containers(self) -> list[Container]:
        """Names, states and creation times; the rest is only in `container`."""
        answer = await self._runtime("ListContainers", pb.ListContainersRequest(), pb.ListContainersResponse)
        return [translate.listed_container(item) for item in answer.containers]

    async def container(self, container_id: str) -> Container:
        request = pb.ContainerStatusRequest(container_id=container_id)
        answer = await self._runtime("ContainerStatus", request, pb.ContainerStatusResponse)
        return translate.container(answer.status)

    async def update_container(self, container_id: str, resources: Any) -> None:
        """`resources`: LinuxContainerResources, the whole of them."""
        request = pb.UpdateContainerResourcesRequest(container_id=container_id, linux=resources)
        await self._runtime("UpdateContainerResources", request, pb.UpdateContainerResourcesResponse)

    async def reopen_log(self, container_id: str) -> None:
        request = pb.ReopenContainerLogRequest(container_id=container_id)
        await self._runtime("ReopenContainerLog", request, pb.ReopenContainerLogResponse)

    async def checkpoint(self, container_id: str, location: Path, timeout: int) -> None:
        """Write the container to a file; `timeout` in seconds, where that is more than all calls have."""
        seconds = max(timeout, int(self._timeout))
        request = pb.CheckpointContainerRequest(container_id=container_id, location=str(location), timeout=seconds)
        await self._runtime("CheckpointContainer", request, pb.CheckpointContainerResponse, max(seconds, self._timeout))

    async def container_stats(self) -> list[Any]:
        """CRI ContainerStats of every container."""
        request = pb.ListContainerStatsRequest()
        answer = await self._runtime("ListContainerStats", request, pb.ListContainerStatsResponse)
        return list(answer.stats)

    # --- streams

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        """`timeout` 0: none but the call's own deadline."""
        request = pb.ExecSyncRequest(container_id=container_id, cmd=command, timeout=int(timeout))
        deadline = self._timeout + timeout if timeout else self._timeout
        answer = await self._runtime("ExecSync", request, pb.ExecSyncResponse, deadline)
        return ExecResult(answer.stdout, answer.stderr, answer.exit_code)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        request = pb.ExecRequest(
            container_id=container_id, cmd=command, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty
        )
        return str((await self._runtime("Exec", request, pb.ExecResponse, _QUICK_SECONDS)).url)

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        request = pb.AttachRequest(container_id=container_id, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
        return str((await self._runtime("Attach", request, pb.AttachResponse, _QUICK_SECONDS)).url)

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        request = pb.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        return str((await self._runtime("PortForward", request, pb.PortForwardResponse, _QUICK_SECONDS)).url)

    # --- images

    async def image(self, image: str) -> Image | None:
        """The image by reference or id; None where it is not on the node."""
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=image))
        answer = await self._image("ImageStatus", request, pb.ImageStatusResponse)
        return translate.image(answer.image) if answer.HasField("image") else None

    async def pull(self, image: str, credential: Credential | None, sandbox_config: Any) -> str:
        """The pulled image's reference."""
        request = pb.PullImageRequest(
            image=pb.ImageSpec(image=image),
            auth=translate.auth_config(credential),
            sandbox_config=sandbox_config,
        )
        answer = await self._image("PullImage", request, pb.PullImageResponse, _PULL_SECONDS)
        return str(answer.image_ref)

    async def images(self) -> list[ImageInfo]:
        answer = await self._image("ListImages", pb.ListImagesRequest(), pb.ListImagesResponse)
        return [ImageInfo((*i.repo_digests, *i.repo_tags), i.size) for i in answer.images]


async def _absent_is_fine(call: Any) -> None:
    try:
        await call
    except CriNotFound:
        return


__all__ = ["CriClient", "CriError"]
