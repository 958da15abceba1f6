"""How a machine gets its credentials: believe the cluster by a bootstrap token, ask for a certificate, wait for it.

Source: kubernetes.io "TLS bootstrapping" and "kubeadm join" (token-based discovery). Works against any cluster that
kubeadm made as well as against ours: both publish kube-public/cluster-info and approve nodes' client certificates.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import time
from typing import Any

import yaml

from apimachinery import errors, kubeconfig, pki
from apimachinery.client import Client
from apimachinery.kinds import CERTIFICATE_SIGNING_REQUEST as CSR
from apimachinery.kinds import CONFIG_MAP
from apimachinery.objects import name as name_of
from lab.standalone import tokens
from lab.standalone.tokens import Token

log = logging.getLogger(__name__)

INFO_NAMESPACE, INFO = "kube-public", "cluster-info"
NODE_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
NODE_SERVING = "kubernetes.io/kubelet-serving"
_USAGES = {NODE_CLIENT: "client auth", NODE_SERVING: "server auth"}
PAUSE = 2.0


class JoinError(Exception):
    """The machine is not let in; the message says by whom, why, and what would help."""


async def authority(server: str, token: Token, ca_hash: str, deadline: float) -> bytes:
    """The cluster's authority (PEM), believed by its key's hash or by the token's signature.

    Asks until `deadline` (monotonic): a machine may come up before its control plane. JoinError after that, or as
    soon as somebody answers who cannot be believed.
    """
    client = Client.of(kubeconfig.Cluster(server, insecure=True), user_agent="wherry-join")
    try:
        while True:
            try:
                found = await client.get(CONFIG_MAP, INFO, INFO_NAMESPACE)
                return believed(found.get("data") or {}, token, ca_hash)
            except (errors.Unreachable, errors.ApiError, _NotYet) as error:
                if time.monotonic() > deadline:
                    raise JoinError(f"{server} does not say who it is: {error}") from error
                log.info("waiting for %s: %s", server, error)
            await asyncio.sleep(PAUSE)
    finally:
        await client.close()


class _NotYet(Exception):
    """The signature is not there yet."""


def believed(data: dict[str, str], token: Token, ca_hash: str) -> bytes:
    """The authority in a cluster-info's `data`. JoinError when it is not the one that the token or the hash names."""
    text = data.get("kubeconfig", "")
    try:
        cluster = (yaml.safe_load(text) or {})["clusters"][0]["cluster"]
        ca = base64.b64decode(cluster["certificate-authority-data"], validate=True)
        found = pki.public_key_hash(ca)
    except (yaml.YAMLError, LookupError, TypeError, ValueError, binascii.Error) as error:
        raise JoinError(f"{INFO_NAMESPACE}/{INFO} of this server holds no cluster: {error}") from error
    if ca_hash and found != ca_hash:
        raise JoinError(f"the server's authority is {found}, not {ca_hash}: another cluster, or somebody in between")
    signature = data.get(tokens.SIGNATURE + token.ident)
    if signature is None and not ca_hash:
        raise _NotYet(f"no signature by token {token.ident}; is it expired? `wherry server token create` makes another")
    if signature is not None and not tokens.signed(token, text, signature):
        raise JoinError(f"the server does not know token {token.ident}'s secret: mistyped, or somebody in between")
    return ca


async def certificate(client: Client, signer: str, request: pki.SigningRequest, deadline: float) -> bytes:
    """What the cluster signs for `request` (PEM, with its chain). JoinError when it is denied, or not signed before
    `deadline` (monotonic).
    """
    body = {
        "apiVersion": CSR.api_version,
        "kind": CSR.kind,
        "metadata": {"generateName": "node-csr-" if signer == NODE_CLIENT else "csr-"},
        "spec": {
            "request": base64.b64encode(request.csr_pem).decode(),
            "signerName": signer,
            "usages": ["digital signature", _USAGES[signer]],
        },
    }
    pause = 0.1
    try:
        asked = name_of(await client.create(CSR, body))
        while (state := await client.get(CSR, asked)).get("status", {}).get("certificate") is None:
            _refused(asked, state)
            if time.monotonic() > deadline:
                raise JoinError(f"{asked} is not signed yet; `kubectl certificate approve {asked}` lets it through")
            await asyncio.sleep(pause := min(pause * 1.5, PAUSE))
    except (errors.ApiError, errors.Unreachable) as error:
        raise JoinError(f"cannot ask for a certificate: {error}") from error
    return base64.b64decode(state["status"]["certificate"])


def _refused(asked: str, state: dict[str, Any]) -> None:
    for condition in state.get("status", {}).get("conditions") or ():
        if condition["type"] in ("Denied", "Failed"):
            told = condition.get("message") or condition.get("reason") or "no reason given"
            raise JoinError(f"{asked} is {condition['type'].lower()}: {told}")


async def node_client(server: str, token: Token, ca: bytes, node: str, deadline: float) -> kubeconfig.Cluster:
    """The node's own way to the API server, got with the token."""
    bootstrap = kubeconfig.Cluster(server, ca=ca, token=str(token))
    return await renewed(bootstrap, node, deadline)


async def renewed(known: kubeconfig.Cluster, node: str, deadline: float) -> kubeconfig.Cluster:
    """The node's way to the API server with a fresh key and certificate, asked for as whoever `known` is."""
    request = pki.signing_request(f"system:node:{node}", organizations=("system:nodes",))
    client = Client.of(known, user_agent="wherry-join")
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(client.reachable(), max(0.0, deadline - time.monotonic()))
    try:
        cert = await certificate(client, NODE_CLIENT, request, deadline)
    finally:
        await client.close()
    return kubeconfig.Cluster(known.server, ca=known.ca, cert=cert, key=request.key_pem)


async def serving(known: kubeconfig.Cluster, node: str, address: str, deadline: float) -> pki.KeyPair:
    """A serving certificate for the node's agent, asked for as the node itself."""
    request = pki.signing_request(f"system:node:{node}", organizations=("system:nodes",), dns=(node,), ips=(address,))
    client = Client.of(known, user_agent="wherry-join")
    try:
        return pki.KeyPair(await certificate(client, NODE_SERVING, request, deadline), request.key_pem)
    finally:
        await client.close()
