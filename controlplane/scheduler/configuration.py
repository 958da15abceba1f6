"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): what such a file asks for, as a frozen value.

Pure: the file's values in, `Configuration` out; `profiles` makes plugins of it. Fields that change nothing here are
named in `unused` and told at the start.
Source: https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.kit import settings
from controlplane.scheduler.extenders import ExtenderSettings
from controlplane.scheduler.extract import DEFAULT_SCHEDULER
from controlplane.scheduler.framework import POINTS

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"
# Plugins that were taken out before this version of the file's format.
REMOVED = ("AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits")
# Fields with a meaning upstream that has no counterpart here.
UNUSED = ("parallelism", "enableProfiling", "enableContentionProfiling", "delayCacheUntilActive")
FIELDS = (
    "apiVersion",
    "kind",
    "leaderElection",
    "clientConnection",
    "percentageOfNodesToScore",
    "podInitialBackoffSeconds",
    "podMaxBackoffSeconds",
    "profiles",
    "extenders",
)
_CONNECTION = ("kubeconfig", "acceptContentTypes", "contentType", "qps", "burst")


class ConfigurationError(ValueError):
    """The file asks for what cannot be; the message names the field and the fix."""


@dataclass(frozen=True)
class PluginSet:
    """What a profile changes at one extension point: plugins with their weights (0: none given), and who is off."""

    enabled: tuple[tuple[str, int], ...] = ()
    disabled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ProfileSettings:
    """One profile as the file says it; `points` by the names of POINTS and `multiPoint`, `args` by plugin."""

    name: str = DEFAULT_SCHEDULER
    percentage: int | None = None
    points: Mapping[str, PluginSet] = field(default_factory=dict)
    args: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Configuration:
    """A whole file."""

    profiles: tuple[ProfileSettings, ...] = (ProfileSettings(),)
    extenders: tuple[ExtenderSettings, ...] = ()
    percentage: int = 0
    first_backoff: float = 1.0
    longest_backoff: float = 10.0
    kubeconfig: str = ""
    election: Mapping[str, Any] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


def read(values: Mapping[str, Any]) -> Configuration:
    """The configuration of a file's values. ConfigurationError."""
    _known(values, "", (*FIELDS, *UNUSED))
    if (values.get("apiVersion"), values.get("kind")) != (API_VERSION, KIND):
        raise ConfigurationError(f"apiVersion and kind must be {API_VERSION} and {KIND}")
    connection = _mapping(values.get("clientConnection"), "clientConnection")
    _known(connection, "clientConnection", _CONNECTION)
    first = values.get("podInitialBackoffSeconds", 1)
    longest = values.get("podMaxBackoffSeconds", 10)
    if not isinstance(first, (int, float)) or first <= 0:
        raise ConfigurationError(f"podInitialBackoffSeconds: {first}: must be greater than 0")
    if not isinstance(longest, (int, float)) or longest < first:
        text = "must be greater than or equal to PodInitialBackoffSeconds"
        raise ConfigurationError(f"podMaxBackoffSeconds: {longest}: {text}")
    unused = [name for name in UNUSED if name in values]
    unused += [f"clientConnection.{name}" for name in _CONNECTION[1:] if name in connection]
    percentage = _percentage(values.get("percentageOfNodesToScore"), "percentageOfNodesToScore")
    return Configuration(
        _profiles(values.get("profiles")),
        _extenders(values.get("extenders")),
        percentage or 0,
        float(first),
        float(longest),
        connection.get("kubeconfig") or "",
        _mapping(values.get("leaderElection"), "leaderElection"),
        tuple(unused),
    )


def _profiles(values: Any) -> tuple[ProfileSettings, ...]:
    listed = _list(values, "profiles") or [{}]
    found: list[ProfileSettings] = []
    for number, value in enumerate(listed):
        where = f"profiles[{number}]"
        profile = _mapping(value, where)
        _known(profile, where, ("schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"))
        name = profile.get("schedulerName") or (DEFAULT_SCHEDULER if len(listed) == 1 else "")
        if not name:
            raise ConfigurationError(f"{where}.schedulerName: is required, for there is more than one profile")
        if name in [other.name for other in found]:
            raise ConfigurationError(f"{where}.schedulerName: {name!r} is another profile's name already")
        percentage = _percentage(profile.get("percentageOfNodesToScore"), f"{where}.percentageOfNodesToScore")
        points = _points(_mapping(profile.get("plugins"), f"{where}.plugins"), f"{where}.plugins")
        args = _args(profile.get("pluginConfig"), f"{where}.pluginConfig")
        found.append(ProfileSettings(name, percentage, points, args))
    _same_order(found)
    return tuple(found)


