"""Statuses on their way to the API: patches of what changed, retries, the last delete."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from agent.status.diff import status_patch
from agent.status.mirror import Mirrors
from agent.status.writer import StatusWriter
from apimachinery import errors, objects
from tests import clock
from tests.agent.harness import pod
from tests.waiting import until


class Api:
    """Takes patches and deletes; `fail` is raised by the next call."""

    def __init__(self) -> None:
        self.patches: list[dict] = []
        self.deletes: list[tuple[str, dict]] = []
        self.fail: Exception | None = None
        self.revision = 10
        self.uid = "uid-p"
        self.status: dict = {}

    async def patch(self, kind, name, body, namespace, **options) -> dict:
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure
        self.patches.append(body)
        self.revision += 1
        self.status = {**self.status, **body["status"]}
        return {"metadata": {"name": name, "resourceVersion": str(self.revision)}, "status": self.status}

    async def get(self, kind, name, namespace) -> dict:
        return pod(uid=self.uid)

    async def delete(self, kind, name, namespace, **options) -> dict:
        self.deletes.append((name, options))
        return {}


def writing(test) -> None:
    async def main() -> None:
        api = Api()
        client: Any = api
        writer = StatusWriter(client)
        task = asyncio.ensure_future(writer.run())
        try:
            await test(writer, api)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    clock.run(main())


def ready(value: str) -> dict:
    condition = {"type": "Ready", "status": value, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"phase": "Running", "conditions": [condition]}


def test_only_what_changed_is_sent_under_the_pods_uid():
    async def test(writer, api) -> None:
        api.status = {"phase": "Running", "qosClass": "BestEffort"}
        subject = {**pod(), "status": api.status}
        writer.set(subject, {"phase": "Running", "qosClass": "BestEffort", "podIP": "10.0.0.1"})
        await until(lambda: api.patches)
        assert api.patches == [{"metadata": {"uid": "uid-p"}, "status": {"podIP": "10.0.0.1"}}]
        writer.set(subject, {"phase": "Running", "qosClass": "BestEffort", "podIP": "10.0.0.1"})
        await asyncio.sleep(0.05)
        assert len(api.patches) == 1

    writing(test)


def test_a_failed_write_is_tried_again_with_the_newest_status():
    async def test(writer, api) -> None:
        api.fail = errors.Unreachable("no answer")
        writer.set(pod(), ready("False"))
        await asyncio.sleep(0.02)
        writer.set(pod(), ready("True"))
        await until(lambda: api.patches)
        await asyncio.sleep(0.2)
        assert [p["status"]["conditions"][0]["status"] for p in api.patches] == ["True"]

    writing(test)


def test_the_object_goes_after_its_last_status():
    async def test(writer, api) -> None:
        writer.set(pod(), ready("False"))
        writer.release(pod())
        await until(lambda: api.deletes)
        assert len(api.patches) == 1
        assert api.deletes == [("p", {"grace_period": 0, "uid": "uid-p"})]
        # Its worker may look once more before the object's end is heard of.
        writer.set(pod(), ready("True"))
        writer.release(pod())
        await asyncio.sleep(0.05)
        assert (len(api.patches), len(api.deletes)) == (1, 1)

    writing(test)


def test_what_another_overwrote_is_said_again():
    async def test(writer, api) -> None:
        subject = pod()
        writer.set(subject, ready("True"))
        await until(lambda: api.patches)
        stale = objects.copy(subject)
        stale["metadata"]["resourceVersion"] = "10"
        stale["status"] = ready("False")
        writer.observe(stale)
        await asyncio.sleep(1.2)
        assert len(api.patches) == 1, "an older object than the one written proves nothing"
        newer = objects.copy(stale)
        newer["metadata"]["resourceVersion"] = "99"
        writer.observe(newer)
        await until(lambda: len(api.patches) == 2)
        assert api.patches[1]["status"]["conditions"][0]["status"] == "True"

    writing(test)


def test_a_pod_that_left_the_api_is_dropped():
    async def test(writer, api) -> None:
        api.fail = errors.NotFound('pods "p" not found')
        writer.set(pod(), ready("True"))
        await asyncio.sleep(0.05)
        writer.set(pod(), ready("False"))
        await asyncio.sleep(0.3)
        assert api.patches == []

    writing(test)


def test_a_conflict_ends_the_reports_only_when_the_pod_is_another():
    async def test(writer, api) -> None:
        api.fail = errors.Conflict("the object has been modified")
        writer.set(pod(), ready("True"))
        await until(lambda: api.patches)
        api.fail, api.uid = errors.Conflict("the object has been modified"), "uid-another"
        writer.set(pod(), ready("False"))
        await until(lambda: api.fail is None)
        await asyncio.sleep(0.3)
        assert len(api.patches) == 1

    writing(test)


def test_foreign_conditions_are_never_sent():
    foreign = {"type": "example.test/gate", "status": "True"}
    wanted = {"conditions": [*ready("True")["conditions"], foreign]}
    assert status_patch({"conditions": [foreign]}, wanted)["conditions"] == ready("True")["conditions"]
    assert status_patch(wanted, wanted) == {}


def test_nulls_the_server_dropped_are_no_difference():
    wanted = {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}], "resources": {}}
    assert status_patch({"conditions": [{"type": "Ready", "status": "True"}]}, wanted) == {}


def test_nothing_is_asked_for_a_pod_that_is_gone():
    async def test(writer, api) -> None:
        writer.set(pod(), ready("True"))
        writer.release(pod())
        writer.forget("uid-p")
        writer.set(pod("other", uid="uid-o"), ready("True"))
        await until(lambda: api.patches)
        await asyncio.sleep(0.05)
        assert [p["metadata"]["uid"] for p in api.patches] == ["uid-o"]
        assert not api.deletes

    writing(test)


def test_a_mirror_is_deleted_once():
    async def main() -> None:
        api: Any = Api()
        mirrors = Mirrors(api, lambda uid, mirror: None, lambda: None)
        task = asyncio.ensure_future(mirrors.run())
        mirror = pod("m", uid="uid-m")
        mirrors.seen(mirror)
        await until(lambda: api.deletes)
        for version in ("2", "3"):
            mirrors.seen({**mirror, "metadata": {**mirror["metadata"], "resourceVersion": version}})
            await asyncio.sleep(0.05)
        assert len(api.deletes) == 1
        mirrors.left(mirror)
        mirrors.seen(pod("m", uid="uid-n"))
        await until(lambda: len(api.deletes) == 2)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    clock.run(main())
