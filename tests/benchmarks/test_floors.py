"""What the floors give the kernel by hand is what it takes, as often as it is given."""

from __future__ import annotations

from benchmarks.service_floors import exchanges
from benchmarks.services import route
from benchmarks.vips import BACKENDS, GROUND
from netproxy.ipvs import diff
from netproxy.ipvs.diff import State
from netproxy.ipvs.plan import Place, plan
from tests.netproxy.ipvs_kernel import Kernel


def test_a_virtual_server_is_exchanged_there_and_back_again_and_again() -> None:
    kernel, place = Kernel(GROUND), Place("rr")
    one, other = (dict(plan(route(-1, backend), GROUND, place)) for backend in BACKENDS)
    first, back, again = exchanges(one, other)
    seen = []
    for steps in (diff.whole(one.items(), State({}, {}, frozenset()), ()), first, back, again, back, again):
        for packed, asked in steps.serve:
            kernel.command(packed, asked)
        (server,) = kernel.services.values()
        seen.append([ip for (ip, _), real in server.reals.items() if real.weight])
        assert len(steps.serve) == 2
    assert seen == [[backend] for backend in (*BACKENDS, *BACKENDS, *BACKENDS)]
