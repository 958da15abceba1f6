"""An update on its way round the nodes: which old pods go, and where a new one comes beside an old. Pure.

As upstream's rollingUpdate. Without a surge an old pod goes first, and so many may be missing at once (maxUnavailable);
with one the new pod comes first, at so many nodes at once (maxSurge), and an old one goes once it is available.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from apimachinery.objects import Obj
from controlplane.controllers.shares import resolved


@dataclass(frozen=True)
class Here:
    """The pods on one node that are not on their way out, apart by template; `run`: whether it should have one."""

    run: bool
    new: tuple[Obj, ...] = ()
    old: tuple[Obj, ...] = ()


@dataclass(frozen=True)
class Step:
    """What to do now: pods to delete, names of nodes that get a new pod beside their old one."""

    delete: tuple[Obj, ...] = ()
    create: tuple[str, ...] = ()


def _rolling(daemon_set: Obj) -> Obj | None:
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    return None if strategy.get("type") == "OnDelete" else strategy.get("rollingUpdate") or {}


def surge(daemon_set: Obj, desired: int) -> int:
    """At how many nodes at once a second pod may come; of those that should have one, `desired`."""
    rolling = _rolling(daemon_set)
    return 0 if rolling is None else resolved(rolling.get("maxSurge") or 0, desired, up=True)


def step(daemon_set: Obj, nodes: Mapping[str, Here], is_available: Callable[[Obj], bool]) -> Step:
    """The next step; none for OnDelete, where people delete pods."""
    rolling = _rolling(daemon_set)
    if rolling is None:
        return Step()
    desired = sum(here.run for here in nodes.values())
    extra = surge(daemon_set, desired)
    if extra:
        return _surging(nodes, extra, desired, is_available)
    # Neither, as no API server lets through: one at a time.
    missing = max(resolved(rolling.get("maxUnavailable", 1), desired, up=True), 1)
    return _replacing(nodes, missing, is_available)


def _replacing(nodes: Mapping[str, Here], limit: int, is_available: Callable[[Obj], bool]) -> Step:
    """Old pods that do not work go at once, working ones as far as the limit lets."""
    broken: list[Obj] = []
    working: list[Obj] = []
    missing = 0
    for here in nodes.values():
        if not here.run and not here.old and not here.new:
            continue
        if len(here.new) + len(here.old) != 1:
            # None yet, or too many: not this step's to mend, and not to be counted on.
            missing += 1
        elif here.new:
            missing += not is_available(here.new[0])
        elif is_available(here.old[0]):
            working.append(here.old[0])
        else:
            broken.append(here.old[0])
            missing += 1
    return Step((*broken, *working[: max(limit - missing, 0)]))


def _surging(nodes: Mapping[str, Here], limit: int, desired: int, is_available: Callable[[Obj], bool]) -> Step:
    delete: list[Obj] = []
    astray: list[Obj] = []
    broken: list[str] = []
    working: list[str] = []
    coming = available = 0
    for node, here in nodes.items():
        if len(here.new) > 1 or len(here.old) > 1:
            coming += 1
            continue
        counted: Sequence[Obj] = here.old or here.new
        well = bool(counted) and is_available(counted[0])
        available += well
        if not here.old:
            continue
        if here.new:
            if is_available(here.new[0]):
                delete.append(here.old[0])
            else:
                coming += 1
        elif not here.run:
            (astray if well else delete).append(here.old[0])
        else:
            (working if well else broken).append(node)
    # What works where it no longer belongs stays until as many as there should be work elsewhere.
    delete += astray[: max(available - desired, 0)]
    return Step(tuple(delete), (*broken, *working[: max(limit - coming, 0)]))
