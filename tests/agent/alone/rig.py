"""A containerd of our own in a network namespace of our own, with images made on the spot."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from apimachinery.kit import netns
from lab import cgroups, clean, processes
from tests.forked import Forked, forked
from tests.waiting import eventually

IMAGE = "wherry.test/busybox:1"
PAUSE = "wherry.test/pause:1"

_CONFIG = """
version = 2
root = "{base}/root"
state = "{base}/state"
[grpc]
address = "{base}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{base}/cni"
"""

_APPLETS = (
    "sh",
    "sleep",
    "true",
    "false",
    "cat",
    "echo",
    "ls",
    "httpd",
    "nc",
    "wget",
    "touch",
    "rm",
    "test",
    "kill",
    "id",
)


def _layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("bin", "tmp", "etc", "dev", "proc", "sys", "www"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        tar.add("/bin/busybox", "bin/busybox")
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return out.getvalue()


def oci_archive(target: Path, images: dict[str, dict]) -> None:
    """Images by name with their `config` section, all of one busybox layer."""
    layer = _layer()
    blobs = {hashlib.sha256(layer).hexdigest(): layer}
    layer_digest = next(iter(blobs))

    def blob(value: object) -> tuple[str, int]:
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return f"sha256:{digest}", len(data)

    manifests = []
    for name, config in images.items():
        digest, size = blob(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": config,
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            }
        )
        manifest, manifest_size = blob(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": digest,
                    "size": size,
                },
                "layers": [
                    {
                        "mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": f"sha256:{layer_digest}",
                        "size": len(layer),
                    }
                ],
            }
        )
        manifests.append(
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": manifest,
                "size": manifest_size,
                "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
            }
        )
    index = {"schemaVersion": 2, "manifests": manifests}
    with tarfile.open(target, "w") as tar:
        files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
        files |= {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


class Containerd:
    """Started in its own network namespace; `close` leaves nothing."""

    def __init__(self, base: Path, tag: str) -> None:
        self.base = base
        self.netns = f"wht-{tag}"
        self.bridge = f"wht{tag}"[:15]
        self.cgroup = f"/wht-{tag}"
        self.socket = base / "containerd.sock"
        self._process: subprocess.Popen[bytes] | None = None
        (base / "cni").mkdir(parents=True)
        subprocess.run(["ip", "netns", "add", self.netns], check=True)
        self.run("ip", "link", "set", "lo", "up")
        (base / "cni/10-net.conflist").write_text(
            json.dumps(
                {
                    "cniVersion": "0.4.0",
                    "name": "net",
                    "plugins": [
                        {
                            "type": "bridge",
                            "bridge": self.bridge,
                            "isGateway": True,
                            "ipam": {
                                "type": "host-local",
                                "dataDir": str(base / "ipam"),
                                "ranges": [[{"subnet": "10.250.7.0/24"}]],
                                "routes": [{"dst": "0.0.0.0/0"}],
                            },
                        }
                    ],
                }
            )
        )
        config = _CONFIG.format(base=base, pause=PAUSE, snapshotter=_snapshotter(base))
        (base / "config.toml").write_text(config)
        try:
            self.start()
            self._load_images()
        except BaseException:
            self.close()
            raise

    def _load_images(self) -> None:
        archive = self.base / "images.tar"
        oci_archive(
            archive,
            {
                IMAGE: {"Env": ["PATH=/bin"], "Cmd": ["/bin/sleep", "1000000"]},
                PAUSE: {"Env": ["PATH=/bin"], "Entrypoint": ["/bin/sleep", "2147483647"]},
            },
        )
        self.ctr("images", "import", str(archive))

    def run(self, *argv: str) -> str:
        """A command in the namespace."""
        found = subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.netns}", *argv], check=True, capture_output=True, text=True
        )
        return found.stdout

    def ctr(self, *argv: str) -> str:
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *argv]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def start(self) -> None:
        command = [
            "nsenter",
            f"--net=/run/netns/{self.netns}",
            "containerd",
            "--config",
            str(self.base / "config.toml"),
        ]
        with (self.base / "containerd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._answers, what="containerd answers")

    def _answers(self) -> bool:
        command = ["ctr", "--address", str(self.socket), "--connect-timeout", "1s", "version"]
        return subprocess.run(command, capture_output=True).returncode == 0

    def kill(self) -> None:
        """kill -9: shims and containers live on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def tasks(self) -> dict[str, int]:
        """Container id → process id of everything that runs."""
        lines = self.ctr("tasks", "list").splitlines()[1:]
        return {parts[0]: int(parts[1]) for parts in (line.split() for line in lines) if parts[2] == "RUNNING"}

    def close(self) -> None:
        """Asks nobody: containerd may be dead, or never have lived; shims and daemons name its directory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        cgroup = self.cgroup.strip("/")
        asyncio.run(
            processes.kill([lambda: cgroups.members(cgroup), lambda: processes.daemons_below(self.base)]),
        )
        clean.remove_tree(self.base)
        subprocess.run(["ip", "netns", "delete", self.netns], check=True)
        cgroups.remove(cgroup)


def _snapshotter(base: Path) -> str:
    """overlayfs where the directory's file system can carry one."""
    for name in ("lower", "upper", "work", "merged"):
        (base / "probe" / name).mkdir(parents=True)
    probe = base / "probe"
    options = f"lowerdir={probe}/lower,upperdir={probe}/upper,workdir={probe}/work"
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, str(probe / "merged")], capture_output=True
    )
    if done.returncode == 0:
        subprocess.run(["umount", str(probe / "merged")], check=True)
    shutil.rmtree(probe)
    return "overlayfs" if done.returncode == 0 else "native"


