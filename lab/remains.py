"""What is there of a lab, by names alone: asked after `down`, and before a lab that nothing describes is made."""

from __future__ import annotations

from pathlib import Path

from apimachinery.kit import netns
from lab import cgroups, names, network, processes, uplink
from lab.paths import Paths


def running(paths: Paths) -> set[int]:
    """Every process (pid) of the lab: what its supervisor started, what its nodes run, and the supervisor itself."""
    lab = paths.lab
    found = processes.supervisors(lab) | processes.fork_servers(lab) | cgroups.members(names.daemons(lab))
    for node in names.NODES:
        found |= cgroups.members(names.cgroup(lab, node))
    return found | processes.daemons_below(paths.state, paths.run)


async def of(paths: Paths) -> list[str]:
    """Everything, in words: processes, namespaces, links, routes, tables, cgroups, files. Empty directories are what
    an `up` leaves that was killed at once, and count as nothing.
    """
    lab = paths.lab
    found = [f"process {pid} ({' '.join(processes.arguments(pid)[:4])})" for pid in sorted(running(paths))]
    spaces = {names.namespace(lab, node) for node in names.NODES} & set(netns.names())
    found += [f"namespace {name}" for name in sorted(spaces)]
    found += [f"link {name}" for name in network.links_there(lab)]
    found += [f"route {route.destination}" for route in network.fences(lab)]
    found += [f"table {name}" for name in await uplink.tables_there(lab)]
    groups = (names.daemons(lab), *(names.cgroup(lab, node) for node in names.NODES))
    found += [f"cgroup {directory}" for name in groups for directory in cgroups.directories(name)]
    return found + [str(top) for top in (paths.state, paths.run) if _holds_files(top)]


def _holds_files(top: Path) -> bool:
    """A name with a dot in front is a file that was being written when its writer was killed."""
    if not top.is_dir():
        return top.exists()
    return any(not path.is_dir() and not path.name.startswith(".") for path in top.rglob("*"))
