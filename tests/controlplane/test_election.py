"""Who may take a lease, what is written then, and that two never work at once."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP
from apimachinery.objects import Obj
from controlplane.election import Election, ElectionSettings, LeadershipLost, Move, judge, renewed
from tests import clock
from tests.controlplane.apiserver.server import run as serve
from tests.controlplane.controllers.build import T0
from tests.waiting import until


def lease(holder: str) -> Obj:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "x", "leaseTransitions": 3}
    return {"metadata": {"name": "l"}, "spec": spec}


@pytest.mark.parametrize(
    ("held", "age", "move"),
    [
        (None, 0, Move.CREATE),
        (lease("me"), 100, Move.RENEW),
        (lease("you"), 14, Move.WAIT),
        (lease("you"), 15, Move.TAKE),
        (lease(""), 0, Move.TAKE),
    ],
)
def test_moves(held: Obj | None, age: float, move: Move) -> None:
    assert judge(held, "me", age) is move


def test_a_change_of_holder_is_a_transition_and_a_renewal_is_none() -> None:
    taken = renewed(lease("you"), "me", 15, T0)["spec"]
    assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("me", 4)
    assert taken["acquireTime"] == taken["renewTime"] == "2026-01-01T00:00:00.000000Z"
    again = renewed({"metadata": {}, "spec": taken}, "me", 15, T0 + timedelta(seconds=2))["spec"]
    assert (again["leaseTransitions"], again["acquireTime"]) == (4, taken["acquireTime"])
    assert again["renewTime"] == "2026-01-01T00:00:02.000000Z"
    first = renewed({"metadata": {}}, "me", 15, T0)["spec"]
    assert first["leaseTransitions"] == 0


class Server:
    """One lease, written under its resourceVersion."""

    def __init__(self) -> None:
        self.lease: Obj | None = None
        self.version = 0

    def store(self, lease: Obj) -> Obj:
        self.version += 1
        self.lease = {**lease, "metadata": {**lease["metadata"], "resourceVersion": str(self.version)}}
        return self.lease


class Line:
    """A candidate's way to the server, which may fail: refused at once, never answered (before or after the request was
    carried out), or answered late.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.state = "good"
        self.asked = 0
        # So many requests find that another write came before them.
        self.between = 0

    async def get(self, kind: Any, name: str, namespace: str) -> Obj:
        await self._there()
        if self._server.lease is None:
            raise errors.not_found("leases", name)
        return await self._back(self._server.lease)

    async def create(self, kind: Any, lease: Obj) -> Obj:
        await self._there()
        if self._server.lease is not None:
            raise errors.AlreadyExists("it exists")
        return await self._back(self._server.store(lease))

    async def update(self, kind: Any, lease: Obj) -> Obj:
        await self._there()
        if lease["metadata"]["resourceVersion"] != str(self._server.version):
            raise errors.Conflict("the object has been modified")
        return await self._back(self._server.store(lease))

    async def reachable(self) -> None:
        while self.state == "refused":
            await asyncio.sleep(0.5)

    async def _there(self) -> None:
        self.asked += 1
        await asyncio.sleep(0.001)
        if self.between and self._server.lease is not None:
            self.between -= 1
            self._server.store(self._server.lease)
        if self.state == "refused":
            raise errors.Unreachable("refused")
        if self.state == "lost":
            await asyncio.Event().wait()

    async def _back(self, answer: Obj) -> Obj:
        if self.state == "unanswered":
            await asyncio.Event().wait()
        await asyncio.sleep(3 if self.state == "late" else 0.001)
        return answer


async def for_ever() -> None:
    await asyncio.Event().wait()


class Candidate:
    """A process that stands for election, and begins anew when it lost."""

    def __init__(self, server: Server, name: str) -> None:
        self.line = Line(server)
        self.name = name
        self.election = self._stand()
        self.lost = 0

    def _stand(self) -> Election:
        loop = asyncio.get_running_loop()
        return Election(cast(Client, self.line), "l", ElectionSettings(identity=self.name), loop.time)

    async def live(self) -> None:
        while True:
            with contextlib.suppress(LeadershipLost):
                await self.election.lead(for_ever)
            self.lost += 1
            self.election = self._stand()


STATES = ("good", "refused", "lost", "unanswered", "late")
HISTORY = st.lists(st.tuples(st.sampled_from(STATES), st.sampled_from(STATES), st.integers(1, 30)), max_size=8)


@settings(max_examples=25, deadline=None)
@given(HISTORY)
def test_two_never_lead_at_once_and_one_does_in_the_end(history: list[tuple[str, str, int]]) -> None:
    async def scenario() -> None:
        server = Server()
        both = [Candidate(server, name) for name in ("a", "b")]
        living = [asyncio.ensure_future(each.live()) for each in both]
        for first, second, seconds in [*history, ("good", "good", 60)]:
            both[0].line.state, both[1].line.state = first, second
            for _ in range(seconds * 2):
                await asyncio.sleep(0.5)
                assert sum(each.election.leads() for each in both) < 2
        assert sum(each.election.leads() for each in both) == 1
        for task in living:
            task.cancel()

    clock.run(scenario())


