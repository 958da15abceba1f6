"""A real containerd calls the plugins: sandboxes come up with an address, talk, and leave nothing."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agent.cri.client import CriClient
from agent.cri.errors import CriError
from agent.cri.messages import pb
from apimachinery.kit import netns
from apimachinery.kit.netlink import Netlink
from cni import install
from cni.hostlocal.store import DiskStore
from cni.settings import Settings
from tests.agent.alone.rig import Containerd
from tests.waiting import WHOLE, eventually

pytestmark = pytest.mark.node
# As many as the range has addresses for beside the bridge's.
SANDBOXES, RANGE = 5, "10.250.8.0/29"


@pytest.fixture
def rig() -> Iterator[Containerd]:
    # Sockets of shims have long names; pytest's own directories are too deep for them.
    base = Path(f"/var/tmp/wht-cni-{os.getpid()}")
    containerd = Containerd(base, f"cni{os.getpid()}")
    try:
        yield containerd
    finally:
        containerd.close()


def serve(rig: Containerd) -> tuple[Settings, "subprocess.Popen[bytes]"]:
    base = rig.base
    settings = Settings("", base / "run", base / "cni", base / "bin", base / "data", bridge=rig.bridge)
    fields = {"run_dir": base / "run", "conf_dir": base / "cni", "bin_dir": base / "bin", "data_dir": base / "data"}
    (base / "cni.yaml").write_text(yaml.safe_dump({key: str(path) for key, path in fields.items()}))
    argv = [sys.executable, "-m", "cni", "--config", str(base / "cni.yaml"), "--log-level", "warning"]
    daemon = netns.call(netns.path_of(rig.netns), lambda: subprocess.Popen(argv))
    eventually(settings.socket.exists, what="the CNI daemon serves")
    (base / "cni" / "10-net.conflist").unlink()
    install.install_conflist(settings, [RANGE, "fd25:8::/64"], 1500)
    rig.kill()
    config = (base / "config.toml").read_text().replace('"/usr/lib/cni"', f'"{settings.bin_dir}"')
    (base / "config.toml").write_text(config)
    rig.start()
    return settings, daemon


def sandbox_config(number: int, cgroup: str) -> object:
    metadata = pb.PodSandboxMetadata(name=f"pod{number}", namespace="default", uid=f"uid{number}", attempt=0)
    return pb.PodSandboxConfig(
        metadata=metadata, hostname=f"pod{number}", linux=pb.LinuxPodSandboxConfig(cgroup_parent=cgroup)
    )


async def ready(client: CriClient) -> None:
    deadline = time.monotonic() + 60
    while not (await client.info()).network_ready:
        assert time.monotonic() < deadline, "containerd does not accept the conflist"
        await asyncio.sleep(0.05)


def test_sandboxes_come_and_go(rig: Containerd) -> None:
    settings, daemon = serve(rig)

    async def scenario() -> None:
        client = CriClient(rig.socket)
        try:
            await ready(client)
            configs = [sandbox_config(n, rig.cgroup) for n in range(SANDBOXES)]
            made = await asyncio.gather(*[client.run_sandbox(c) for c in configs])
            found = [await client.sandbox(i) for i in made]
            addresses = {a for sandbox in found for a in sandbox.ips}
            assert len(addresses) == 2 * SANDBOXES
            assert addresses == set(DiskStore(settings.data_dir, install.NETWORK).taken())
            # One too many: the range is named, and in the same words each time, so that events are counted.
            refused = set()
            for _ in range(2):
                with pytest.raises(CriError) as one_more:
                    await client.run_sandbox(sandbox_config(SANDBOXES, rig.cgroup))
                refused.add(str(one_more.value))
            assert len(refused) == 1
            assert "no IP addresses available in range set: 10.250.8.1-10.250.8.6" in refused.pop()
            assert addresses == set(DiskStore(settings.data_dir, install.NETWORK).taken()), "nothing is left of it"
            await asyncio.gather(*[client.stop_sandbox(i) for i in made])
            await asyncio.gather(*[client.remove_sandbox(i) for i in made])
        finally:
            await client.close()

    try:
        asyncio.run(asyncio.wait_for(scenario(), WHOLE))
        assert DiskStore(settings.data_dir, install.NETWORK).taken() == {}
        with Netlink(netns.path_of(rig.netns)) as node:
            eventually(lambda: not [x for x in node.links() if x.kind == "veth"], what="links of the pods are gone")
        assert json.loads((settings.conf_dir / install.CONFLIST).read_text())["name"] == install.NETWORK
    finally:
        daemon.terminate()
        daemon.wait(60)
