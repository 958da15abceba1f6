"""What is refused of signing requests and of verdicts on them."""

from __future__ import annotations

import base64
import datetime
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.controlplane.apiserver.rules.cases import Obj, expect, put, teller, told

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "u")])


@cache
def asked() -> str:
    made = x509.CertificateSigningRequestBuilder().subject_name(NAME)
    signed = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


@cache
def issued() -> str:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime(2026, 1, 1)
    made = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    return base64.b64encode(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)).decode()


def block(kind: str, text: str = "YQ==") -> str:
    return base64.b64encode(f"-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n".encode()).decode()


def request(**status: Any) -> Obj:
    obj: Obj = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "r"}}
    obj["spec"] = {"request": asked(), "signerName": "a.b/c", "usages": ["client auth"]}
    return {**obj, "status": status} if status else obj


def verdicts(*kinds: str) -> list[Obj]:
    return [{"type": kind, "status": "True"} for kind in kinds]


LABEL = "a lowercase RFC 1123 label must consist of"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"spec.request": "eA=="}, ['spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST']),
        ({"spec.request": ""}, ['spec.request: Invalid value: "": PEM block type must be CERTIFICATE REQUEST']),
        ({"spec.request": None}, ["spec.request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST"]),
        ({"spec.usages": []}, ["spec.usages: Required value"]),
        (
            {"spec.usages": ["any", "any", "odd"]},
            [
                'spec.usages[2]: Unsupported value: "odd": supported values: "any", "cert sign"',
                'spec.usages[1]: Duplicate value: "any"',
            ],
        ),
        (
            {"spec.signerName": "kubernetes.io/legacy-unknown"},
            ['spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed'],
        ),
        ({"spec.signerName": ""}, ["spec.signerName: Required value"]),
        (
            {"spec.signerName": "a.b"},
            ['spec.signerName: Invalid value: "a.b": must be a fully qualified domain and path'],
        ),
        (
            {"spec.signerName": 'a.b/"'},
            ['spec.signerName: Invalid value: "\\"": validating label "\\"": a lowercase RFC 1123'],
        ),
        (
            {"spec.signerName": "a/b"},
            ['spec.signerName: Invalid value: "a": should be a domain with at least two segm'],
        ),
        (
            {"spec.signerName": "A.B/C"},
            [
                f'spec.signerName: Invalid value: "A.B": validating label "A": {LABEL}',
                'spec.signerName: Invalid value: "C": validating label "C": a lowercase RFC 1123 subdomain must',
            ],
        ),
        ({"spec.expirationSeconds": 599}, ["spec.expirationSeconds: Invalid value: 599: may not specify a duration"]),
    ],
)
def test_requests(changes: Obj, wanted: list[str]) -> None:
    expect(teller(request())(changes), wanted)


def test_a_request_is_signed_by_whoever_asks() -> None:
    forged = bytearray(base64.b64decode("".join(base64.b64decode(asked()).decode().splitlines()[1:-1])))
    forged[-1] ^= 1
    text = (
        f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.b64encode(forged).decode()}\n-----END CERTIFICATE REQUEST-----\n"
    )
    (found,) = teller(request())({"spec.request": base64.b64encode(text.encode()).decode()})
    assert found.endswith(": x509: ECDSA verification failure")


def test_what_was_let_in_earlier_is_not_held_against_a_change() -> None:
    old = put(request(), {"spec.usages": ["odd", "odd"], "spec.signerName": "kubernetes.io/legacy-unknown"})
    assert len(told(old)) == 4
    assert told(put(old, {"metadata.labels": {"a": "b"}}), old) == []


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        (verdicts("Approved"), []),
        (
            verdicts("Approved", "Denied"),
            ['status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'],
        ),
        (verdicts("Approved", "Approved"), ['status.conditions[1].type: Duplicate value: "Approved"']),
        (
            [{"type": "Approved", "status": "False"}, {"type": "X"}],
            [
                'status.conditions[0].status: Unsupported value: "False": supported values: "True"',
                "status.conditions[1].status: Required value",
            ],
        ),
    ],
)
def test_verdicts(conditions: list[Obj], wanted: list[str]) -> None:
    expect(told(request(conditions=conditions), request(), "approval"), wanted)


def test_verdicts_stay_and_are_given_in_one_way() -> None:
    new, approved = request(), request(conditions=verdicts("Approved"))
    where = "status.conditions: Forbidden: updates may not"
    for part in ("", "status", "approval"):
        assert told(new, approved, part) == [f'{where} remove a condition of type "Approved"']
    for part in ("", "status"):
        assert told(approved, new, part) == [f'{where} add a condition of type "Approved"']
    reasoned = put(approved, {"status.conditions.0.reason": "r"})
    assert told(reasoned, approved, "status") == [f'{where} modify a condition of type "Approved"']


def test_a_certificate_is_pem_and_stays() -> None:
    new, done = request(), request(certificate=issued())
    assert told(done, new, "status") == []
    where = "status.certificate"
    der = x509.load_pem_x509_certificate(base64.b64decode(issued())).public_bytes(serialization.Encoding.DER)
    later = base64.b64encode(der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020105"), 1)).decode()
    for part in ("", "approval"):
        assert told(done, new, part) == [f"{where}: Forbidden: updates may not set certificate content"]
    assert told(new, done, "status") == [f"{where}: Forbidden: updates may not modify existing certificate content"]
    for given, why in (
        (block("PRIVATE KEY"), 'only CERTIFICATE PEM blocks are allowed, found "PRIVATE KEY"'),
        (block("CERTIFICATE"), "x509: malformed certificate"),
        (block("CERTIFICATE", later), "x509: invalid version"),
        (block("CERTIFICATE", "A: b\n\nYQ=="), "no PEM block headers are permitted"),
        ("eA==", "must contain at least one CERTIFICATE PEM block"),
    ):
        assert told(request(certificate=given), new, "status") == [
            f'{where}: Invalid value: "<certificate data>": {why}'
        ]
