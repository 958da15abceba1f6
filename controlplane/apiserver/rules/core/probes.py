"""Probes and lifecycle handlers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core.podspec import spec_of
from controlplane.apiserver.rules.place import Place, Row
from controlplane.apiserver.rules.values import port
from controlplane.apiserver.rules.words import enum, hook, more_than_nothing, not_negative, required, union

_HEADER = re.compile(r"[-A-Za-z0-9]+\Z")
_HEADER_TEXT = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
    "validation is '[-A-Za-z0-9]+')"
)
_MANY, _NONE = "may not specify more than 1 handler type", "must specify a handler type"
_WINDOWS_SIGNALS = ("SIGKILL", "SIGTERM")
_SIGNALS = tuple(
    sorted(
        f"SIG{name}"
        for name in (
            *[
                "ABRT",
                "ALRM",
                "BUS",
                "CHLD",
                "CLD",
                "CONT",
                "FPE",
                "HUP",
                "ILL",
                "INT",
                "IO",
                "IOT",
                "KILL",
                "PIPE",
                "POLL",
                "PROF",
                "PWR",
                "QUIT",
                "SEGV",
                "STKFLT",
                "STOP",
            ],
            *[
                "SYS",
                "TERM",
                "TRAP",
                "TSTP",
                "TTIN",
                "TTOU",
                "URG",
                "USR1",
                "USR2",
                "VTALRM",
                "WINCH",
                "XCPU",
                "XFSZ",
                "RTMIN",
                "RTMAX",
            ],
            *(f"RTMIN+{number}" for number in range(1, 16)),
            *(f"RTMAX-{number}" for number in range(1, 15)),
        )
    )
)


def _port(action: Obj, at: Place) -> list[FieldError]:
    wanted = action.get("port")
    return port(at.to("port"), 0 if wanted is None else wanted)


def _headers(action: Obj, at: Place) -> Iterator[FieldError]:
    for header in action["httpHeaders"] or ():
        title = header.get("name") or ""
        if not _HEADER.match(title):
            yield errors.invalid(at.to("httpHeaders"), title, _HEADER_TEXT)


def _sleep(action: Obj, at: Place) -> Iterator[FieldError]:
    seconds, grace = action.get("seconds") or 0, spec_of(at).get("terminationGracePeriodSeconds")
    if grace is not None and not 0 <= seconds <= grace:
        text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        yield errors.invalid(at.path, seconds, text)


def _signal(lifecycle: Obj, at: Place) -> Iterator[FieldError]:
    system = (spec_of(at).get("os") or {}).get("name")
    allowed = {"linux": _SIGNALS, "windows": _WINDOWS_SIGNALS}.get(system or "")
    if spec_of(at).get("os") is None:
        yield errors.field_forbidden(at.to("stopSignal"), "may not be set for containers with empty `spec.os.name`")
    elif allowed is not None and lifecycle["stopSignal"] not in allowed:
        yield errors.not_supported(at.to("stopSignal"), lifecycle["stopSignal"], allowed)


def once(probe: Obj, at: Place) -> Iterator[FieldError]:
    """Liveness and startup succeed at once or not."""
    if (probe.get("successThreshold") or 0) != 1:
        yield errors.invalid(at.to("successThreshold"), probe.get("successThreshold") or 0, "must be 1")


def ungraceful(probe: Obj, at: Place) -> Iterator[FieldError]:
    """Readiness ends nothing."""
    seconds = probe.get("terminationGracePeriodSeconds")
    if seconds is not None:
        text = "must not be set for readinessProbes"
        yield errors.invalid(at.to("terminationGracePeriodSeconds"), seconds, text)


RULES: dict[str, Row] = {
    "core.v1.Probe": (
        union("exec", "httpGet", "tcpSocket", "grpc", many=_MANY, none=_NONE),
        not_negative("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"),
        more_than_nothing("terminationGracePeriodSeconds"),
    ),
    "core.v1.Lifecycle": ("postStart", "preStop", hook(_signal, "stopSignal")),
    "core.v1.LifecycleHandler": (union("exec", "httpGet", "tcpSocket", "sleep", many=_MANY, none=_NONE),),
    "core.v1.ExecAction": (required("command"),),
    "core.v1.HTTPGetAction": (
        required("path"),
        hook(_port),
        enum("scheme", ("HTTP", "HTTPS"), "refuse"),
        hook(_headers, "httpHeaders"),
    ),
    "core.v1.TCPSocketAction": (hook(_port),),
    "core.v1.GRPCAction": (hook(_port),),
    "core.v1.SleepAction": (hook(_sleep),),
}
