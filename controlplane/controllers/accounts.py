"""Who each loop is: a service account of its own in kube-system, and short-lived tokens of that account.

As upstream with --use-service-account-credentials=true: the process's own user may read everything, stand for election
and hand out tokens, and nothing else; what a loop may write is said by the role of its account alone
(`system:controller:*` of the default policy).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import SERVICE_ACCOUNT
from apimachinery.kubeconfig import Cluster
from apimachinery.objects import Obj

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"
LIFETIME = 3600
# A token is renewed when this share of its life is over; until its end a failed renewal costs nothing.
RENEW_AT = 0.8
# The accounts that are not called as their loop.
NAMES = {
    "horizontal-pod-autoscaler-controller": "horizontal-pod-autoscaler",
    "certificatesigningrequest-signing-controller": "certificate-controller",
    "certificatesigningrequest-approving-controller": "certificate-controller",
    "kubelet-serving-approving-controller": "certificate-controller",
    "certificatesigningrequest-cleaner-controller": "certificate-controller",
    "serviceaccount-controller": "service-account-controller",
    "service-cidr-controller": "service-cidrs-controller",
    "endpoints-controller": "endpoint-controller",
    "endpointslice-mirroring-controller": "endpointslicemirroring-controller",
    "root-ca-certificate-publisher-controller": "root-ca-cert-publisher",
    "node-ipam-controller": "node-controller",
    "node-lifecycle-controller": "node-controller",
    "taint-eviction-controller": "node-controller",
    "daemonset-controller": "daemon-set-controller",
    "replicationcontroller-controller": "replication-controller",
    "pod-garbage-collector-controller": "pod-garbage-collector",
    "bootstrap-signer-controller": "bootstrap-signer",
    "token-cleaner-controller": "token-cleaner",
    "legacy-serviceaccount-token-cleaner-controller": "legacy-service-account-token-cleaner",
    "persistentvolume-binder-controller": "persistent-volume-binder",
    "persistentvolume-attach-detach-controller": "attachdetach-controller",
    "persistentvolume-expander-controller": "expand-controller",
    "persistentvolumeclaim-protection-controller": "pvc-protection-controller",
    "persistentvolume-protection-controller": "pv-protection-controller",
    "resourceclaim-controller": "resource-claim-controller",
    "garbage-collector-controller": "generic-garbage-collector",
}


def account_of(loop: str) -> str:
    """The name of a loop's service account."""
    return NAMES.get(loop, loop)


class Tokens:
    """The tokens of one account, asked for when first needed: a loop with nothing to write needs none."""

    def __init__(self, client: Client, account: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._account = account
        self._clock = clock
        self._asking = asyncio.Lock()
        self._token = ""
        self._renew = self._end = 0.0

    async def token(self) -> str:
        """A token that the server took so far. ApiError, Unreachable."""
        if self._clock() >= self._renew:
            async with self._asking:
                if self._clock() >= self._renew:
                    await self._renewed()
        return self._token

    def rejected(self, token: str) -> None:
        """The account is gone or another of its name, or the server has a new key."""
        if token == self._token:
            self._renew = self._end = 0.0

    async def _renewed(self) -> None:
        asked = self._clock()
        try:
            answer = await self._ask()
        except (errors.ApiError, errors.Unreachable) as error:
            if self._clock() >= self._end:
                raise
            log.warning("token of %s not renewed yet: %s", self._account, error)
            return
        life = int(answer["spec"]["expirationSeconds"])
        self._token = answer["status"]["token"]
        self._renew, self._end = asked + RENEW_AT * life, asked + life

    async def _ask(self) -> Obj:
        spec = {"audiences": [], "expirationSeconds": LIFETIME}
        wanted: Obj = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        where = {"name": self._account, "subresource": "token"}
        try:
            return await self._client.create(SERVICE_ACCOUNT, wanted, NAMESPACE, **where)
        except errors.NotFound:
            metadata = {"name": self._account, "namespace": NAMESPACE}
            account: Obj = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
            with contextlib.suppress(errors.AlreadyExists):
                await self._client.create(SERVICE_ACCOUNT, account)
        return await self._client.create(SERVICE_ACCOUNT, wanted, NAMESPACE, **where)


class Accounts:
    """A client for each account, all over the same connections. `client` is the process's own."""

    def __init__(self, client: Client, cluster: Cluster, agent: str) -> None:
        self._client = client
        self._agent = agent
        # Nobody: a certificate on the connection would go before the tokens.
        self._pool = Client.of(replace(cluster, cert=None, key=None, token=None, token_file=None), agent)
        self._clients: dict[str, Client] = {}

    def client_of(self, loop: str) -> Client:
        account = account_of(loop)
        client = self._clients.get(account)
        if client is None:
            user = f"system:serviceaccount:{NAMESPACE}:{account}"
            client = self._pool.bearing(Tokens(self._client, account), f"{self._agent}/{user}")
            self._clients[account] = client
        return client

    async def close(self) -> None:
        for client in (*self._clients.values(), self._pool):
            await client.close()
