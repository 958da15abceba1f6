"""From environment and standard input to a checked request, to a plugin, to an answer. Every plugin goes
through here.

Source: CNI specification 1.1, sections 2 and 4; names are checked as the reference implementation checks
them.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cni import types
from cni.host import Host, same_namespace
from cni.types import CniError, Result

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_REQUIRED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"),
    "GC": ("CNI_PATH",),
    "STATUS": ("CNI_PATH",),
}
_SINCE = {"ADD": "0.3.0", "DEL": "0.3.0", "CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}


@dataclass(frozen=True)
class Request:
    """One call of a plugin. `config` is the decoded standard input; `previous` its prevResult in 1.1 form."""

    command: str
    container_id: str = ""
    netns: str = ""
    ifname: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    version: str = types.LATEST
    previous: Result | None = None

    @property
    def network(self) -> str:
        return str(self.config.get("name", ""))

    def section(self, *keys: str) -> Mapping[str, Any]:
        """The configuration's object at these keys, an empty one where there is none. CniError(6) for anything else."""
        found: Any = self.config
        for place, key in enumerate(keys, 1):
            found = found.get(key) or {}
            if not isinstance(found, Mapping):
                raise CniError(types.DECODING_FAILURE, f"{'.'.join(keys[:place])} is not an object")
        return found  # type: ignore[no-any-return]

    def valid_attachments(self) -> set[tuple[str, str]]:
        """For GC: (container id, interface) of every attachment the runtime still knows."""
        key = "cni.dev/valid-attachments"
        given = self.config.get(key, self.config.get("cni.dev/attachments"))
        if not isinstance(given, list):
            raise CniError(types.INVALID_CONFIG, f"GC needs the list {key}")
        try:
            return {(str(a["containerID"]), str(a["ifname"])) for a in given}
        except (KeyError, TypeError):
            raise CniError(types.INVALID_CONFIG, f"{key}: each needs containerID and ifname") from None


@dataclass(frozen=True)
class Plugin:
    """A plugin's commands. They are synchronous and run in a worker thread; failures are CniError or
    OSError.
    """

    name: str
    add: Callable[[Request, Host], Result]
    delete: Callable[[Request, Host], None]
    check: Callable[[Request, Host], None]
    gc: Callable[[Request, Host], None]
    status: Callable[[Request, Host], None]
    arguments: frozenset[str] | None = None
    """The keys of CNI_ARGS that it knows; others are refused unless IgnoreUnknown is set. None: it looks at none."""


def answer(plugin: Plugin, environment: Mapping[str, str], stdin: bytes, host: Host) -> tuple[int, bytes]:
    """(exit status, standard output) of one call. Never raises."""
    version = types.LATEST
    try:
        if environment.get("CNI_COMMAND") == "VERSION":
            return 0, _versions(stdin)
        request = parse(environment, stdin)
        version = request.version
        result = _run(plugin, request, host)
        return 0, b"" if result is None else json.dumps(types.to_version(result, version)).encode()
    except CniError as problem:
        return 1, problem.to_json(version if problem.code != types.INCOMPATIBLE_VERSION else types.LATEST)
    except OSError as problem:
        return 1, CniError(types.IO_FAILURE, str(problem)).to_json(version)
    except Exception as problem:
        log.exception("%s %s failed", plugin.name, environment.get("CNI_COMMAND"))
        return 1, CniError(types.INTERNAL, f"{type(problem).__name__}: {problem}").to_json(version)


def parse(environment: Mapping[str, str], stdin: bytes) -> Request:
    """A checked request, or CniError with the specification's code."""
    command = environment.get("CNI_COMMAND", "")
    if command not in _REQUIRED:
        raise CniError(types.INVALID_ENVIRONMENT, f"unknown CNI_COMMAND: {command}")
    missing = [name for name in _REQUIRED[command] if not environment.get(name)]
    if missing:
        raise CniError(types.INVALID_ENVIRONMENT, f"required env variables [{','.join(missing)}] missing")
    config = _decode(stdin)
    version = _negotiated(config)
    _check_names(command, environment, config)
    if not types.at_least(version, _SINCE[command]):
        raise CniError(types.INCOMPATIBLE_VERSION, f"config version does not allow {command}")
    previous = config.get("prevResult")
    if previous is not None and not isinstance(previous, dict):
        raise CniError(types.DECODING_FAILURE, "prevResult is not an object")
    return Request(
        command=command,
        container_id=environment.get("CNI_CONTAINERID", ""),
        netns=environment.get("CNI_NETNS", ""),
        ifname=environment.get("CNI_IFNAME", ""),
        arguments=_arguments(environment.get("CNI_ARGS", "")),
        path=tuple(p for p in environment.get("CNI_PATH", "").split(":") if p),
        config=config,
        version=version,
        previous=None if previous is None else types.from_version(previous),
    )


