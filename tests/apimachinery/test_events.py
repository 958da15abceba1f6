"""The recorder: what is written, what is counted instead, and how much of the time it takes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from apimachinery import errors, formats
from apimachinery.client import Client
from apimachinery.events import BURST, COMBINED, REST, SIMILAR, EventRecorder
from apimachinery.kinds import Kind
from apimachinery.objects import Obj, reference

POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "resourceVersion": "7"},
}


class Server(Client):
    """Keeps what it is sent; each create takes `delay` seconds."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.created: list[Obj] = []
        self.patched: list[tuple[str, Any]] = []
        self.moments: list[float] = []
        self.expired = False

    async def create(self, kind: Kind, obj: Obj, namespace: str | None = None, **_: Any) -> Obj:
        self.moments.append(time.monotonic())
        await asyncio.sleep(self.delay)
        self.created.append(obj)
        return obj

    async def patch(self, kind: Kind, name: str, patch: Any, namespace: str | None = None, **_: Any) -> Obj:
        if self.expired:
            raise errors.not_found(resource="events", name=name)
        self.patched.append((name, patch))
        return {}


async def written(server: Server, recorder: EventRecorder, count: int) -> None:
    """Run the recorder until so many writes were made (or nothing more comes)."""
    running = asyncio.ensure_future(recorder.run())
    try:
        for _ in range(500):
            if len(server.created) + len(server.patched) >= count:
                break
            await asyncio.sleep(0.005)
    finally:
        running.cancel()


def test_an_event_says_who_what_and_when() -> None:
    async def main() -> None:
        server = Server()
        recorder = EventRecorder(server, "kubelet", "node1")
        recorder.event(POD, "Normal", "Started", "Started container main")
        await written(server, recorder, 1)
        event = server.created[0]
        assert event["involvedObject"] == {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "web",
            "namespace": "shop",
            "uid": "u-1",
            "resourceVersion": "7",
        }
        assert event["metadata"]["name"].startswith("web.") and event["metadata"]["namespace"] == "shop"
        assert event["source"] == {"component": "kubelet", "host": "node1"}
        assert (event["reason"], event["type"], event["count"]) == ("Started", "Normal", 1)
        assert event["firstTimestamp"] == event["lastTimestamp"]

    asyncio.run(main())


def test_the_same_again_is_counted_even_when_the_object_has_changed() -> None:
    async def main() -> None:
        server = Server()
        recorder = EventRecorder(server, "kubelet")
        recorder.event(POD, "Warning", "BackOff", "again")
        later = {**POD, "metadata": {**POD["metadata"], "resourceVersion": "8"}}
        recorder.event(later, "Warning", "BackOff", "again")
        recorder.event(later, "Warning", "BackOff", "something else")
        await written(server, recorder, 3)
        assert [event["message"] for event in server.created] == ["again", "something else"]
        [(name, patch)] = server.patched
        assert name == server.created[0]["metadata"]["name"] and patch["count"] == 2

    asyncio.run(main())


def test_the_same_of_two_containers_are_two_events() -> None:
    async def main() -> None:
        server = Server()
        recorder = EventRecorder(server, "kubelet")
        subjects = [{**reference(POD), "fieldPath": f"spec.containers{{{name}}}"} for name in "aba"]
        for subject in subjects:
            recorder.event(subject, "Normal", "Started", "Container started")
        await written(server, recorder, 3)
        assert [event["involvedObject"] for event in server.created] == subjects[:2]
        [(name, patch)] = server.patched
        assert name == server.created[0]["metadata"]["name"] and patch["count"] == 2

    asyncio.run(main())


def test_an_expired_event_is_written_anew() -> None:
    async def main() -> None:
        server = Server()
        recorder = EventRecorder(server, "kubelet")
        recorder.event(POD, "Normal", "Pulled", "x")
        await written(server, recorder, 1)
        server.expired = True
        recorder.event(POD, "Normal", "Pulled", "x")
        await written(server, recorder, 2)
        assert [event["count"] for event in server.created] == [1, 1]

    asyncio.run(main())


def test_one_object_cannot_flood() -> None:
    async def main() -> None:
        server = Server()
        recorder = EventRecorder(server, "kubelet")
        for number in range(int(BURST) + 5):
            recorder.event(POD, "Normal", f"Reason{number}", "tick")
        recorder.event({**POD, "metadata": {"name": "b", "namespace": "shop", "uid": "u-2"}}, "Normal", "Tick", "other")
        await written(server, recorder, int(BURST) + 1)
        assert len(server.created) == BURST + 1
        assert server.created[-1]["message"] == "other"

    asyncio.run(main())


def test_messages_that_differ_each_time_are_one_event_from_the_tenth_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        server = Server()
        recorder = EventRecorder(server, "kubelet")
        for number in range(SIMILAR + 2):
            recorder.event(POD, "Warning", "Failed", f"container {number} failed")
        recorder.event(POD, "Warning", "Other", "alone")
        await written(server, recorder, SIMILAR + 3)
        said = [event["message"] for event in server.created]
        combined = f"{COMBINED}container {SIMILAR - 1} failed"
        assert said == [*(f"container {number} failed" for number in range(SIMILAR - 1)), combined, "alone"]
        name = server.created[SIMILAR - 1]["metadata"]["name"]
        told = [(where, patch["count"], patch["message"]) for where, patch in server.patched]
        assert told == [(name, n, f"{COMBINED}container {SIMILAR + n - 2} failed") for n in (2, 3)]
        # After a while without any of them the next is told by itself again.
        monkeypatch.setattr("apimachinery.events.SIMILAR_SECONDS", -1.0)
        recorder.event(POD, "Warning", "Failed", "container 99 failed")
        await written(server, recorder, SIMILAR + 4)
        assert server.created[-1]["message"] == "container 99 failed"

    asyncio.run(main())


@pytest.mark.parametrize("delay", [0.01, 0.03])
def test_writing_takes_a_share_of_the_time(delay: float) -> None:
    async def main() -> None:
        server = Server(delay)
        recorder = EventRecorder(server, "kubelet")
        for number in range(4):
            recorder.event(POD, "Normal", "Tick", f"number {number}")
        await written(server, recorder, 4)
        gaps = [later - earlier for earlier, later in zip(server.moments, server.moments[1:], strict=False)]
        assert min(gaps) >= delay * (1 + REST) * 0.99

    asyncio.run(main())


@pytest.mark.parametrize("name", ["a" * 240, "UPPER", "with:colon"])
def test_an_object_whose_name_makes_no_events_name_still_has_events(name: str) -> None:
    async def main() -> None:
        server = Server()
        recorder = EventRecorder(server, "kubelet")
        meta = {"name": name, "namespace": "shop", "uid": "u-9"}
        recorder.event({**POD, "metadata": meta}, "Normal", "Tick", "once")
        recorder.event({**POD, "metadata": meta}, "Normal", "Tick", "twice")
        await written(server, recorder, 2)
        made = [event["metadata"]["name"] for event in server.created]
        assert len(set(made)) == 2
        assert not any(formats.dns1123_subdomain(text) for text in made)
        assert server.created[0]["involvedObject"]["name"] == name

    asyncio.run(main())
