"""Why something that a pod asks for cannot be had now: raised where it is made or fetched, told to the user by whoever
walks the pod's plan.
"""

from __future__ import annotations


class NotNow(Exception):
    """Something the pod asks for cannot be had. `settling`: the API server does not give or not know it, which just
    after a pod was bound may only take it a moment: the user is not told at once. `awaited`: it is another's to bring
    about, at any moment, and nothing will tell of it."""

    def __init__(self, text: str, *, settling: bool = False, awaited: bool = False) -> None:
        super().__init__(text)
        self.settling = settling
        self.awaited = awaited


class VolumeError(NotNow):
    """A volume is not ready: event FailedMount with this text, retried with back-off."""


class DeviceError(NotNow):
    """The devices of the pod's claims are not ready: event FailedPrepareDynamicResources, retried with back-off."""


class HandlerError(Exception):
    """The pod's RuntimeClass leads to no runtime handler; the text is the user's."""


class ConfigError(NotNow):
    """The container cannot be configured (missing key, bad field path): reason CreateContainerConfigError."""


class StartError(Exception):
    """A container cannot be started now. `reason` and `message` are what its waiting state shows, `event` (type,
    reason, text) what the user is told; `image`: whose pull failed or is too early, empty where it is none."""

    def __init__(
        self,
        reason: str,
        message: str,
        event: tuple[str, str, str] = ("", "", ""),
        *,
        image: str = "",
        settling: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.event = event
        self.image = image
        self.settling = settling


class SandboxError(Exception):
    """No sandbox; the text is the event's. `network`: only because the node's network is not there yet."""

    def __init__(self, text: str, *, network: bool = False) -> None:
        super().__init__(text)
        self.network = network


class Unsettled(Exception):
    """What an earlier attempt at a container had begun is not over yet, which takes a moment: `name` is the
    container's, the text the runtime's."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
