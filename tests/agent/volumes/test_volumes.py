"""Volumes: payloads and plans (pure), the atomic switch, subPath and ownership on real directories."""

import asyncio
import base64
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.failures import ConfigError, VolumeError
from agent.objects.cache import Objects
from agent.reporter import Reporter
from agent.settings import AgentSettings
from agent.volumes import atomic, hostpath, ownership, subpath
from agent.volumes.extract import memory_limit, mounts_of, place_of, volumes_of
from agent.volumes.host import Volumes
from agent.volumes.payload import (
    FileEntry,
    PayloadError,
    checked_path,
    config_map_payload,
    downward_payload,
    merge,
    secret_payload,
    single_user,
    token_payload,
)
from agent.volumes.plan import MountPlan, plan_mounts, plan_volumes
from agent.volumes.plugin import Plugin, Volume, VolumePlan
from agent.volumes.plugins import PLUGINS, by_kind
from agent.volumes.refresh import Refresher
from apimachinery.kit import mounts
from tests import clock
from tests.waiting import SECONDS

DIR = Path("/r/pods/u")
CONFIG = {"data": {"a": "1", "b": "2"}, "binaryData": {"c": base64.b64encode(b"\xff").decode()}}


def pod(*volumes: dict[str, Any], **spec: Any) -> dict[str, Any]:
    meta = {"name": "p", "namespace": "ns", "uid": "u", "labels": {"x": "y"}}
    return {"metadata": meta, "spec": {"volumes": list(volumes), "containers": [], **spec}}


def planned(body: dict[str, Any]) -> tuple[VolumePlan, ...]:
    return plan_volumes(volumes_of(body), place_of(body, DIR), by_kind(PLUGINS))


def mounted(container: dict[str, Any], volumes: Any, env: Any, **more: Any) -> tuple[MountPlan, ...]:
    return plan_mounts(container["name"], mounts_of(container), volumes, env, **more)


def test_config_map_files_and_modes() -> None:
    files = config_map_payload({"defaultMode": 0o400}, CONFIG)
    assert files == {"a": FileEntry(b"1", 0o400), "b": FileEntry(b"2", 0o400), "c": FileEntry(b"\xff", 0o400)}
    items = [{"key": "a", "path": "x/y", "mode": 0o755}, {"key": "b", "path": "z"}]
    assert config_map_payload({"items": items}, CONFIG, 0o600) == {
        "x/y": FileEntry(b"1", 0o755),
        "z": FileEntry(b"2", 0o600),
    }


def test_missing_objects_and_keys() -> None:
    with pytest.raises(PayloadError, match=r'^configmap "cm" not found$'):
        config_map_payload({"name": "cm"}, None)
    with pytest.raises(PayloadError, match=r'^secret "s" not found$'):
        secret_payload({"secretName": "s"}, None)
    with pytest.raises(PayloadError, match="^configmap references non-existent config key: z$"):
        config_map_payload({"items": [{"key": "z", "path": "z"}]}, CONFIG)
    with pytest.raises(PayloadError, match="^references non-existent secret key: z$"):
        secret_payload({"items": [{"key": "z", "path": "z"}]}, {"data": {}})
    assert config_map_payload({"name": "cm", "optional": True}, None) == {}
    optional = {"optional": True, "items": [{"key": "z", "path": "z"}, {"key": "a", "path": "a"}]}
    assert list(config_map_payload(optional, CONFIG)) == ["a"]


def test_downward_files() -> None:
    source = {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o440}]}
    assert downward_payload(source, pod(), {}) == {"l": FileEntry(b'x="y"', 0o440)}


