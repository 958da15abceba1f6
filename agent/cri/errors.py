"""What can go wrong at the runtime's socket."""

from __future__ import annotations

from agent.cri.stable import stable


class CriError(Exception):
    """A CRI call failed. `str()` is what upstream prints: `rpc error: code = NotFound desc = ...`.

    Both that and `message` may be put into statuses and events: they are the same for the same cause. `detail` is
    the runtime's own text, for logs.
    """

    def __init__(self, method: str, code: str, message: str) -> None:
        self.method = method
        self.code = code
        self.message = stable(message)
        self.detail = message
        super().__init__(f"rpc error: code = {code} desc = {self.message}")


class CriNotFound(CriError):
    """The sandbox, container or image does not exist."""


class CriUnavailable(CriError):
    """Nobody answers at the socket, or the runtime went away during the call."""


class CriTimeout(CriError):
    """The deadline passed; whether the call took effect is unknown."""


class CriUnimplemented(CriError):
    """The runtime does not serve this call."""


_BY_CODE: dict[str, type[CriError]] = {
    "NotFound": CriNotFound,
    "Unavailable": CriUnavailable,
    "DeadlineExceeded": CriTimeout,
    "Unimplemented": CriUnimplemented,
}


def cri_error(method: str, code: str, message: str) -> CriError:
    """`code` in gRPC's CamelCase spelling."""
    return _BY_CODE.get(code, CriError)(method, code, message)
