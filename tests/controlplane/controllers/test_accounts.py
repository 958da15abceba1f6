"""Who the loops are: their accounts, their tokens, and what becomes of a token that is no good."""

import asyncio
from typing import cast

import pytest

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.kinds import CLUSTER_ROLE_BINDING, CONFIG_MAP, ROLE_BINDING, SERVICE_ACCOUNT
from controlplane.apiserver.authz import default_policy
from controlplane.controllers.accounts import NAMES, NAMESPACE, Tokens, account_of
from controlplane.controllers.loops import REGISTRY
from lab.certificates import POLICY
from tests.controlplane.apiserver import server

BOUND = {
    (subject["namespace"], subject["name"]): obj["roleRef"]["name"]
    for kind, obj in (*default_policy.objects(), *default_policy.parse_policy(POLICY.read_text(encoding="utf-8")))
    if kind in (CLUSTER_ROLE_BINDING, ROLE_BINDING)
    for subject in obj.get("subjects") or ()
    if subject["kind"] == "ServiceAccount"
}


# Upstream fills Secrets with tokens as the process, which alone may sign them.
@pytest.mark.parametrize("loop", [entry.name for entry in REGISTRY if not entry.as_process])
def test_every_loop_has_an_account_with_a_role_of_its_own(loop):
    account = account_of(loop)
    # What upstream has no role for has one in the lab's policy.
    assert BOUND[(NAMESPACE, account)] in (f"system:controller:{account}", f"wherry:{account}")


def test_only_loops_that_exist_are_renamed():
    assert set(NAMES) <= {entry.name for entry in REGISTRY}


class Server:
    """Gives out tokens as an API server does, and counts."""

    def __init__(self, *accounts):
        self.accounts = set(accounts)
        self.given = 0
        self.trouble = None

    async def create(self, kind, obj, namespace=None, *, name=None, subresource=None):
        if self.trouble is not None:
            raise self.trouble
        await asyncio.sleep(0)
        if subresource is None:
            self.accounts.add(obj["metadata"]["name"])
            return obj
        assert (kind, namespace, subresource) == (SERVICE_ACCOUNT, "kube-system", "token")
        if name not in self.accounts:
            raise errors.not_found("serviceaccounts", name)
        self.given += 1
        return {"spec": {"expirationSeconds": 1000}, "status": {"token": f"{name} {self.given}"}}


def test_a_token_is_asked_for_once_and_renewed_in_time():
    async def play():
        at, clock = Server("robot"), [0.0]
        tokens = Tokens(cast(Client, at), "robot", lambda: clock[0])
        assert set(await asyncio.gather(*(tokens.token() for _ in range(5)))) == {"robot 1"}
        clock[0] = 799
        assert await tokens.token() == "robot 1"
        clock[0] = 800
        at.trouble = errors.Unreachable("away")
        assert await tokens.token() == "robot 1"
        clock[0] = 1000
        with pytest.raises(errors.Unreachable):
            await tokens.token()
        at.trouble = None
        assert await tokens.token() == "robot 2"

    asyncio.run(play())


def test_a_missing_account_is_made():
    async def play():
        at = Server()
        assert await Tokens(cast(Client, at), "robot", lambda: 0.0).token() == "robot 1"
        assert at.accounts == {"robot"}

    asyncio.run(play())


def test_a_rejected_token_is_not_used_again_and_a_newer_one_is_kept():
    async def play():
        tokens = Tokens(cast(Client, Server("robot")), "robot", lambda: 0.0)
        first = await tokens.token()
        tokens.rejected(first)
        second = await tokens.token()
        assert second != first
        tokens.rejected(first)
        assert await tokens.token() == second

    asyncio.run(play())


def test_an_account_made_anew_gets_a_new_token(tmp_path):
    """Against the real server, over connections that two accounts share."""

    async def play(admin):
        plain = server.anonymous(tmp_path, admin)
        robot, other = (plain.bearing(Tokens(admin, name), name) for name in ("replicaset-controller", "other"))
        try:
            wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}}
            for client, user in ((robot, "replicaset-controller"), (other, "other")):
                with pytest.raises(errors.Forbidden, match=f"system:serviceaccount:kube-system:{user}"):
                    await client.create(CONFIG_MAP, wanted)
            await admin.delete(SERVICE_ACCOUNT, "other", "kube-system")
            with pytest.raises(errors.Unauthorized):
                await other.create(CONFIG_MAP, wanted)
            with pytest.raises(errors.Forbidden):
                await other.create(CONFIG_MAP, wanted)
        finally:
            for client in (robot, other, plain):
                await client.close()

    server.run(tmp_path, play)