def test_tokens_are_private_where_the_reader_is_known() -> None:
    assert token_payload({"path": "token"}, "t", 0o644, None, None) == {"token": FileEntry(b"t", 0o644)}
    assert token_payload({"path": "token"}, "t", 0o644, None, 7) == {"token": FileEntry(b"t", 0o600, 7)}
    assert token_payload({"path": "token"}, "t", 0o644, 5, None)["token"].mode == 0o600
    run = {"securityContext": {"runAsUser": 7}}
    assert single_user(pod(containers=[run, run])) == 7
    assert single_user(pod(containers=[run, {}])) is None
    assert single_user(pod(containers=[{}], securityContext={"runAsUser": 3})) == 3


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", "..data", "..x"])
def test_a_path_out_of_the_volume_is_refused(path: str) -> None:
    with pytest.raises(PayloadError):
        checked_path(path)


def test_later_projected_sources_win() -> None:
    assert merge([{"a": FileEntry(b"1")}, {"a": FileEntry(b"2"), "b": FileEntry(b"3")}])["a"].data == b"2"


def test_volume_plans() -> None:
    plans = planned(
        pod(
            {"name": "e", "emptyDir": {}},
            {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "10Mi"}},
            {"name": "c", "configMap": {"name": "x"}},
            {"name": "s", "secret": {"secretName": "x"}},
            {"name": "h", "hostPath": {"path": "/srv"}},
            {"name": "i", "image": {"reference": "img"}},
            {"name": "n"},
        )
    )
    at = {plan.name: plan for plan in plans}
    assert at["e"].path == DIR / "volumes/kubernetes.io~empty-dir/e"
    assert (at["m"].memory, at["m"].size) == (True, 10 << 20)
    assert at["c"].path == DIR / "volumes/kubernetes.io~configmap/c"
    assert (at["c"].memory, at["s"].memory) == (False, True)
    assert at["h"].path == Path("/srv")
    assert at["i"].image == "img"
    assert at["n"].kind == "emptyDir"
    with pytest.raises(VolumeError, match="no volume plugin matched"):
        planned(pod({"name": "z", "glusterfs": {}}))
    with pytest.raises(VolumeError, match="unknown storage medium"):
        planned(pod({"name": "z", "emptyDir": {"medium": "Tape"}}))


def test_a_memory_volume_is_bounded_by_the_pods_memory() -> None:
    limited = {"resources": {"limits": {"memory": "64Mi"}}}
    assert memory_limit(pod(containers=[limited, limited])) == 128 << 20
    assert memory_limit(pod(containers=[limited, {}])) == 0
    (plan,) = planned(pod({"name": "m", "emptyDir": {"medium": "Memory"}}, containers=[limited]))
    assert plan.size == 64 << 20


def test_mount_plans() -> None:
    volumes = {plan.name: plan for plan in planned(pod({"name": "d"}, {"name": "c", "configMap": {}}))}
    container = {
        "name": "c",
        "volumeMounts": [
            {"name": "d", "mountPath": "a", "subPathExpr": "$(P)/z"},
            {"name": "c", "mountPath": "/c"},
            {"name": "d", "mountPath": "/d", "readOnly": True, "mountPropagation": "HostToContainer"},
        ],
    }
    first, second, third = mounted(container, volumes, {"P": "q"})
    assert (first.container_path, first.sub_path, first.read_only) == ("/a", "q/z", False)
    assert (second.read_only, second.index) == (True, 1)
    assert (third.read_only, third.propagation) == (True, "HostToContainer")
    for bad in (
        {"name": "no", "mountPath": "/x"},
        {"name": "d", "mountPath": "/x", "subPath": "../x"},
        {"name": "d", "mountPath": "/x", "subPathExpr": "$(UNSET)"},
        {"name": "d", "mountPath": "/x", "subPathExpr": "$(ABS)"},
    ):
        with pytest.raises(ConfigError):
            mounted({"name": "c", "volumeMounts": [bad]}, volumes, {"ABS": "/etc"})


NAMES = st.text(alphabet="abc", min_size=1, max_size=3)
PATHS = st.lists(NAMES, min_size=1, max_size=2).map("/".join)


def consistent(payload: dict[str, bytes]) -> bool:
    """No path is both a file and a directory."""
    return not any(other.startswith(path + "/") for path in payload for other in payload)


PAYLOADS = st.dictionaries(PATHS, st.binary(max_size=8), max_size=5).filter(consistent)


