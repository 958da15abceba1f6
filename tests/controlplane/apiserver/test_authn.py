import asyncio
import datetime
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from multidict import CIMultiDict

from apimachinery import pki
from apimachinery.errors import BadRequest, Forbidden, Unauthorized
from controlplane.apiserver.authn import certificates, impersonation, keys, legacy_token, service_account, token_file
from controlplane.apiserver.authn.authenticator import (
    Authenticator,
    TokenSettings,
    bearer_tokens,
    is_spaced,
    without_token,
)
from controlplane.apiserver.authn.impersonation import Wanted
from controlplane.apiserver.authz.chain import refusal
from controlplane.apiserver.request import Attributes, Decision, Request, User
from controlplane.apiserver.resources import builtin

ISSUER = "https://issuer.example.com"
NOW = 1_800_000_000


class Transport:
    def __init__(self, subject=()):
        self.subject = subject

    def get_extra_info(self, name):
        return {"subject": self.subject} if name == "peercert" and self.subject else None


def request(headers=(), transport=None):
    class Headers(dict):
        def get(self, key, default=None):
            return next((v for k, v in self.items() if k.lower() == key.lower()), default)

    nothing: Any = None
    return Request(
        method="GET", path="/", verb="get", group="", version="", resource="", subresource="", namespace="",
        name="", tail="", kind=None, query={}, raw_query="", headers=Headers(headers), user=nothing, body=nothing,
        stream=nothing, transport=transport, catalog=builtin.catalog(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def signing():
    return keys.load_signing_key(pki.service_account_key())


@pytest.fixture
def objects():
    return {
        ("ServiceAccount", "ns", "robot"): {"metadata": {"name": "robot", "uid": "sa-1"}},
        ("Pod", "ns", "p"): {"metadata": {"name": "p", "uid": "pod-1"}},
    }


@pytest.fixture
def authenticator(signing, objects):
    async def authorize(user, wanted):
        return Decision(user.name == "root", "" if user.name == "root" else "no way")

    tokens = TokenSettings((ISSUER,), (ISSUER,), {signing.public.key_id: signing.public}, lambda *key: objects.get(key))
    return Authenticator(tokens, {"s3cret": User("root", "u1", ("g1",))}, authorize, refusal)


def ask(authenticator, asked):
    return asyncio.run(authenticator(asked))


def grant(**changes):
    now = int(datetime.datetime.now().timestamp())
    values = {
        "namespace": "ns", "name": "robot", "uid": "sa-1", "audiences": (ISSUER,), "issued": now,
        "expires": now + 600,
        "warn_after": 0, "token_id": "id-1", "bound": service_account.Bound(pod_name="p", pod_uid="pod-1"),
    }  # fmt: skip
    return service_account.Grant(**{**values, **changes})


def token(signing, **changes):
    return service_account.sign(signing, service_account.claims(ISSUER, grant(**changes)))


def bearer(value):
    return {"Authorization": f"Bearer {value}"}


def test_certificate_gives_common_name_and_every_organization():
    subject = (
        (("organizationName", "system:nodes"),),
        (("organizationName", "b"),),
        (("commonName", "system:node:a"),),
    )
    user = certificates.user_of({"subject": subject}, b"der")
    assert user is not None
    assert (user.name, user.groups) == ("system:node:a", ("system:nodes", "b"))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")
    assert certificates.user_of({"subject": ((("organizationName", "x"),),)}) is None


def test_token_file_reads_quoted_groups_and_names_bad_lines():
    users = token_file.parse(["# comment", "", 't1,ann,1,"a,b"', "t2,bob,2"])
    assert users["t1"] == User("ann", "1", ("a", "b"))
    assert users["t2"].groups == ()
    with pytest.raises(token_file.TokenFileError, match="entry 1"):
        token_file.parse(["only,two"])
    with pytest.raises(token_file.TokenFileError, match="twice"):
        token_file.parse(["t,a,1", "t,b,2"])


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_key_set_verifies_what_the_key_signed(algorithm, signing):
    pem = pki.service_account_key() if algorithm == "RS256" else pki.new_ca("x").key_pem
    key = keys.load_signing_key(pem)
    assert key.public.algorithm == algorithm
    text = service_account.sign(key, service_account.claims(ISSUER, grant()))
    found = jwt.PyJWKSet.from_dict(keys.key_set((key.public,)))[key.public.key_id]
    assert (
        jwt.decode(text, found.key, algorithms=[algorithm], audience=ISSUER)["sub"] == "system:serviceaccount:ns:robot"
    )
    with pytest.raises(service_account.TokenInvalid):
        service_account.verify(text, {"k": signing.public}, (ISSUER,), (ISSUER,))


def test_why_a_token_is_nobody_s_is_said_as_upstream_says_it(authenticator, signing, objects):
    def why(text, **changes):
        with pytest.raises(service_account.TokenInvalid) as refused:
            authenticator.named_by(text or token(signing, **changes))
        return str(refused.value)

    now = int(datetime.datetime.now().timestamp())
    others = keys.load_signing_key(pki.service_account_key())
    payload = service_account.claims(ISSUER, grant())
    forged = replace(others, public=replace(others.public, key_id=signing.public.key_id))
    assert why(service_account.sign(signing, {**payload, "iss": "others"})) == ""
    assert why(service_account.sign(others, payload)) == "invalid signature, no keys found"
    assert why(service_account.sign(forged, payload)) == "go-jose/go-jose: error in cryptographic primitive"
    assert why("", expires=now - 5) == "service account token has expired"
    assert why("", issued=now + 500) == "service account token is not valid yet"
    theirs = f'token audiences ["a" "b"] is invalid for the target audiences ["{ISSUER}"]'
    assert why("", audiences=("a", "b")) == theirs
    other = service_account.Bound(pod_name="p", pod_uid="pod-2")
    assert why("", bound=other) == "pod UID (pod-1) does not match service account pod ref claim (pod-2)"
    assert why("", uid="sa-2") == "service account UID (sa-1) does not match claim (sa-2)"
    objects["Pod", "ns", "p"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert why("") == "service account token has been invalidated"
    del objects["Pod", "ns", "p"]
    assert why("") == "service account token has been invalidated"
    objects["ServiceAccount", "ns", "robot"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert why("") == "service account ns/robot has been deleted"


def test_a_key_whose_numbers_do_not_belong_together_is_refused():
    good = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
    bad = rsa.RSAPrivateNumbers(
        good.p, good.q, good.d ^ 2, good.dmp1 ^ 2, good.dmq1, good.iqmp, good.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    plain = serialization.NoEncryption()
    pem = bad.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    with pytest.raises(keys.KeyFileError):
        keys.load_signing_key(pem)


def test_key_file_that_is_no_key():
    with pytest.raises(keys.KeyFileError):
        keys.load_signing_key(b"nonsense")


def test_service_account_token_names_account_groups_and_pod(authenticator, signing):
    user = ask(authenticator, request(bearer(token(signing))))
    assert user.name == "system:serviceaccount:ns:robot"
    assert user.uid == "sa-1"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert user.extra["authentication.kubernetes.io/credential-id"] == ("JTI=id-1",)


@pytest.mark.parametrize(
    "changes",
    [
        {"audiences": ("someone else",)},
        {"expires": 1},
        {"uid": "an older account"},
        {"name": "gone"},
        {"bound": service_account.Bound(pod_name="p", pod_uid="an older pod")},
        {"bound": service_account.Bound(secret_name="gone")},
    ],
)
def test_tokens_that_are_no_good(authenticator, signing, changes):
    with pytest.raises(Unauthorized):
        ask(authenticator, request(bearer(token(signing, **changes))))


def test_a_token_is_taken_apart_once_not_for_each_request(authenticator, signing, monkeypatch):
    taken_apart = []

    def is_one(text):
        taken_apart.append(text)
        return False

    monkeypatch.setattr(legacy_token, "is_one", is_one)
    text = token(signing)
    for _ in range(3):
        assert authenticator.user_of_token(text) is not None
    assert taken_apart == [text]


def test_token_dies_with_its_pod_though_its_signature_was_cached(authenticator, signing, objects):
    text = token(signing)
    assert ask(authenticator, request(bearer(text)))
    del objects[("Pod", "ns", "p")]
    with pytest.raises(Unauthorized):
        ask(authenticator, request(bearer(text)))


def test_deleted_pod_keeps_its_token_for_a_minute(authenticator, signing, objects):
    now = datetime.datetime.now(datetime.timezone.utc)
    text = token(signing)
    for seconds, good in ((30, True), (90, False)):
        stamp = (now - datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        objects[("Pod", "ns", "p")]["metadata"]["deletionTimestamp"] = stamp
        assert (authenticator.user_of_token(text) is not None) == good


def test_unsigned_token_is_refused(authenticator):
    no_key: Any = None
    forged = jwt.encode(service_account.claims(ISSUER, grant()), no_key, algorithm="none")
    with pytest.raises(Unauthorized):
        ask(authenticator, request(bearer(forged)))


def test_a_certificate_goes_before_any_token(authenticator, signing):
    root = Transport(((("commonName", "root"),),))
    for value in (token(signing), "wrong"):
        assert ask(authenticator, request(bearer(value), root)).name == "root"
    with pytest.raises(Unauthorized):
        ask(authenticator, request(bearer("wrong"), Transport()))


def test_no_credentials_is_anonymous(authenticator):
    user = ask(authenticator, request())
    assert (user.name, user.groups) == ("system:anonymous", ("system:unauthenticated",))


def test_impersonation_needs_permission_for_every_part(authenticator):
    headers = {**bearer("s3cret"), "Impersonate-User": "ann", "Impersonate-Group": "g"}
    assert (ask(authenticator, request(headers))).groups == ("g", "system:authenticated")
    with pytest.raises(
        Forbidden, match='users "ann" is forbidden: User "system:anonymous" cannot impersonate resource'
    ):
        ask(authenticator, request({"Impersonate-User": "ann"}))
    refused = 'forbidden: User "system:anonymous" cannot impersonate-on:user-info:get path "/"'
    with pytest.raises(Forbidden, match=refused):
        ask(replace(authenticator, constrained=True), request({"Impersonate-User": "ann"}))


TOKEN = "base64url.bearer.authorization.k8s.io.czNjcmV0"


def offering(*lines):
    """What a browser sends that asks for a WebSocket and offers protocols."""
    offers = [("Sec-WebSocket-Protocol", line) for line in lines]
    return CIMultiDict([("Upgrade", "websocket"), ("Connection", "keep-alive, Upgrade"), *offers])


@pytest.mark.parametrize(
    ("lines", "token"),
    [
        ((f"{TOKEN}, v5.channel.k8s.io",), "s3cret"),
        (("v5.channel.k8s.io", TOKEN), "s3cret"),
        (("v5.channel.k8s.io",), ""),
        ((TOKEN[: TOKEN.rindex(".") + 1],), ""),
    ],
)
def test_browser_names_its_token_among_the_protocols(lines, token):
    assert "".join(bearer_tokens(offering(*lines))) == token
    assert not any("bearer" in without_token(line) for line in lines)


@pytest.mark.parametrize(
    "lines",
    [
        (TOKEN,),
        (f"{TOKEN}, {TOKEN}, v5.channel.k8s.io",),
        (TOKEN, f"{TOKEN}, v5.channel.k8s.io"),
        (f"{TOKEN}=, v5.channel.k8s.io",),
        (f"{TOKEN}+, v5.channel.k8s.io",),
        (f"{TOKEN}a, v5.channel.k8s.io",),
        (f"{TOKEN[:-8]}__8, v5.channel.k8s.io",),
    ],
)
def test_what_is_no_single_token_beside_another_protocol_is_refused(lines):
    with pytest.raises(Unauthorized):
        list(bearer_tokens(offering(*lines)))


def test_a_token_among_protocols_is_one_where_a_websocket_is_asked_for():
    assert not list(bearer_tokens({"Sec-WebSocket-Protocol": f"{TOKEN}, v5.channel.k8s.io"}))


@pytest.mark.parametrize(
    ("header", "protocol", "name"),
    [("nobody", TOKEN, "root"), ("s3cret", TOKEN + "a", "root"), ("nobody", TOKEN + "a", ""), ("nobody", "none", "")],
)
def test_a_token_in_a_header_that_is_no_good_keeps_no_other_from_being_tried(authenticator, header, protocol, name):
    headers = offering(f"{protocol}, v5.channel.k8s.io")
    headers["Authorization"] = f"Bearer {header}"
    if name:
        assert ask(authenticator, request(headers)).name == name
    else:
        with pytest.raises(Unauthorized):
            ask(authenticator, request(headers))


@pytest.mark.parametrize(
    ("header", "token", "spaced"),
    [
        ("Bearer a", "a", False),
        (" bearer a b", "a", False),
        ("Bearer  a", "", True),
        ("Bearer", "", False),
        ("Basic  a", "", False),
    ],
)
def test_a_token_stands_behind_one_space(header, token, spaced):
    assert ("".join(bearer_tokens({"Authorization": header})), is_spaced({"Authorization": header})) == (token, spaced)


def test_impersonation_headers():
    wanted = impersonation.parse(
        [("Impersonate-User", "a"), ("impersonate-extra-a%2Fb", "c"), ("Impersonate-Uid", "7")]
    )
    assert wanted is not None
    assert (wanted.name, wanted.uid, dict(wanted.extra)) == ("a", "7", {"a/b": ("c",)})
    assert impersonation.parse([("Accept", "x"), ("Impersonate-User", "")]) is None
    with pytest.raises(BadRequest, match=r'Groups:\[\]string\{"x"\}.* without impersonating a user name'):
        impersonation.parse([("Impersonate-Group", "x")])


def way_taken(wanted, asked, *allowed, requestor=None):
    """The user of the first way that is open to one who may do what is said, as verb, group, resource/part and name."""
    requestor = requestor or User("ann")
    may = set(allowed)

    def is_allowed(question):
        what = f"{question.resource}/{question.subresource}" if question.subresource else question.resource
        return f"{question.verb} {question.group} {what} {question.name}".replace("  ", " ").strip() in may

    for way in impersonation.ways(wanted, requestor, asked):
        if not any(
            step.refusal or not ((step.instead and is_allowed(step.instead)) or all(map(is_allowed, step.questions)))
            for step in way.steps
        ):
            return way.user
    return None


LIST_PODS = Attributes(verb="list", version="v1", resource="pods", namespace="ns")
AUTHN = "authentication.k8s.io"
BOB = f"impersonate:user-info {AUTHN} users bob"
ON_PODS = "impersonate-on:user-info:list pods"
MASTERS = "system:masters"
ACCOUNT, ACCOUNTS = "system:serviceaccount:ns:a", ("system:serviceaccounts", "system:serviceaccounts:ns")


@pytest.mark.parametrize(
    ("wanted", "allowed", "groups"),
    [
        (Wanted("bob"), ["impersonate users bob"], ()),
        (Wanted("bob"), [ON_PODS, BOB], ()),
        # Both halves are needed, and the request must be the one that was asked about.
        (Wanted("bob"), [ON_PODS], None),
        (Wanted("bob"), [BOB], None),
        (Wanted("bob"), ["impersonate-on:user-info:get pods", BOB], None),
        (
            Wanted("bob", ("g",), "7", {"example.com/scope": ("view",)}),
            [
                ON_PODS,
                BOB,
                f"impersonate:user-info {AUTHN} uids 7",
                f"impersonate:user-info {AUTHN} groups g",
                f"impersonate:user-info {AUTHN} userextras/example.com/scope view",
            ],
            ("g",),
        ),
        # No constrained mode makes anybody a master, the old way may.
        (Wanted("bob", (MASTERS,)), [ON_PODS, BOB, f"impersonate:user-info {AUTHN} groups {MASTERS}"], None),
        (Wanted("bob", (MASTERS,)), ["impersonate users bob", f"impersonate groups {MASTERS}"], (MASTERS,)),
        # Many groups are asked for together first.
        (Wanted("bob", tuple("abcd")), [ON_PODS, BOB, f"impersonate:user-info {AUTHN} groups *"], tuple("abcd")),
        # A node has its group in the new way alone, and nothing else may be said of it there.
        (
            Wanted("system:node:n1"),
            ["impersonate-on:arbitrary-node:list pods", f"impersonate:arbitrary-node {AUTHN} nodes n1"],
            ("system:nodes",),
        ),
        (Wanted("system:node:n1"), ["impersonate users system:node:n1"], ()),
        (
            Wanted("system:node:n1", ("g",)),
            ["impersonate-on:arbitrary-node:list pods", f"impersonate:arbitrary-node {AUTHN} nodes n1"],
            None,
        ),
        (
            Wanted(ACCOUNT),
            ["impersonate-on:serviceaccount:list pods", f"impersonate:serviceaccount {AUTHN} serviceaccounts a"],
            ACCOUNTS,
        ),
        (Wanted(ACCOUNT), ["impersonate serviceaccounts a"], ACCOUNTS),
    ],
)
def test_ways_to_impersonate(wanted, allowed, groups):
    user = way_taken(wanted, LIST_PODS, *allowed)
    assert (user and user.groups) == (None if groups is None else (*groups, "system:authenticated"))


def test_a_pod_may_be_let_act_as_the_node_that_it_is_on_and_as_no_other():
    on = {"authentication.kubernetes.io/node-name": ("n1",), "authentication.kubernetes.io/pod-name": ("p",)}
    agent = User(ACCOUNT, extra=on)
    allowed = ["impersonate-on:associated-node:list pods", f"impersonate:associated-node {AUTHN} nodes *"]
    user = way_taken(Wanted("system:node:n1"), LIST_PODS, *allowed, requestor=agent)
    assert user is not None and (user.name, user.groups) == ("system:node:n1", ("system:nodes", "system:authenticated"))
    assert way_taken(Wanted("system:node:n2"), LIST_PODS, *allowed, requestor=agent) is None
    assert way_taken(Wanted("system:node:n1"), LIST_PODS, *allowed, requestor=User("ann", extra=on)) is None
    first = next(iter(impersonation.ways(Wanted("system:node:n1"), agent, LIST_PODS)))
    assert first.asker.extra == {"authentication.kubernetes.io/associated-node-keys": tuple(sorted(on))}


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        (
            {"scopes": ("view",)},
            'impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "scopes": '
            'must be a domain-prefixed path (such as "acme.io/foo")',
        ),
        ({"": ("a",)}, "impersonating the empty string key in extra is not allowed"),
        ({"a.b/c": ("",)}, "impersonating the empty string value in extra is not allowed"),
        ({"a.b/c": ("d",)}, ""),
    ],
)
def test_what_the_constrained_modes_do_not_let_in(extra, why):
    constrained, old = impersonation.ways(Wanted("bob", extra=extra), User("ann"), LIST_PODS)
    assert [old] == list(impersonation.ways(Wanted("bob", extra=extra), User("ann"), None))
    assert [step.refusal for step in constrained.steps][-1] == why
    assert not any(step.refusal for step in old.steps)