def _run(plugin: Plugin, request: Request, host: Host) -> Result | None:
    if request.command in ("ADD", "CHECK"):
        _check_arguments(plugin, request.arguments)
    if request.command == "ADD":
        if not Path(request.netns).exists():
            raise CniError(types.UNKNOWN_CONTAINER, f"no network namespace at {request.netns}")
        if same_namespace(request.netns):
            raise CniError(types.INVALID_NETNS, f"{request.netns} is the node's own network namespace")
        return plugin.add(request, host)
    if request.command == "CHECK":
        if request.previous is None:
            raise CniError(types.INVALID_CONFIG, "CHECK needs prevResult")
        if not Path(request.netns).exists():
            raise CniError(types.UNKNOWN_CONTAINER, f"no network namespace at {request.netns}")
    command = {"DEL": plugin.delete, "CHECK": plugin.check, "GC": plugin.gc, "STATUS": plugin.status}
    command[request.command](request, host)
    return None


def _decode(stdin: bytes) -> dict[str, Any]:
    try:
        config = json.loads(stdin)
    except ValueError as problem:
        raise CniError(types.DECODING_FAILURE, "cannot decode the network configuration", str(problem)) from None
    if not isinstance(config, dict):
        raise CniError(types.DECODING_FAILURE, "the network configuration is not an object")
    return config


def _negotiated(config: Mapping[str, Any]) -> str:
    version = config.get("cniVersion") or "0.1.0"
    if version not in types.SUPPORTED:
        details = f"config is {json.dumps(version)}, plugin supports {json.dumps(types.SUPPORTED)}"
        raise CniError(types.INCOMPATIBLE_VERSION, "incompatible CNI versions", details)
    return str(version)


def _check_names(command: str, environment: Mapping[str, str], config: Mapping[str, Any]) -> None:
    network = config.get("name")
    if not isinstance(network, str) or not network:
        raise CniError(types.INVALID_CONFIG, "missing network name")
    if not _NAME.fullmatch(network):
        raise CniError(types.INVALID_CONFIG, f"invalid characters found in network name: {network!r}")
    if command in ("GC", "STATUS"):
        return
    container_id, ifname = environment["CNI_CONTAINERID"], environment["CNI_IFNAME"]
    if not _NAME.fullmatch(container_id):
        raise CniError(types.INVALID_ENVIRONMENT, "invalid characters in containerID", container_id)
    if len(ifname) > 15 or ifname in (".", "..") or re.search(r"[/:\s]", ifname):
        raise CniError(types.INVALID_ENVIRONMENT, f"interface name {ifname!r} is invalid")


def _arguments(text: str) -> dict[str, str]:
    if not text:
        return {}
    pairs = [part.split("=", 1) for part in text.split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise CniError(types.INVALID_ENVIRONMENT, f"CNI_ARGS {text!r} is not KEY=VALUE;KEY=VALUE")
    return {key: value for key, value in pairs}


def _check_arguments(plugin: Plugin, given: Mapping[str, str]) -> None:
    """A misspelt key must not be a wish that nobody hears."""
    lenient = given.get("IgnoreUnknown", "").lower() in ("1", "t", "true")
    unknown = sorted(given.keys() - (plugin.arguments or given.keys()) - {"IgnoreUnknown"})
    if unknown and not lenient:
        text = f"CNI_ARGS: unknown {', '.join(unknown)}; IgnoreUnknown=1 allows what {plugin.name} does not know"
        raise CniError(types.INVALID_ENVIRONMENT, text)


def _versions(stdin: bytes) -> bytes:
    try:
        asked = json.loads(stdin or b"{}").get("cniVersion")
    except (ValueError, AttributeError):
        asked = None
    return json.dumps({"cniVersion": asked or types.LATEST, "supportedVersions": types.SUPPORTED}).encode()
