"""What each daemon may do: capabilities(7), new privileges, and how late the kernel's OOM killer takes it.

Every daemon runs as root, for the files it owns; of root's powers it keeps those in the table. A daemon that listens or
reads what others send is worth less to who takes it over, and its children get no more than it has.

| daemon | keeps | for |
|---|---|---|
| etcd, apiserver, scheduler, controllers | nothing | their files are root's own, their ports above 1023 |
| cloud | net_admin, net_raw, sys_admin | load balancers' addresses, in the nodes' network namespaces |
| hostnet, proxy | `_NETWORK` | nftables, conntrack, routes; legacy iptables' raw socket; port 53 |
| agent | that, `_VOLUMES`, `_NODE` | the CNI daemon's work; owners and modes of volumes; mounts, namespaces of pods |
| containerd | everything | containers may be given any of it, and may run set-user-id programs |
"""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from pathlib import Path

from apimachinery.kit import command

DEADLINE = 10.0
EVERYTHING: tuple[str, ...] = ("all",)
_NETWORK = ("net_admin", "net_bind_service", "net_raw")
_VOLUMES = ("chown", "dac_override", "dac_read_search", "fowner", "fsetid")
_NODE = ("kill", "sys_admin", "sys_chroot", "sys_ptrace", "sys_resource", "syslog")
CAPABILITIES: dict[str, tuple[str, ...]] = {
    "etcd": (),
    "apiserver": (),
    "scheduler": (),
    "controllers": (),
    "cloud": ("net_admin", "net_raw", "sys_admin"),
    "hostnet": _NETWORK,
    "proxy": _NETWORK,
    "agent": (*_NETWORK, *_VOLUMES, *_NODE),
    "containerd": EVERYTHING,
}
# As upstream's kubelet, kube-proxy and container runtime, and its static pods (critical ones).
OOM_SCORES = {"agent": -999, "proxy": -999, "containerd": -999}
OOM_SCORE_OTHERS = -997
PRIVILEGED_PORTS = 1024


def of(daemon: str, port: int = PRIVILEGED_PORTS) -> tuple[str, ...]:
    """The capabilities of a daemon that listens on the port."""
    return CAPABILITIES[daemon] if port >= PRIVILEGED_PORTS else (*CAPABILITIES[daemon], "net_bind_service")


def oom_score(daemon: str) -> int:
    """Its oom_score_adj, where it may be lowered."""
    return OOM_SCORES.get(daemon, OOM_SCORE_OTHERS)


def dropping(capabilities: tuple[str, ...]) -> list[str]:
    """What an argv begins with that keeps only these (setpriv(1)); nothing for everything."""
    if capabilities == EVERYTHING:
        return []
    kept = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return ["setpriv", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", f"--bounding-set={kept}", "--"]


async def can_drop() -> bool:
    """Whether setpriv works here: an old one refuses a kernel with capabilities that it does not know."""
    try:
        asked = await command.run([*dropping(("net_admin",)), "true"], timeout=DEADLINE, check=False)
    except command.CommandError:
        return False
    return asked.returncode == 0


def to_read_the_program() -> tuple[str, ...]:
    """What root needs on top to read the program itself, where it lies in a home that its owner alone may enter."""
    samples = (__file__, os.__file__, sysconfig.get_path("purelib"), sys.executable)
    paths = (Path(sample).resolve() for sample in samples)
    return () if all(_root_may_read(path) for path in paths) else ("dac_read_search",)


def lower_oom_score(pid: int, score: int) -> None:
    """Where it may not be lowered (no CAP_SYS_RESOURCE) it stays as it was inherited."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(score), encoding="ascii")


def _root_may_read(path: Path) -> bool:
    return _may(path, 4) and all(_may(parent, 1) for parent in path.parents)


def _may(path: Path, bit: int) -> bool:
    """Whether user and group 0 have this bit of the mode, without any capability."""
    status = path.stat()
    shift = 6 if status.st_uid == 0 else 3 if status.st_gid == 0 else 0
    return bool(status.st_mode >> shift & bit)
