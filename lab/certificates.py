"""The lab's authorities, everyone's certificate and kubeconfig. Made once; later calls find them on disk.

Least privilege by upstream's names: each daemon has the user and groups that upstream's default roles and the Node
authorizer know (kubernetes.io "PKI certificates and requirements").
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from apimachinery import kubeconfig, pki
from apimachinery.kit.files import write_atomic
from lab import names
from lab.paths import Paths
from lab.spec import Node, Spec


@dataclass(frozen=True)
class Identity:
    """A client of the API server: the kubeconfig's file name, the user and its groups."""

    file: str
    user: str
    groups: tuple[str, ...] = ()


SCHEDULER = Identity("scheduler.kubeconfig", "system:kube-scheduler")
CONTROLLERS = Identity("controller-manager.kubeconfig", "system:kube-controller-manager")
# Only where there is a cloud.
CLOUD = Identity("cloud-controller-manager.kubeconfig", "system:cloud-controller-manager")
PROXY = Identity("proxy.kubeconfig", "system:kube-proxy")
# Nobody is in system:masters, whom no policy can hold: as with kubeadm, the administrator is bound to cluster-admin.
ADMIN = Identity("admin.kubeconfig", "kubernetes-admin", ("kubeadm:cluster-admins",))
# What brings nodes up and takes them away.
LAB = Identity("lab.kubeconfig", "wherry:lab")
IDENTITIES = (SCHEDULER, CONTROLLERS, PROXY, LAB)
# What the users above that upstream does not know may do; kept by the API server.
POLICY = Path(__file__).with_name("policy.txt")


def node_identity(node: Node) -> Identity:
    """The agent's identity, which the Node authorizer confines to its own node."""
    return Identity(f"{node.name}.kubeconfig", f"system:node:{node.name}", ("system:nodes",))


class Authority:
    """The lab's certificate authority and what it has issued."""

    def __init__(self, paths: Paths, spec: Spec) -> None:
        self._paths = paths
        self._spec = spec
        self._ca = self._pair("ca", lambda: pki.new_ca(f"wherry-{spec.name}"))

    def server(self) -> tuple[Path, Path]:
        """The API server's certificate and key."""
        spec = self._spec
        hosts = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
        dns = (*hosts, "kubernetes.default.svc.cluster.local")
        addresses = (*self._control_planes(), spec.service_ip, "127.0.0.1")
        self._pair(
            "apiserver",
            lambda: pki.issue(self._ca, "kube-apiserver", dns=dns, ips=addresses, server=True),
        )
        return self._files("apiserver")

    def kubelet_client(self) -> tuple[Path, Path]:
        """How the API server proves itself to agents."""
        self._pair(
            "apiserver-kubelet-client",
            lambda: pki.issue(self._ca, "kube-apiserver-kubelet-client", client=True),
        )
        return self._files("apiserver-kubelet-client")

    def front_proxy(self) -> tuple[Path, Path]:
        """How the API server proves to those behind APIServices that it may say who asks. By an authority for that
        alone: whom it certifies can be anybody.
        """
        authority = self._pair("front-proxy-ca", lambda: pki.new_ca(f"wherry-{self._spec.name}-front-proxy"))
        self._pair("front-proxy-client", lambda: pki.issue(authority, "front-proxy-client", client=True))
        return self._files("front-proxy-client")

    def kubelet_authority(self) -> tuple[Path, Path]:
        """An authority for agents' serving certificates alone: whoever has one cannot pass for the API server."""
        self._pair("kubelet-ca", lambda: pki.new_ca(f"wherry-{self._spec.name}-kubelets"))
        return self._files("kubelet-ca")

    def daemon(self, name: str) -> tuple[Path, Path]:
        """The serving certificate of the scheduler, the controllers or the cloud."""
        addresses = (*self._control_planes(), "127.0.0.1")
        issue = partial(pki.issue, self._ca, name, dns=("localhost",), ips=addresses, server=True)
        self._pair(f"{name}-serving", issue)
        return self._files(f"{name}-serving")

    def _control_planes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self._spec.gateway, *self._spec.control_plane_addresses)))

    def etcd(self) -> None:
        """An authority of etcd's own, a certificate for each member, as server and towards the others, and the API
        servers' own: whom etcd lets in may read and write everything.
        """
        authority = self._pair("etcd-ca", lambda: pki.new_ca(f"wherry-{self._spec.name}-etcd"))
        for number, address in enumerate(self._spec.control_plane_addresses, 1):
            # All are on one host, whose connections to itself come from its first address; members look at that.
            ips = dict.fromkeys((address, self._spec.gateway))
            issue = partial(pki.issue, authority, f"etcd-{number}", ips=ips, server=True, client=True)
            self._pair(f"etcd-{number}", issue)
        self._pair("apiserver-etcd-client", partial(pki.issue, authority, "kube-apiserver-etcd-client", client=True))

    def agent(self, node: Node) -> tuple[Path, Path]:
        """An agent's serving certificate."""
        address = self._spec.address(node)
        self._pair(
            f"{node.name}-serving",
            lambda: pki.issue(
                self._ca,
                f"system:node:{node.name}",
                organizations=("system:nodes",),
                dns=(node.name,),
                ips=(address, "127.0.0.1"),
                server=True,
            ),
        )
        return self._files(f"{node.name}-serving")

    def service_account_key(self) -> Path:
        """The key that signs service account tokens."""
        path = self._paths.pki / "service-account.key"
        if not path.exists():
            write_atomic(path, pki.service_account_key())
        return path

    def kubeconfig(self, identity: Identity, path: Path | None = None) -> Path:
        """The kubeconfig of one identity, written when there is none that can be read."""
        path = path or self._paths.settings / identity.file
        try:
            kubeconfig.load(path)
        except kubeconfig.KubeconfigError:
            pair = pki.issue(self._ca, identity.user, organizations=identity.groups, client=True)
            cluster = kubeconfig.Cluster(self._spec.server, ca=self._ca.cert_pem, cert=pair.cert_pem, key=pair.key_pem)
            kubeconfig.write(path, cluster, names.context(self._spec.name), identity.user)
        return path

    def admin(self) -> Path:
        """The administrator's kubeconfig, owned by the person who called sudo."""
        path = self.kubeconfig(ADMIN, self._paths.kubeconfig)
        owner, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
        if owner.isdigit() and group.isdigit():
            os.chown(path, int(owner), int(group))
        return path

    def forget(self, node: Node) -> None:
        """Remove a node's keys."""
        for path in (*self._files(f"{node.name}-serving"), self._paths.settings / node_identity(node).file):
            path.unlink(missing_ok=True)

    def _files(self, name: str) -> tuple[Path, Path]:
        return self._paths.pki / f"{name}.crt", self._paths.pki / f"{name}.key"

    def _pair(self, name: str, make: Callable[[], pki.KeyPair]) -> pki.KeyPair:
        certificate, key = self._files(name)
        if not (certificate.exists() and key.exists()):
            pair = make()
            # The key first: a certificate on disk always has its key.
            write_atomic(key, pair.key_pem, 0o600)
            write_atomic(certificate, pair.cert_pem, 0o644)
        return pki.KeyPair(certificate.read_bytes(), key.read_bytes())
