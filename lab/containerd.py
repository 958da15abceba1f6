"""containerd as one node of a lab needs it: own root, state, socket and CNI directories, nothing shared.

Source: containerd's CRI configuration, version 2 of the file (containerd 1.6 to 2.x read it).
"""

from __future__ import annotations

import os
from pathlib import Path

from lab import privileges
from lab.images.catalog import PAUSE
from lab.paths import Paths

CAP_SYS_RESOURCE = 24


def config(paths: Paths, node: str, *, restrict_oom: bool) -> str:
    """The TOML text. `restrict_oom` for machines where oom_score_adj cannot be lowered."""
    state = paths.node_state(node)
    run = paths.node_run(node)
    disabled = ("aufs", "btrfs", "devmapper", "zfs")
    plugins = [f"io.containerd.snapshotter.v1.{name}" for name in disabled]
    plugins += ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
    listed = ", ".join(f'"{plugin}"' for plugin in plugins)
    return f"""\
version = 2
root = "{state / "containerd"}"
state = "{run / "containerd"}"
disabled_plugins = [{listed}]
oom_score = {0 if restrict_oom else privileges.oom_score("containerd")}

[grpc]
  address = "{paths.containerd_socket(node)}"

[debug]
  level = "warn"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = {str(restrict_oom).lower()}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  enable_selinux = false
  netns_mounts_under_state_dir = true
  enable_cdi = true
  cdi_spec_dirs = ["{cdi_specs(paths, node)}"]
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "{cni_conf(paths, node)}"
    bin_dir = "{cni_bin(paths, node)}"
    max_conf_num = 1
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{run / "runc"}"
"""


def cni_conf(paths: Paths, node: str) -> Path:
    """The node's /etc/cni/net.d."""
    return paths.node_run(node) / "cni" / "net.d"


def cdi_specs(paths: Paths, node: str) -> Path:
    """The node's /var/run/cdi."""
    return paths.node_run(node) / "cdi"


def cni_bin(paths: Paths, node: str) -> Path:
    """The node's /opt/cni/bin."""
    return paths.node_run(node) / "cni" / "bin"


def oom_score_is_limited() -> bool:
    """Whether this process (and so what it starts) lacks CAP_SYS_RESOURCE; see docs/architecture.md."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return not int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1
    return os.geteuid() != 0
