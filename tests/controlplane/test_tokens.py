"""Tokens in Secrets against the real API server: filled, believed, and ended with what they are of."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest

from apimachinery import bootstrap_tokens, errors
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP, SECRET, SELF_SUBJECT_REVIEW, SERVICE_ACCOUNT
from apimachinery.objects import Obj, name
from apimachinery.timestamps import format_time, now
from tests.controlplane.stage import Stage
from tests.controlplane.test_loops import play


async def whoami(at: Stage, token: str) -> str:
    client = Client(at.client.server, None, token=token)
    try:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await client.create(SELF_SUBJECT_REVIEW, review)
        return str(answer["status"]["userInfo"]["username"])
    finally:
        await client.close()


def test_a_secret_gets_a_token_that_lives_as_long_as_it(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        await at.client.create(SERVICE_ACCOUNT, {"metadata": {"name": "robot", "namespace": "default"}})
        meta = {"name": "robot", "namespace": "default", "annotations": {"kubernetes.io/service-account.name": "robot"}}
        kind = "kubernetes.io/service-account-token"
        await at.client.create(SECRET, {"metadata": meta, "type": kind})

        async def filled() -> str:
            data = (await at.client.get(SECRET, "robot", "default")).get("data") or {}
            return base64.b64decode(data.get("token") or "").decode()

        token = await at.until(filled)
        assert await whoami(at, token) == "system:serviceaccount:default:robot"

        async def noted() -> bool:
            found = (await at.client.get(SECRET, "robot", "default"))["metadata"].get("labels") or {}
            return bool(found.get("kubernetes.io/legacy-token-last-used") == now().strftime("%Y-%m-%d"))

        await at.until(noted)
        with pytest.raises(errors.ApiError, match="Unauthorized"):
            await whoami(at, token[:-4] + "AAAA")
        # A copy of the Secret with another token: the first is of no use any more.
        await at.client.patch(SECRET, "robot", {"data": {"token": base64.b64encode(b"other").decode()}}, "default")
        with pytest.raises(errors.ApiError, match="Unauthorized"):
            await whoami(at, token)
        await at.client.delete(SERVICE_ACCOUNT, "robot", "default")

        async def gone() -> bool:
            return not [s for s in (await at.client.list(SECRET, "default"))["items"] if name(s) == "robot"]

        await at.until(gone)

    play(tmp_path, scenario, nodes=0, service_account_key_file=tmp_path / "service-account.key")


def test_cluster_info_is_signed_while_its_token_lives(tmp_path: Path) -> None:
    async def scenario(at: Stage) -> None:
        info: Obj = {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "text"}}
        await at.client.create(CONFIG_MAP, info)
        data = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true"}
        data["expiration"] = format_time(now() + timedelta(seconds=3))
        meta = {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
        await at.client.create(SECRET, {"metadata": meta, "type": bootstrap_tokens.TYPE, "stringData": data})

        async def signature() -> str:
            found = await at.client.get(CONFIG_MAP, "cluster-info", "kube-public")
            return str(found["data"].get("jws-kubeconfig-abcdef") or "")

        assert bootstrap_tokens.is_signed("0123456789abcdef", "text", await at.until(signature))

        async def ended() -> bool:
            return not await signature() and not [
                s for s in (await at.client.list(SECRET, "kube-system"))["items"] if s["type"] == bootstrap_tokens.TYPE
            ]

        await at.until(ended)

    play(tmp_path, scenario, nodes=0)
