"""Pods that wrote more to the disk than they may: which limit is told, what counts, and how they end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.pods import storage
from agent.pods.lifecycle import Stage
from agent.pods.storage import StorageLimits, Written, excess, is_limited, used
from agent.settings import AgentSettings
from apimachinery.kit import files
from tests import clock
from tests.agent.fake_cri import FakeRuntime
from tests.agent.harness import container, pod, running
from tests.deep import deep
from tests.waiting import until

K = 1024


def limited(name: str, size: str) -> dict[str, Any]:
    return container(name, resources={"limits": {"ephemeral-storage": size}})


def volume(name: str, **source: str) -> dict[str, Any]:
    return {"name": name, "emptyDir": source}


ONE = pod(containers=[limited("c", "10Ki")])
BOTH = pod(containers=[limited("c", "10Ki"), limited("d", "1Mi")])
SOME = pod(containers=[limited("c", "10Ki"), container("d")])
SIZED = pod(volumes=[volume("v", sizeLimit="4Ki"), volume("w")])
MEMORY = pod(volumes=[volume("m", sizeLimit="4Ki", medium="Memory"), volume("n", sizeLimit="0")])


@pytest.mark.parametrize(
    ("subject", "volumes", "containers", "told"),
    [
        (ONE, {}, {"c": 10 * K}, ""),
        (ONE, {}, {"c": 10 * K + 1}, "Pod ephemeral local storage usage exceeds the total limit of containers 10Ki. "),
        (
            ONE,
            {"v": 9 * K},
            {"c": 2 * K},
            "Pod ephemeral local storage usage exceeds the total limit of containers 10Ki. ",
        ),
        (BOTH, {}, {"c": 11 * K}, 'Container c exceeded its local ephemeral storage limit "10Ki". '),
        (BOTH, {}, {"d": 900 * K}, ""),
        (SOME, {}, {"d": 11 * K}, "Pod ephemeral local storage usage exceeds the total limit of containers 10Ki. "),
        (SIZED, {"v": 5 * K, "w": 50 * K}, {"c": 50 * K}, 'Usage of EmptyDir volume "v" exceeds the limit "4Ki". '),
        (SIZED, {"v": 4 * K, "w": 50 * K}, {"c": 50 * K}, ""),
        (MEMORY, {"m": 9 * K, "n": 9 * K}, {}, ""),
    ],
)
def test_which_limit_is_passed(
    subject: dict[str, Any], volumes: dict[str, int], containers: dict[str, int], told: str
) -> None:
    assert excess(subject, Written(volumes, containers)) == told


def test_who_is_looked_at() -> None:
    assert [is_limited(each) for each in (ONE, SIZED, MEMORY, pod(), pod(volumes=[volume("v")]))] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_a_tree_is_counted_in_blocks_and_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 8192)
    (tmp_path / "sub").mkdir()
    alone = used(tmp_path)
    assert alone >= 8192
    os.link(tmp_path / "a", tmp_path / "sub/b")
    (tmp_path / "sub/link").symlink_to("/")
    assert used(tmp_path) - alone < 8192
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 30)
    assert used(tmp_path) < 1 << 20
    assert used(tmp_path / "none") == 0


def test_how_deep_a_tree_is_ends_nothing(tmp_path: Path) -> None:
    top = tmp_path / "top"
    deep(top, 1100)
    before = used(top)
    # Directories alone take nothing on some file systems.
    top.joinpath(*["d"] * 1000, "file").write_bytes(b"x" * 8192)
    assert used(top) >= before + 8192
    files.remove_tree(top)
    assert not top.exists()


def test_who_takes_long_to_look_at_is_looked_at_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, now = list[str](), [0.0]

    def measure(_settings: Any, subject: dict[str, Any], _own: Any) -> Written:
        seen.append(subject["metadata"]["name"])
        now[0] += 3.0 if seen[-1] == "slow" else 0.1
        return Written({}, {})

    monkeypatch.setattr(storage, "_measure", measure)
    monkeypatch.setattr(storage, "time", SimpleNamespace(monotonic=lambda: now[0]))
    pods = [pod(name, containers=[limited("c", "1Mi")]) for name in ("slow", "quick")]
    workers = [SimpleNamespace(uid=str(i), pod=p, life=SimpleNamespace(stage=Stage.SYNC)) for i, p in enumerate(pods)]

    class View:
        async def usage(self) -> list[Any]:
            return []

    async def main() -> None:
        limits: Any = StorageLimits(AgentSettings(node_name="n"), View(), SimpleNamespace(all=lambda: workers))  # type: ignore[arg-type]
        await limits.look()
        now[0] += 10.0
        await limits.look()
        assert seen == ["slow", "quick", "quick"]
        now[0] += 50.0
        await limits.look()
        assert seen[3:] == ["slow", "quick"]
        workers.clear()
        await limits.look()
        assert not limits._due

    asyncio.run(main())


def test_a_pod_that_wrote_too_much_fails_at_once_and_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        runtime = FakeRuntime()
        async with running(tmp_path, runtime) as agent:
            mounts = [{"name": "v", "mountPath": "/v"}]
            greedy = pod(containers=[container("c", volumeMounts=mounts)], volumes=[volume("v", sizeLimit="16Ki")])
            greedy["spec"]["terminationGracePeriodSeconds"] = 600
            modest = pod("modest", containers=[limited("c", "1Mi")])
            agent.pods.set_pod("api", greedy)
            agent.pods.set_pod("api", modest)
            await until(lambda: len(runtime.running()) == 2)
            place = tmp_path / "root/pods/uid-p/volumes/kubernetes.io~empty-dir/v"
            (place / "file").write_bytes(b"x" * 20 * K)
            worker, other = agent.pods.worker("uid-p"), agent.pods.worker("uid-modest")
            assert worker is not None and other is not None
            await until(lambda: worker.status.get("phase") == "Failed")
            status = worker.status
            why = 'Usage of EmptyDir volume "v" exceeds the limit "16Ki". '
            assert (status["reason"], status["message"]) == ("Evicted", why)
            assert runtime.graces == [1] and runtime.running() == ["c"]
            assert other.status["phase"] == "Running"

    clock.run(main())
