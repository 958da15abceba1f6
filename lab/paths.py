"""Where a lab keeps its files. What is under the first two directories goes with it; the third is for all labs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STATE = Path("/var/lib/wherry")
RUN = Path("/run/wherry")
CACHE = Path("/var/cache/wherry")
"""What is worth keeping between labs (images); outlives `down`."""


@dataclass(frozen=True)
class Paths:
    """The files of one lab."""

    lab: str
    top: Path | None = None
    """Another directory to keep everything below, instead of the three above."""

    @property
    def state(self) -> Path:
        """Durable state: the store, keys, images, pods' files, logs."""
        return (self.top / "state" if self.top else STATE) / self.lab

    @property
    def run(self) -> Path:
        """Sockets and what containerd mounts; gone after a reboot."""
        return (self.top / "run" if self.top else RUN) / self.lab

    @property
    def lock(self) -> Path:
        """Held by the command that changes the lab."""
        return RUN / f"{self.lab}.lock"

    @property
    def spec(self) -> Path:
        """The lab as JSON; its existence is the lab's."""
        return self.state / "lab.json"

    @property
    def spec_copy(self) -> Path:
        """The same once more, for taking away a lab whose file was damaged."""
        return self.run / "lab.json"

    @property
    def pki(self) -> Path:
        """Certificates and keys, 0700."""
        return self.state / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        """A file a component."""
        return self.state / "logs"

    @property
    def settings(self) -> Path:
        """The daemons' settings files and kubeconfigs, 0700."""
        return self.state / "settings"

    def settings_of(self, daemon: str) -> Path:
        """What a daemon of ours is told: `apiserver`, `node1-agent`."""
        return self.settings / f"{daemon}.yaml"

    @property
    def apiserver(self) -> Path:
        """The API server's store."""
        return self.state / "apiserver"

    @property
    def balancers(self) -> Path:
        """Which load balancer has which address: the cloud's memory."""
        return self.state / "balancers.json"

    def apiserver_of(self, number: int) -> Path:
        """The files of one of several API servers, counted from 1."""
        return self.apiserver if number == 1 else self.state / f"apiserver-{number}"

    def etcd(self, number: int) -> Path:
        """The data of a member of etcd, counted from 1."""
        return self.state / f"etcd-{number}"

    @property
    def supervisor_socket(self) -> Path:
        """Where the supervisor listens."""
        return self.run / "supervisor.sock"

    @property
    def supervisor_state(self) -> Path:
        """What the supervisor runs, so that the next one can take over."""
        return self.run / "supervisor.json"

    def node_state(self, node: str) -> Path:
        """A node's durable files."""
        return self.state / "nodes" / node

    def node_logs(self, node: str) -> Path:
        """What the node shows as its /var/log: links to its daemons' logs and to its pods'."""
        return self.node_state(node) / "log"

    def node_run(self, node: str) -> Path:
        """A node's sockets and mounts."""
        return self.run / node

    def node_mounts(self, node: str) -> Path:
        """What keeps the node's mount namespace; `nsenter --mount=` enters it."""
        return self.run / "mounts" / node

    def node_hostname(self, node: str) -> Path:
        """What keeps the node's UTS namespace; `nsenter --uts=` enters it."""
        return self.run / "hostnames" / node

    def containerd_socket(self, node: str) -> Path:
        """The node's CRI and containerd socket."""
        return self.node_run(node) / "containerd.sock"