@settings(max_examples=40)
@given(st.lists(PAYLOADS, min_size=1, max_size=4))
def test_a_volume_shows_exactly_the_last_payload(tmp_path_factory: Any, history: list[dict[str, bytes]]) -> None:
    volume = tmp_path_factory.mktemp("v")
    for payload in history:
        atomic.write(volume, {path: FileEntry(data) for path, data in payload.items()})
        for path, data in payload.items():
            assert (volume / path).read_bytes() == data
        visible = {entry.name for entry in volume.iterdir() if not entry.name.startswith("..")}
        assert visible == {path.split("/")[0] for path in payload}
        hidden = [entry for entry in volume.iterdir() if entry.name.startswith("..")]
        assert len(hidden) == 2


def test_the_switch_is_one_link_and_an_unchanged_payload_changes_nothing(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert atomic.write(tmp_path, {"k": FileEntry(b"1", 0o640), "d/e": FileEntry(b"2")})
        first = (tmp_path / "..data").readlink()
        assert not atomic.write(tmp_path, {"k": FileEntry(b"1", 0o640), "d/e": FileEntry(b"2")})
        assert (tmp_path / "..data").readlink() == first
        assert atomic.write(tmp_path, {"k": FileEntry(b"3")})
    finally:
        os.umask(before)
    assert (tmp_path / "..data").readlink() != first
    assert (tmp_path / "k").readlink() == Path("..data/k")
    assert not (tmp_path / first).exists()
    assert stat.S_IMODE((tmp_path / "..data/").stat().st_mode) == 0o755


def test_an_interrupted_write_is_finished(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": FileEntry(b"1")})
    (tmp_path / "..2020_01_01_00_00_00.1").mkdir()
    (tmp_path / "..data_tmp").symlink_to("nowhere")
    (tmp_path / "a").unlink()
    atomic.write(tmp_path, {"a": FileEntry(b"2")})
    assert (tmp_path / "a").read_bytes() == b"2"
    assert len(list(tmp_path.iterdir())) == 3


def test_group_bits() -> None:
    assert ownership.group_mode(0o644, False, read_only=True) == 0o644
    assert ownership.group_mode(0o600, False, read_only=True) == 0o640
    assert ownership.group_mode(0o600, False, read_only=False) == 0o660
    assert ownership.group_mode(0o777, True, read_only=False) == 0o2777


def test_host_paths(tmp_path: Path) -> None:
    hostpath.prepare(tmp_path / "none", "")
    hostpath.prepare(tmp_path / "a/b", "DirectoryOrCreate")
    assert (tmp_path / "a/b").is_dir()
    hostpath.prepare(tmp_path / "f", "FileOrCreate")
    for path, kind, text in (
        ("f", "Directory", "is not a directory"),
        ("none", "File", "is not a file"),
        ("f", "Socket", "is not a socket file"),
    ):
        with pytest.raises(hostpath.HostPathError, match=text):
            hostpath.prepare(tmp_path / path, kind)


def test_a_subpath_may_not_leave_its_volume(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    volume.mkdir()
    (volume / "out").symlink_to("/etc")
    (volume / "up").symlink_to("..")
    for path in ("out/passwd", "up/x", "out/new"):
        with pytest.raises(subpath.SubPathError):
            subpath.bind(volume, path, tmp_path / "t")


def test_mountinfo_is_read_deepest_first_with_escapes() -> None:
    text = (
        "1 0 0:1 / /r/pods/u rw - tmpfs t rw\n"
        "2 0 0:1 / /r/pods/u/a\\040b/c rw - tmpfs t rw\n"
        "3 0 0:1 / /r/pods/uu rw - tmpfs t rw\n"
    )
    assert mounts.mount_points_in(text, "/r/pods/u") == [Path("/r/pods/u/a b/c"), Path("/r/pods/u")]


class Borrowed(Plugin):
    """A made-up kind: a claim that leads to a directory of the node, noted down while it is in use."""

    kind = "borrowed"
    directory = "test.example~borrowed"

    def __init__(self, shelf: Path) -> None:
        self.shelf = shelf
        self.returned: list[str] = []

    async def resolve(self, pod: Any, volume: Volume, objects: Objects) -> Volume:
        if volume.source["claim"] != "mine":
            raise VolumeError("nobody lends this", settling=True)
        return Volume(volume.name, self.kind, {"path": str(self.shelf)})

    async def set_up(self, pod: Any, plan: VolumePlan, objects: Objects) -> None:
        assert plan.path is not None
        plan.path.mkdir(parents=True, exist_ok=True)
        (plan.path / "from").write_text(plan.source["path"])

    async def tear_down(self, path: Path) -> None:
        self.returned.append((path / "from").read_text())


def test_a_new_kind_of_volume_is_a_row(tmp_path: Path) -> None:
    async def scenario() -> None:
        kind = Borrowed(tmp_path / "shelf")
        settings = AgentSettings(node_name="n", root_dir=tmp_path)
        volumes = Volumes(settings, Objects(None, "n"), plugins=(*PLUGINS, kind))
        body = pod({"name": "b", "borrowed": {"claim": "mine"}})
        container = {"name": "c", "volumeMounts": [{"name": "b", "mountPath": "/b"}]}
        await volumes.prepare(body)
        (mount,) = await volumes.mounts(body, container, {})
        assert mount.host_path == str(tmp_path / "pods/u/volumes/test.example~borrowed/b")
        assert (Path(mount.host_path) / "from").read_text() == str(kind.shelf)
        with pytest.raises(VolumeError, match='for volume "b" : nobody lends this') as caught:
            await volumes.prepare(pod({"name": "b", "borrowed": {"claim": "other"}}))
        assert caught.value.settling
        await volumes.teardown("u")
        assert kind.returned == [str(kind.shelf)]
        assert not (tmp_path / "pods/u/volumes").exists()

    asyncio.run(scenario())


def host(tmp_path: Path) -> Volumes:
    return Volumes(AgentSettings(node_name="n", root_dir=tmp_path), Objects(None, "n"))


def test_a_missing_api_server_is_said_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(VolumeError) as caught:
        asyncio.run(host(tmp_path).prepare(pod({"name": "c", "configMap": {"name": "x"}})))
    assert str(caught.value) == (
        'MountVolume.SetUp failed for volume "c" : couldn\'t get configMap ns/x, no kubeClient defined'
    )


def test_empty_dirs_are_made_once_and_removed_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        volumes, body = host(tmp_path), pod({"name": "e", "emptyDir": {}})
        await volumes.prepare(body)
        path = tmp_path / "pods/u/volumes/kubernetes.io~empty-dir/e"
        assert stat.S_IMODE(path.stat().st_mode) == 0o777
        path.chmod(0o700)
        (path / "file").write_text("kept")
        await volumes.prepare(body)
        assert (stat.S_IMODE(path.stat().st_mode), (path / "file").read_text()) == (0o700, "kept")
        # A new agent knows nothing but the disk.
        await host(tmp_path).teardown("u")
        await host(tmp_path).teardown("u")
        assert not (tmp_path / "pods/u/volumes").exists()

    asyncio.run(scenario())


class Maps(Objects):
    """Objects with one config map that can be changed."""

    def __init__(self) -> None:
        super().__init__(None, "n")
        self.data = {"k": "1"}

    async def config_maps(self, pod: Any, names: Any, error: Any) -> Any:
        return {"cm": {"data": dict(self.data)}}


class Told(Reporter):
    """What the user hears."""

    def __init__(self) -> None:
        super().__init__(None)
        self.texts: list[str] = []

    def pod(self, pod: Any, kind: str, reason: str, message: str) -> None:
        self.texts.append(f"{reason}: {message}")


def test_running_pods_see_changed_objects_and_labels(tmp_path: Path) -> None:
    async def scenario() -> None:
        objects = Maps()
        volumes = Volumes(AgentSettings(node_name="n", root_dir=tmp_path), objects)
        told = Told()
        refresher = Refresher(volumes, told)
        task = asyncio.ensure_future(refresher.run())
        body = pod({"name": "c", "configMap": {"name": "cm"}})
        refresher.see(body)
        # Not prepared yet: nothing may be made before the worker asks.
        refresher.changed("u")
        await asyncio.sleep(0.05)
        assert not (tmp_path / "pods").exists()
        await volumes.prepare(body)
        file = tmp_path / "pods/u/volumes/kubernetes.io~configmap/c/k"

        async def until(text: str) -> None:
            async def poll() -> None:
                while file.read_text() != text:
                    await asyncio.sleep(0.005)

            await asyncio.wait_for(poll(), SECONDS)

        objects.data["k"] = "2"
        refresher.changed("u")
        await until("2")
        objects.data["k"] = "3"
        refresher.see({**body, "metadata": {**body["metadata"], "labels": {"new": "1"}}})
        await until("3")
        # A new agent adopts the pod and looks at its files once.
        objects.data["k"] = "4"
        adopting = Refresher(Volumes(AgentSettings(node_name="n", root_dir=tmp_path), objects), told)
        second = asyncio.ensure_future(adopting.run())
        adopting.see(body)
        await until("4")
        await volumes.teardown("u")
        refresher.changed("u")
        await asyncio.sleep(0.05)
        assert not file.exists()
        for running in (task, second):
            running.cancel()
        await asyncio.gather(task, second, return_exceptions=True)

    clock.run(scenario())


def test_what_a_running_pod_cannot_be_shown_is_told_once_and_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        objects, told, tries = Maps(), Told(), []
        volumes = Volumes(AgentSettings(node_name="n", root_dir=tmp_path), objects)
        refresher = Refresher(volumes, told)
        task = asyncio.ensure_future(refresher.run())
        body = pod({"name": "c", "configMap": {"name": "cm", "items": [{"key": "k", "path": "k"}]}})
        await volumes.prepare(body)
        refresher.see(body)
        real = objects.config_maps

        async def counted(*args: Any) -> Any:
            tries.append(args)
            return await real(*args)

        objects.config_maps = counted  # type: ignore[method-assign, assignment]
        objects.data = {}
        refresher.changed("u")
        for _ in range(2000):
            if len(tries) >= 3:
                break
            await asyncio.sleep(0.005)
        assert len(tries) >= 3
        text = 'MountVolume.SetUp failed for volume "c" : configmap references non-existent config key: k'
        assert told.texts == [f"FailedMount: {text}"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    clock.run(scenario())


@pytest.mark.parametrize(
    ("mount", "supported", "expected"),
    [
        ({}, True, False),
        ({"recursiveReadOnly": "Disabled"}, True, False),
        ({"readOnly": True, "recursiveReadOnly": "Enabled"}, True, True),
        ({"readOnly": True, "recursiveReadOnly": "IfPossible"}, True, True),
        ({"readOnly": True, "recursiveReadOnly": "IfPossible"}, False, False),
        (
            {"readOnly": True, "recursiveReadOnly": "Enabled"},
            False,
            'volume "v" requested recursive read-only mode, but it is not supported by the runtime',
        ),
        (
            {"recursiveReadOnly": "IfPossible"},
            True,
            'volume "v" requested recursive read-only mode, but it is not read-only',
        ),
        (
            {"readOnly": True, "recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"},
            True,
            'volume "v" requested recursive read-only mode, but it is not compatible with propagation '
            '"HostToContainer"',
        ),
    ],
)
def test_recursive_read_only_as_the_runtime_can(mount: dict[str, Any], supported: bool, expected: bool | str) -> None:
    container = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}
    volumes = {"v": VolumePlan("v", "emptyDir", {}, Path("/x"))}
    if isinstance(expected, str):
        with pytest.raises(ConfigError) as caught:
            mounted(container, volumes, {}, recursive=supported)
        assert str(caught.value) == expected
    else:
        (planned,) = mounted(container, volumes, {}, recursive=supported)
        assert planned.recursive_read_only is expected