@pytest.mark.parametrize("state", STATES[1:])
def test_a_leader_that_cannot_renew_stops_in_time_and_another_takes_over(state: str) -> None:
    async def scenario() -> None:
        server, loop = Server(), asyncio.get_running_loop()
        first, second = Candidate(server, "a"), Candidate(server, "b")
        living = [asyncio.ensure_future(first.live())]
        await until(first.election.leads)
        living.append(asyncio.ensure_future(second.live()))
        await asyncio.sleep(30)
        assert first.election.leads() and not second.election.leads()
        cut, first.line.state = loop.time(), state
        stood = first.election
        await until(lambda: not stood.leads() or loop.time() > cut + 60, 120, pause=0.1)
        if state == "late":
            # An answer after 3 s is still one.
            assert stood.leads()
        else:
            assert loop.time() - cut <= 10.1
            # What it was working at ends then, too.
            await until(lambda: first.lost, pause=0.05)
            assert loop.time() - cut <= 10.2
            await until(second.election.leads, pause=0.1)
            # 15 s from when it saw the last renewal, and up to one pause of its own.
            assert 10 < loop.time() - cut < 2 + 15 + 2 * 4.4
        for task in living:
            task.cancel()

    clock.run(scenario())


def test_a_leaders_time_is_counted_from_before_it_asked() -> None:
    async def scenario() -> None:
        server, loop = Server(), asyncio.get_running_loop()
        one = Candidate(server, "a")
        one.line.state = "late"
        living = asyncio.ensure_future(one.election.lead(for_ever))
        begun = loop.time()
        await until(one.election.leads)
        # Asked for and created, each answered after 3 s: others may have seen the lease from the first moment.
        assert loop.time() - begun >= 3
        assert one.election.left() <= 10 - (loop.time() - begun) + 0.01
        living.cancel()

    clock.run(scenario())


def test_a_leader_renews_by_one_request_and_leaves_the_lease_to_whoever_took_it() -> None:
    async def scenario() -> None:
        server = Server()
        one = Candidate(server, "a")
        living = asyncio.ensure_future(one.election.lead(for_ever))
        await until(one.election.leads)
        before = one.line.asked
        await asyncio.sleep(20)
        assert one.line.asked - before in (9, 10)
        assert server.lease is not None
        server.store(renewed(server.lease, "b", 15, T0))
        with pytest.raises(LeadershipLost):
            await living
        assert server.lease["spec"]["holderIdentity"] == "b" and not one.election.leads()

    clock.run(scenario())


def test_who_was_stopped_meanwhile_may_not_write_before_it_knows() -> None:
    async def scenario() -> None:
        moment = 100.0
        election = Election(cast(Client, Line(Server())), "l", ElectionSettings(identity="a"), lambda: moment)
        living = asyncio.ensure_future(election.lead(for_ever))
        await until(election.leads)
        assert election.left() == pytest.approx(10)
        # No turn of the loop in between: as after SIGSTOP, or a machine that slept.
        moment += 10
        assert not election.leads()
        with pytest.raises(LeadershipLost):
            await living

    clock.run(scenario())


def test_what_was_working_has_ended_before_the_lease_is_given_back() -> None:
    async def scenario() -> None:
        server, loop = Server(), asyncio.get_running_loop()
        first, second = Candidate(server, "a"), Candidate(server, "b")
        ended = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                assert server.lease is not None and server.lease["spec"]["holderIdentity"] == "a"
                await asyncio.sleep(0.2)
                ended.append(loop.time())

        leading = asyncio.ensure_future(first.election.lead(work))
        await until(first.election.leads)
        living = asyncio.ensure_future(second.live())
        await asyncio.sleep(5)
        leading.cancel()
        await asyncio.wait((leading,))
        assert ended
        await first.election.release()
        assert server.lease is not None and server.lease["spec"]["holderIdentity"] == ""
        assert not first.election.leads()
        released = loop.time()
        await until(second.election.leads)
        assert loop.time() - released < 2 * 2.2 + 0.1
        living.cancel()

    clock.run(scenario())


def test_a_lease_is_given_back_also_when_a_renewal_was_cut_short() -> None:
    async def scenario() -> None:
        server = Server()
        one = Candidate(server, "a")
        leading = asyncio.ensure_future(one.election.lead(for_ever))
        await until(one.election.leads)
        before = server.version
        one.line.state = "unanswered"
        # The renewal is written, its answer never comes.
        await until(lambda: server.version > before)
        leading.cancel()
        await asyncio.wait((leading,))
        # A second one was on its way, and comes between reading and writing.
        one.line.state, one.line.between = "good", 2
        await one.election.release()
        assert server.lease is not None and server.lease["spec"]["holderIdentity"] == ""

    clock.run(scenario())


@pytest.mark.parametrize(
    "times",
    [
        {"lease_duration": 10.0},
        {"renew_deadline": 2.4},
        {"retry_period": 0.0},
        {"lease_duration": 15.0, "renew_deadline": 15.0},
    ],
)
def test_times_by_which_two_could_lead_are_refused(times: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="election: it has to be lease_duration > renew_deadline"):
        ElectionSettings(**times)


def test_a_guarded_client_reads_and_writes_nothing_once_its_time_is_over(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        left = 5.0
        guarded = client.guarded(lambda: left)
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default"}}
        await guarded.create(CONFIG_MAP, made)
        left = 0.0
        for work in (
            guarded.delete(CONFIG_MAP, "m", "default"),
            guarded.update(CONFIG_MAP, {**made, "data": {"a": "b"}}),
            guarded.patch(CONFIG_MAP, "m", {"data": {"a": "b"}}, "default"),
            guarded.create(CONFIG_MAP, {**made, "metadata": {"name": "n", "namespace": "default"}}),
        ):
            with pytest.raises(errors.Unreachable, match="may not write now"):
                await work
        assert "data" not in await guarded.get(CONFIG_MAP, "m", "default")
        left = 1e-6
        with pytest.raises(errors.Unreachable, match="no answer in time"):
            await guarded.patch(CONFIG_MAP, "m", {"data": {"a": "b"}}, "default")
        await client.delete(CONFIG_MAP, "m", "default")

    serve(tmp_path, scenario)
