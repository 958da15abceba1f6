"""Bootstrap tokens: good while their Secret says so, and for nothing else."""

from __future__ import annotations

import base64
import datetime

import pytest

from apimachinery.timestamps import format_time
from controlplane.apiserver.authn import bootstrap_token

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
TOKEN = "abcdef.0123456789abcdef"


def stored(kind: str = bootstrap_token.TYPE, **changes: str):
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "expiration": format_time(NOW + datetime.timedelta(seconds=1)),
        "auth-extra-groups": "system:bootstrappers:worker, system:bootstrappers:ingress",
        **{key.replace("_", "-"): value for key, value in changes.items()},
    }
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"type": kind, "metadata": {"name": "bootstrap-token-abcdef"}, "data": encoded}


def ask(secret, token: str = TOKEN):
    objects = {("Secret", "kube-system", "bootstrap-token-abcdef"): secret}
    return bootstrap_token.user_of(token, lambda *key: objects.get(key), NOW.timestamp())


def test_a_good_token_is_its_id_and_its_groups():
    user = ask(stored())
    assert user is not None
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == ("system:bootstrappers", "system:bootstrappers:ingress", "system:bootstrappers:worker")


def test_one_without_an_end_does_not_end():
    assert ask(stored(expiration="")) is not None


@pytest.mark.parametrize(
    "secret",
    [
        None,
        stored("Opaque"),
        stored(token_secret="0123456789abcdee"),
        stored(token_secret=""),
        stored(token_id="abcdee"),
        stored(usage_bootstrap_authentication="false"),
        stored(expiration=format_time(NOW)),
        stored(expiration="tomorrow"),
        stored(auth_extra_groups="system:masters"),
        stored(auth_extra_groups="system:bootstrappers:a,cluster-admins"),
        {**stored(), "metadata": {"name": "bootstrap-token-abcdef", "deletionTimestamp": format_time(NOW)}},
        {**stored(), "data": {"token-secret": "%%%"}},
        {**stored(), "data": None},
    ],
)
def test_any_other_is_nobody(secret):
    assert ask(secret) is None


@pytest.mark.parametrize("token", ["", "abcdef", TOKEN + "\n", TOKEN.upper(), "abcdef.0123456789abcdef0", "a.b"])
def test_what_does_not_look_like_one_is_not_looked_up(token: str):
    def lookup(*_):
        raise AssertionError("looked up")

    assert bootstrap_token.user_of(token, lookup, 0.0) is None
