"""A node's keys on disk: got by joining, kept, renewed when a fifth of their life is left, as upstream's kubelet
does.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from apimachinery import kubeconfig, pki
from apimachinery.kit.files import write_atomic
from lab.paths import Paths
from lab.standalone import tokens
from lab.standalone.machine import HOME, Machine
from lab.standalone.settings import Node

log = logging.getLogger(__name__)

# A control plane on a slow machine (an emulated one) takes minutes to come up; systemd starts us again afterwards.
JOIN_SECONDS = 540.0
# A serving certificate that nobody approves is gone without: the agent then signs its own.
SERVING_SECONDS = 20.0
RENEW_LEFT = 0.2
_CONTEXT = "node"


@dataclass(frozen=True)
class Credentials:
    """Files: how to reach the API server and as whom, whom to believe, and how the agent proves itself (or None)."""

    kubeconfig: Path
    ca: Path
    serving: tuple[Path, Path] | None


async def ensure(settings: Node, seen: Machine, *, serves: bool, home: Paths = HOME) -> Credentials:
    """The machine's credentials, fresh; asked for where there are none. `serves`: one to serve with, too.

    Agent and proxy begin at the same time: the second waits for what the first gets. join.JoinError, tokens.TokenError.
    """
    for directory in (home.state, home.settings, home.pki):
        directory.mkdir(mode=0o755 if directory == home.state else 0o700, parents=True, exist_ok=True)
    home.run.mkdir(mode=0o711, parents=True, exist_ok=True)
    with _alone(home):
        path = client_file(settings, home)
        if settings.kubeconfig is None:
            await _client(settings, seen, path)
        known = kubeconfig.load(path)
        ca = home.pki / "cluster-ca.crt"
        write_atomic(ca, known.ca or b"", 0o644)
        if serves:
            await _serving(known, seen, serving_files(home))
    return Credentials(path, ca, serving_files(home) if serving_files(home)[0].exists() else None)


def client_file(settings: Node, home: Paths = HOME) -> Path:
    """The kubeconfig that the node's daemons go by."""
    return settings.kubeconfig or home.settings / "node.kubeconfig"


def serving_files(home: Paths = HOME) -> tuple[Path, Path]:
    """Where certificate and key lie that the agent serves with."""
    return home.pki / "node-serving.crt", home.pki / "node-serving.key"


def due(home: Paths = HOME) -> list[Path]:
    """What a new start of the node's daemons would renew."""
    found = []
    with contextlib.suppress(kubeconfig.KubeconfigError):
        path = home.settings / "node.kubeconfig"
        if (cert := kubeconfig.load(path).cert) and life_left(cert) <= RENEW_LEFT:
            found.append(path)
    serving = serving_files(home)[0]
    if serving.exists() and life_left(serving.read_bytes()) <= RENEW_LEFT:
        found.append(serving)
    return found


@contextmanager
def _alone(home: Paths) -> Iterator[None]:
    descriptor = os.open(home.run / "join.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


async def _client(settings: Node, seen: Machine, path: Path) -> None:
    (node,) = seen.nodes
    deadline = time.monotonic() + JOIN_SECONDS
    known: kubeconfig.Cluster | None = None
    with contextlib.suppress(kubeconfig.KubeconfigError):
        known = kubeconfig.load(path)
    left = life_left(known.cert) if known and known.cert else 0.0
    if known and known.server == settings.server and left > RENEW_LEFT:
        return
    # A machine that has joined, which is how it usually starts, does not wait for the client's modules to be loaded.
    from lab.standalone import join

    if known and known.server == settings.server and left > 0:
        fresh = await join.renewed(known, node.name, deadline)
    else:
        token = tokens.parse(settings.token)
        ca = await join.authority(settings.server, token, settings.ca_hash, deadline)
        fresh = await join.node_client(settings.server, token, ca, node.name, deadline)
    kubeconfig.write(path, fresh, _CONTEXT)


async def _serving(known: kubeconfig.Cluster, seen: Machine, files: tuple[Path, Path]) -> None:
    cert, key = files
    if cert.exists() and key.exists() and life_left(cert.read_bytes()) > RENEW_LEFT:
        return
    from lab.standalone import join

    (node,) = seen.nodes
    try:
        pair = await join.serving(known, node.name, seen.own_address, time.monotonic() + SERVING_SECONDS)
    except join.JoinError as error:
        log.warning("%s: the agent signs its own certificate, which an API server that checks refuses", error)
        return
    write_atomic(key, pair.key_pem, 0o600)
    write_atomic(cert, pair.cert_pem, 0o644)


def life_left(cert_pem: bytes) -> float:
    """The share of a certificate's life that is left, 0 when it has ended."""
    now = datetime.datetime.now(datetime.timezone.utc)
    begins, ends = pki.validity(cert_pem)
    return max(0.0, (ends - now) / (ends - begins))