def _same_order(profiles: Iterable[ProfileSettings]) -> None:
    """There is one queue, so all profiles must sort it alike."""
    first: PluginSet | None = None
    for number, profile in enumerate(profiles):
        order = profile.points.get("queueSort", PluginSet())
        where = f"profiles[{number}].plugins.queueSort"
        if len(order.enabled) > 1:
            raise ConfigurationError(f"{where}.enabled: only one queue sort plugin can be enabled")
        first = first if first is not None else order
        if order != first:
            raise ConfigurationError(f"{where}: must be the same for all profiles")


def _points(values: Mapping[str, Any], where: str) -> dict[str, PluginSet]:
    _known(values, where, (*POINTS, "multiPoint"))
    found = {}
    for point, value in values.items():
        part = _mapping(value, f"{where}.{point}")
        _known(part, f"{where}.{point}", ("enabled", "disabled"))
        enabled: list[tuple[str, int]] = []
        for number, entry in enumerate(_list(part.get("enabled"), f"{where}.{point}.enabled")):
            here = f"{where}.{point}.enabled[{number}]"
            name, weight = _plugin(entry, here)
            if name in REMOVED:
                raise ConfigurationError(f"{here}: {name} was taken out before {API_VERSION}; leave it out")
            if name in [other for other, _ in enabled]:
                raise ConfigurationError(f"{here}: {name} stands there twice")
            enabled.append((name, weight))
        disabled = _list(part.get("disabled"), f"{where}.{point}.disabled")
        off = [_plugin(entry, f"{where}.{point}.disabled[{number}]")[0] for number, entry in enumerate(disabled)]
        found[point] = PluginSet(tuple(enabled), frozenset(off))
    return found


def _plugin(entry: Any, where: str) -> tuple[str, int]:
    value = _mapping(entry, where)
    _known(value, where, ("name", "weight"))
    name, weight = value.get("name"), value.get("weight") or 0
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"{where}.name: say which plugin")
    if not isinstance(weight, int) or weight < 0:
        raise ConfigurationError(f"{where}.weight: {weight}: must be a whole number, 1 or more")
    return name, weight


def _args(values: Any, where: str) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for number, entry in enumerate(_list(values, where)):
        here = f"{where}[{number}]"
        value = _mapping(entry, here)
        _known(value, here, ("name", "args"))
        name = value.get("name")
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{here}.name: say which plugin")
        if name in found:
            raise ConfigurationError(f"{here}: {name} has arguments already")
        args = dict(_mapping(value.get("args"), f"{here}.args"))
        for key, wanted in (("apiVersion", API_VERSION), ("kind", f"{name}Args")):
            if args.pop(key, wanted) != wanted:
                raise ConfigurationError(f"{here}.args.{key}: use {wanted}, or leave it out")
        found[name] = args
    return found


def _extenders(values: Any) -> tuple[ExtenderSettings, ...]:
    found = []
    for number, entry in enumerate(_list(values, "extenders")):
        where = f"extenders[{number}]"
        try:
            found.append(settings.of(ExtenderSettings, snake(_mapping(entry, where)), where))
        except settings.SettingsError as error:
            raise ConfigurationError(str(error)) from error
    if sum(bool(extender.bind_verb) for extender in found) > 1:
        raise ConfigurationError("extenders: only one extender can implement bind")
    managed = [resource.name for extender in found for resource in extender.managed_resources]
    if len(set(managed)) < len(managed):
        raise ConfigurationError("extenders: managedResources: a resource can have one extender that manages it")
    return tuple(found)


# Arguments that are API objects, whose keys are theirs.
_OBJECTS = ("addedAffinity", "defaultConstraints")


def snake(value: Any) -> Any:
    """A value with keys as our settings spell them: bindTimeoutSeconds becomes bind_timeout_seconds."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {_snake(str(key)): item if key in _OBJECTS else snake(item) for key, item in value.items()}


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()


def _percentage(value: Any, where: str) -> int | None:
    if value is not None and (not isinstance(value, int) or not 0 <= value <= 100):
        raise ConfigurationError(f"{where}: {value}: not in valid range [0-100]")
    return value


def _known(values: Mapping[str, Any], where: str, names: Iterable[str]) -> None:
    known = sorted(names)
    for name in values:
        if name not in known:
            place = f"{where}.{name}" if where else name
            raise ConfigurationError(f"unknown field {place}; known fields: {', '.join(known)}")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: must be a mapping, not {type(value).__name__}")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ConfigurationError(f"{where}: must be a list, not {type(value).__name__}")
    return value
