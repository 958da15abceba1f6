"""Why something that a pod asks for cannot be had now: raised where it is made or fetched, told to the user by whoever
walks the pod's plan.
"""

from __future__ import annotations


class NotNow(Exception):
    """Something the pod asks for cannot be had. ``settling``: the API server does not give or not know it, which just
    after a pod was bound may only take it a moment: the user is not told at once."""

    def __init__(self, text: str, *, settling: bool = False) -> None:
        super().__init__(text)
        self.settling = settling


class VolumeError(NotNow):
    """A volume is not ready: event FailedMount with this text, retried with back-off."""


class HandlerError(Exception):
    """The pod's RuntimeClass leads to no runtime handler; the text is the user's."""


class ConfigError(NotNow):
    """The container cannot be configured (missing key, bad field path): reason CreateContainerConfigError."""