def cgroups_below(name: str) -> Iterator[Path]:
    """Every directory of our cgroup tree, deepest first."""
    for mount in [*Path("/sys/fs/cgroup").iterdir(), Path("/sys/fs/cgroup")]:
        top = mount / name.strip("/")
        if top.is_dir():
            for directory, _, _ in os.walk(top, topdown=False):
                yield Path(directory)


class AgentProcess:
    """`python -m agent` with static pods only, in containerd's namespace."""

    def __init__(self, containerd: Containerd) -> None:
        self.containerd = containerd
        base = containerd.base
        self.manifests = base / "manifests"
        self.root, self.logs = base / "agent", base / "logs"
        self.log = base / "agent.log"
        self.manifests.mkdir(exist_ok=True)
        self.log.write_text("")
        (base / "agent.yaml").write_text(
            json.dumps(
                {
                    "node_name": "node1",
                    "root_dir": str(self.root),
                    "pod_log_dir": str(self.logs),
                    "cri_socket": str(containerd.socket),
                    "cgroup_root": containerd.cgroup,
                    "static_pod_dir": str(self.manifests),
                    "healthz_port": 0,
                }
            )
        )
        self.process: Forked | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "agent", "--config", str(self.containerd.base / "agent.yaml")]
        self.process = forked(command, self.log, netns.path_of(self.containerd.netns))

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(60) == 0, self.log.read_text()[-3000:]

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def apply(self, name: str, spec: dict, **meta: object) -> None:
        """Write a manifest; the agent calls the pod `name`-node1."""
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **meta}, "spec": spec}
        staged = self.manifests / f".{name}.json"
        staged.write_text(json.dumps(manifest))
        staged.rename(self.manifests / f"{name}.json")

    def remove(self, name: str) -> None:
        (self.manifests / f"{name}.json").unlink()

    def clear(self) -> None:
        """Every manifest removed, every container gone."""
        for file in self.manifests.glob("*.json"):
            file.unlink()
        if self.process is None or self.process.poll() is not None:
            self.start()
        eventually(lambda: not self.containerd.ctr("containers", "list", "-q").split(), 90, what="all containers gone")

    def containers(self, pod: str) -> dict[str, str]:
        """Name → id of a pod's running containers."""
        found = {}
        for container_id in self.containerd.tasks():
            try:
                labels = json.loads(self.containerd.ctr("containers", "info", container_id))["Labels"]
            except subprocess.CalledProcessError:
                continue  # gone since it was listed
            if labels.get("io.kubernetes.pod.name") != f"{pod}-node1":
                continue
            found[labels.get("io.kubernetes.container.name", "")] = container_id
        return found

    def running(self, pod: str, *names: str) -> dict[str, str]:
        """Waits until exactly these containers run; their ids."""

        def check() -> dict[str, str]:
            found = self.containers(pod)
            found.pop("", None)
            return found if set(found) == set(names) else {}

        try:
            return eventually(check, what=f"{pod} runs {names}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()[-4000:]}") from error

    def events(self, reason: str) -> int:
        """How many of these events the agent told."""
        return self.log.read_text().count(f": {reason}: ")

    def output(self, pod: str, container: str) -> str:
        """Everything the container's newest run printed."""
        files = sorted(self.logs.glob(f"*_{pod}-node1_*/{container}/*.log"), key=lambda p: int(p.stem))
        lines = files[-1].read_text().splitlines() if files else []
        # The last line may be half written.
        return "\n".join(parts[3] for line in lines if len(parts := line.split(" ", 3)) == 4)
