"""What a cluster of machines shows to those who come: its DNS Service, its default StorageClass, and where and who it
is (`cluster-info`).

Source: kubernetes.io "Authenticating with Bootstrap Tokens", ConfigMap signing.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import yaml

from apimachinery import errors, kubeconfig
from apimachinery.bootstrap_tokens import SECRET_PREFIX
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP, SECRET
from lab import dns, storage
from lab.certificates import LAB
from lab.paths import Paths
from lab.spec import Spec
from lab.standalone import tokens
from lab.standalone.join import INFO, INFO_NAMESPACE
from lab.standalone.machine import HOME
from lab.standalone.tokens import Token

READY_SECONDS = 10.0
# A slow machine (an emulated one) takes minutes.
START_SECONDS = 600.0


def cluster_info(server: str, ca: bytes) -> str:
    """A kubeconfig without a user."""
    document = kubeconfig.document(kubeconfig.Cluster(server, ca=ca), "")
    return str(yaml.safe_dump(document | {"users": [], "contexts": [], "current-context": ""}, sort_keys=False))


@asynccontextmanager
async def administrator(home: Paths = HOME) -> AsyncIterator[Client]:
    """A client as the cluster's administrator."""
    client = Client.from_kubeconfig(home.kubeconfig, user_agent="wherry-token")
    try:
        yield client
    finally:
        await client.close()


async def all_of(spec: Spec, token: Token | None, home: Paths = HOME) -> None:
    """Wait for the API server, then publish, and let who has `token` join. Raises what the API server says against
    it, or that it does not answer.
    """
    client = Client.from_kubeconfig(home.settings / LAB.file, user_agent="wherry-publish")
    try:
        await when_ready(client, START_SECONDS)
        await publish(spec, (home.pki / "ca.crt").read_bytes(), client)
    finally:
        await client.close()
    if token is not None:
        async with administrator(home) as client:
            await admit(client, token, hours=0)


async def publish(spec: Spec, ca: bytes, client: Client) -> None:
    """Make or mend all of it. Raises what the API server says against it."""
    if spec.dns == "builtin":
        await dns.publish(spec, client)
    await storage.publish(client)
    text = cluster_info(spec.server, ca)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": INFO_NAMESPACE, "name": INFO}}
    try:
        await client.create(CONFIG_MAP, {**body, "data": {"kubeconfig": text}})
    except errors.AlreadyExists:
        found = await client.get(CONFIG_MAP, INFO, INFO_NAMESPACE)
        if (found.get("data") or {}).get("kubeconfig") != text:
            # Signatures were of the text before.
            await client.patch(CONFIG_MAP, INFO, {"data": {"kubeconfig": text}}, INFO_NAMESPACE)


async def when_ready(client: Client, seconds: float) -> None:
    """Return when the API server says that it is. errors.Unreachable or ApiError after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            await client.request("GET", "/readyz", timeout=READY_SECONDS)
        except (errors.Unreachable, errors.ApiError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def admitted(client: Client) -> list[tuple[str, str]]:
    """The tokens' IDs and when they end."""
    found = await client.list(SECRET, tokens.NAMESPACE, field_selector=f"type={tokens.TYPE}")
    return [_described(secret) for secret in found["items"]]


def _described(secret: dict[str, Any]) -> tuple[str, str]:
    data = secret.get("data") or {}
    ident, ends = (base64.b64decode(data.get(key, "")).decode() for key in ("token-id", "expiration"))
    return ident, ends or "never"


async def admit(client: Client, token: Token, hours: float) -> None:
    """Let who has the token join, for so many hours (0: for good); a token of that ID is made anew."""
    now = datetime.datetime.now(datetime.timezone.utc)
    secret: dict[str, Any] = tokens.secret(token, now + datetime.timedelta(hours=hours) if hours else None)
    try:
        await client.create(SECRET, secret)
    except errors.AlreadyExists:
        await client.patch(SECRET, secret["metadata"]["name"], secret, tokens.NAMESPACE)
    found = await client.get(CONFIG_MAP, INFO, INFO_NAMESPACE)
    signature = tokens.sign(token, (found.get("data") or {}).get("kubeconfig", ""))
    await client.patch(CONFIG_MAP, INFO, {"data": {tokens.SIGNATURE + token.ident: signature}}, INFO_NAMESPACE)


async def revoke(client: Client, ident: str) -> None:
    """Let nobody join with the token of that ID any more. errors.NotFound when there is none."""
    await client.delete(SECRET, f"{SECRET_PREFIX}{ident}", tokens.NAMESPACE)
    with contextlib.suppress(errors.NotFound):
        await client.patch(CONFIG_MAP, INFO, {"data": {tokens.SIGNATURE + ident: None}}, INFO_NAMESPACE)
