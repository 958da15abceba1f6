"""Which traces are nobody's. Pure."""

from __future__ import annotations

from agent.cri.containerd import Lease
from agent.leftovers.model import Removal, Traces


def plan_removal(
    traces: Traces,
    known: frozenset[str],
    leases: tuple[Lease, ...],
    runtime_began: float,
    used: frozenset[str] = frozenset(),
) -> Removal:
    """`known`: ids in the runtime's metadata, read after `traces`: a container is entered there before its shim is
    started and taken out after it has ended. `runtime_began` (epoch seconds; 0: not known): the operation that a
    lease, a passing mount, a directory of no known id or a namespace that nothing names (`used`: paths) was for ended
    with the process that made it.
    """
    ids = traces.ids - known
    return Removal(
        ids=tuple(sorted(ids)),
        shims=tuple(shim for shim in traces.shims if shim.container_id in ids),
        sockets=traces.dead_sockets,
        leases=tuple(lease for lease in leases if 0 < lease.created < runtime_began),
        scratch=tuple(path for path, made in traces.scratch if made < runtime_began),
        records=tuple(path for path, made in traces.records if made < runtime_began and path.name not in known),
        networks=tuple(path for path, made in traces.networks if made < runtime_began and str(path) not in used),
    )
