"""Profiles out of a configuration: upstream's defaults, what a file changes of them, and plugins by import path.

A name with a colon, `package.module:Class`, is a plugin of one's own: a class derived from `framework.Plugin`, made
with its pluginConfig's args as keyword arguments.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from apimachinery.kit import settings
from controlplane.scheduler.configuration import Configuration, ConfigurationError, PluginSet, ProfileSettings, snake
from controlplane.scheduler.devices.holdings import Devices
from controlplane.scheduler.extenders import unchecked
from controlplane.scheduler.framework import POINTS, Plugin, Profile, takes_part
from controlplane.scheduler.plugins import BY_NAME, ROWS, Handle
from controlplane.scheduler.storage import Storage

DEFAULTS = PluginSet(tuple((row.name, row.weight) for row in ROWS))


def build(configuration: Configuration, storage: Storage, devices: Devices) -> dict[str, Profile]:
    """The profiles by scheduler name. ConfigurationError."""
    handle = Handle(storage, unchecked(configuration.extenders), devices)
    return {one.name: _profile(one, configuration.percentage, handle) for one in configuration.profiles}


def _profile(wanted: ProfileSettings, percentage: int, handle: Handle) -> Profile:
    everywhere = _merged(DEFAULTS, wanted.points.get("multiPoint", PluginSet()))
    names = [name for name, _ in everywhere.enabled]
    names += [name for point, chosen in wanted.points.items() if point != "multiPoint" for name, _ in chosen.enabled]
    plugins = {name: _make(name, wanted, handle) for name in dict.fromkeys(names)}
    for name in wanted.args.keys() - plugins.keys() - BY_NAME.keys():
        raise ConfigurationError(f"profile {wanted.name}: pluginConfig: no plugin is called {name!r}")
    # A plugin is known by what it calls itself; the file may know it by where it is found.
    points: dict[str, tuple[Plugin, ...]] = {}
    weights: dict[str, int] = {}
    for point in POINTS:
        chosen = _at(point, wanted.points.get(point, PluginSet()), everywhere, plugins)
        points[point] = tuple(plugins[name] for name, _ in chosen)
        if point == "score":
            weights = {plugins[name].name: weight or 1 for name, weight in chosen}
    if not points["queueSort"] or not points["bind"]:
        lacking = "queueSort" if not points["queueSort"] else "bind"
        raise ConfigurationError(f"profile {wanted.name}: no plugin is left at {lacking}; enable one")
    share = wanted.percentage if wanted.percentage is not None else percentage
    return Profile(wanted.name, points, weights, share)


def _merged(defaults: PluginSet, own: PluginSet) -> PluginSet:
    """The defaults that are not off, those set anew in their old place, then the others of one's own."""
    asked = dict(own.enabled)
    kept = [] if "*" in own.disabled else [entry for entry in defaults.enabled if entry[0] not in own.disabled]
    enabled = [(name, asked.pop(name, weight)) for name, weight in kept]
    return PluginSet((*enabled, *asked.items()), own.disabled)


def _at(point: str, own: PluginSet, everywhere: PluginSet, plugins: Mapping[str, Plugin]) -> list[tuple[str, int]]:
    """Who takes part at a point: those set anew for it, those that are on everywhere, the others set for it."""
    for name, _ in own.enabled:
        if not takes_part(plugins[name], point):
            raise ConfigurationError(f"plugins.{point}.enabled: {name} has nothing to say there; leave it out")
    here = dict(own.enabled)
    spread: list[tuple[str, int]] = []
    if "*" not in own.disabled:
        spread = [
            (name, weight)
            for name, weight in everywhere.enabled
            if name not in own.disabled and takes_part(plugins[name], point)
        ]
    known = {name for name, _ in spread}
    anew = [entry for entry in own.enabled if entry[0] in known]
    rest = [entry for entry in own.enabled if entry[0] not in known]
    chosen = [*anew, *(entry for entry in spread if entry[0] not in here), *rest]
    if point == "queueSort" and len(chosen) > 1:
        raise ConfigurationError(f"plugins.queueSort: {chosen[0][0]} sorts already; disable it there, or the other")
    return chosen


def _make(name: str, wanted: ProfileSettings, handle: Handle) -> Plugin:
    where = f"profile {wanted.name}, pluginConfig of {name}"
    args = wanted.args.get(name, {})
    if ":" in name:
        return _imported(name, args, where)
    row = BY_NAME.get(name)
    if row is None:
        known = f"there are {', '.join(BY_NAME)}"
        raise ConfigurationError(f"plugin {name!r} does not exist; {known}; your own is written package.module:Class")
    if row.args is None:
        if args:
            raise ConfigurationError(f"{where}: it takes no args; leave them out")
        return row.make(None, handle)
    try:
        return row.make(settings.of(row.args, snake(args), where), handle)
    except (settings.SettingsError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def _imported(name: str, args: Mapping[str, Any], where: str) -> Plugin:
    module, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)(**args)
    except Exception as error:
        raise ConfigurationError(f"{where}: cannot make it: {type(error).__name__}: {error}") from error
    if not isinstance(made, Plugin):
        raise ConfigurationError(f"{where}: {attribute} is not derived from controlplane.scheduler.framework.Plugin")
    made.name = made.name or attribute
    return made
