"""Secrets that hold tokens: what they lack, which may sign, when they end."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from apimachinery import bootstrap_tokens
from apimachinery.objects import Obj
from apimachinery.timestamps import format_time
from controlplane.apiserver.authn.legacy_token import INVALID_SINCE, LAST_USED
from controlplane.controllers.tokens import plan
from controlplane.controllers.tokens.unused import Verdict, is_tracked, mounted_by, verdict
from tests.controlplane.controllers.build import T0, pod

ACCOUNT: Obj = {"metadata": {"name": "robot", "namespace": "ns", "uid": "a"}, "secrets": [{"name": "s"}, {"name": "t"}]}


def secret(uid: str = "", **data: str) -> Obj:
    marks = {plan.ACCOUNT_NAME: "robot", **({plan.ACCOUNT_UID: uid} if uid else {})}
    meta = {"name": "s", "namespace": "ns", "annotations": marks}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"type": plan.ACCOUNT_TYPE, "metadata": meta, "data": {k.replace("_", "."): v for k, v in encoded.items()}}


LACKS = [
    (secret(), "CA", plan.Fill({"ca.crt": "CA", "namespace": "ns"}, token=True)),
    (secret(token="t"), "", plan.Fill({"namespace": "ns"}, token=False)),
    (secret(token="t", namespace="other", ca_crt="older"), "CA", plan.Fill({"ca.crt": "CA"}, token=False)),
    (secret(token="t", namespace="ns", ca_crt="CA"), "CA", None),
    (secret(token="t", namespace="ns"), "", None),
]


@pytest.mark.parametrize(("there", "certificate", "lacks"), LACKS)
def test_what_a_secret_lacks(there: Obj, certificate: str, lacks: plan.Fill | None) -> None:
    assert plan.fill(there, certificate) == lacks


def test_a_secret_is_filled_for_the_account_it_names_alone() -> None:
    made = plan.filled(secret(), ACCOUNT, plan.Fill({"namespace": "ns"}, token=True), "TOKEN")
    assert base64.b64decode(made["data"]["token"]) == b"TOKEN"
    assert made["metadata"]["annotations"] == {plan.ACCOUNT_NAME: "robot", plan.ACCOUNT_UID: "a"}
    assert plan.is_for(secret(), ACCOUNT) and plan.is_for(secret("a"), ACCOUNT)
    assert not plan.is_for(secret("b"), ACCOUNT) and not plan.is_for(secret(), None)
    assert plan.account_key(secret()) == "ns/robot"
    assert plan.account_key({**secret(), "type": "Opaque"}) == ""


def test_an_account_forgets_a_secret_that_is_gone() -> None:
    left = plan.without_reference(ACCOUNT, "s")
    assert left is not None and left["secrets"] == [{"name": "t"}]
    assert plan.without_reference(ACCOUNT, "other") is None


def bootstrap(ident: str = "abcdef", name: str = "", **data: str) -> Obj:
    given = {"token-id": ident, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", **data}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in given.items()}
    meta = {"name": name or f"bootstrap-token-{ident}", "namespace": "kube-system"}
    return {"type": bootstrap_tokens.TYPE, "metadata": meta, "data": encoded}


PAST = format_time(T0 - timedelta(seconds=1))
SIGNS = [
    (bootstrap(), True),
    (bootstrap(expiration=format_time(T0 + timedelta(hours=1))), True),
    (bootstrap(expiration=PAST), False),
    (bootstrap(expiration="soon"), False),
    (bootstrap(name="other"), False),
    (bootstrap(**{"usage-bootstrap-signing": "yes"}), False),
    (bootstrap(**{"token-secret": ""}), False),
    ({**bootstrap(), "type": "Opaque"}, False),
]


@pytest.mark.parametrize(("there", "signs"), SIGNS)
def test_which_tokens_sign(there: Obj, signs: bool) -> None:
    assert bool(plan.signing([there], T0)) is signs


def test_cluster_info_has_a_signature_of_each_token_and_no_other() -> None:
    info: Obj = {"metadata": {}, "data": {"kubeconfig": "text", "jws-kubeconfig-gone00": "x", "other": "kept"}}
    made = plan.signed(info, {"abcdef": "0123456789abcdef"})
    assert made is not None
    assert made["data"].keys() == {"kubeconfig", "other", "jws-kubeconfig-abcdef"}
    assert bootstrap_tokens.is_signed("0123456789abcdef", "text", made["data"]["jws-kubeconfig-abcdef"])
    assert not bootstrap_tokens.is_signed("0123456789abcdef", "texts", made["data"]["jws-kubeconfig-abcdef"])
    assert plan.signed(made, {"abcdef": "0123456789abcdef"}) is None
    assert plan.signed({"metadata": {}, "data": {}}, {"abcdef": "x"}) is None


def test_when_a_token_ends() -> None:
    assert plan.ends_in(bootstrap(), T0) is None
    assert plan.ends_in(bootstrap(expiration=format_time(T0 + timedelta(minutes=1))), T0) == 60.0
    assert plan.ends_in(bootstrap(expiration=PAST), T0) == plan.ends_in(bootstrap(expiration="soon"), T0) == 0.0


YEAR = timedelta(days=365)
LATER = T0 + 3 * YEAR


def old(found: dict[str, str] | None = None, age: timedelta = 2 * YEAR) -> Obj:
    made = secret("a")
    made["metadata"] |= {"creationTimestamp": format_time(LATER - age), "labels": found or {}}
    return made


def on(age: timedelta) -> str:
    return (LATER - age).strftime("%Y-%m-%d")


VERDICTS = [
    (old(), ACCOUNT, False, Verdict.MARK),
    (old(), ACCOUNT, True, Verdict.KEEP),
    # Made by a person: no account lists it.
    (old(), {**ACCOUNT, "secrets": []}, False, Verdict.KEEP),
    (old(), None, False, Verdict.KEEP),
    (old(age=YEAR - timedelta(days=1)), ACCOUNT, False, Verdict.KEEP),
    (old({LAST_USED: on(YEAR)}), ACCOUNT, False, Verdict.KEEP),
    (old({LAST_USED: on(YEAR + timedelta(days=1))}), ACCOUNT, False, Verdict.MARK),
    (old({LAST_USED: "long ago"}), ACCOUNT, False, Verdict.KEEP),
    (old({INVALID_SINCE: on(YEAR)}), ACCOUNT, False, Verdict.KEEP),
    (old({INVALID_SINCE: on(YEAR + timedelta(days=1))}), ACCOUNT, False, Verdict.REMOVE),
    (old({INVALID_SINCE: on(2 * YEAR), LAST_USED: on(timedelta(1))}), ACCOUNT, False, Verdict.KEEP),
    (old({INVALID_SINCE: "someday"}), ACCOUNT, False, Verdict.MARK),
]


@pytest.mark.parametrize(("there", "account", "mounted", "wanted"), VERDICTS)
def test_an_unused_token_is_marked_and_goes_as_much_later(
    there: Obj, account: Obj | None, mounted: bool, wanted: Verdict
) -> None:
    assert verdict(there, account, mounted, LATER, YEAR) is wanted


def test_use_must_have_been_written_down_for_as_long() -> None:
    assert not is_tracked(None, LATER, YEAR)
    assert not is_tracked(on(YEAR), LATER, YEAR)
    assert is_tracked(on(YEAR + timedelta(days=1)), LATER, YEAR)


def test_a_pod_keeps_the_secrets_it_uses() -> None:
    uses = pod("p", imagePullSecrets=[{"name": "pull"}], volumes=[{"name": "v", "secret": {"secretName": "s"}}])
    assert mounted_by([uses]) == {"default/pull", "default/s"}
