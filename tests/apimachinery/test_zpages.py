"""/statusz and /flagz: what they say, and in which form."""

import json
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from apimachinery import component, zpages
from apimachinery.kit import births
from apimachinery.version import GIT_VERSION
from apimachinery.zpages import FLAGZ, STATUSZ, Component

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
NOW = STARTED + timedelta(hours=25, minutes=2, seconds=3)
OBJECT = "application/json;as={};v={};g=config.k8s.io"


@dataclass(frozen=True)
class Inner:
    lease_duration: float = 15.0


@dataclass(frozen=True)
class Settings:
    kubeconfig: Path = Path("/etc/k")
    leader_elect: bool = True
    cidrs: tuple[str, ...] = ("a", "b")
    tls_cert_file: Path | None = None
    labels: dict[str, str] = field(default_factory=lambda: {"x": "y"})
    election: Inner = Inner()


def asked(path: str, header: str = "") -> zpages.Page:
    paths = ("/healthz", "/livez/ping", "/apis/apps/v1", "/metrics", "/metrics/slis", "/", "/.well-known/x")
    return zpages.page(path, Component("kube-test", STARTED, Settings(), paths), header, NOW)


@pytest.mark.parametrize("header", ["", " ", "text/plain", "*/*", "text/*", "application/json;as=Other, */*;q=0.1"])
def test_as_text_for_people(header: str) -> None:
    status, body, content_type, headers = asked(STATUSZ, header)
    assert (status, content_type, headers) == (200, "text/plain; charset=utf-8", {})
    lines = body.decode().split("\n")
    assert lines[:2] == ["", "kube-test statusz"] and lines[2].startswith("Warning: This endpoint is not meant to be")
    assert lines[4:6] == ["Started: Fri Jan  2 03:04:05 UTC 2026", "Up: 25 hr 02 min 03 sec"]
    assert lines[7] == f"Binary version: {GIT_VERSION[1:]}"
    assert lines[9] == "Paths: /healthz /livez /metrics"


def test_as_an_object_for_programs() -> None:
    status, body, content_type, headers = asked(STATUSZ, OBJECT.format("Statusz", "v1beta1"))
    assert (status, content_type, headers) == (200, "application/json", {})
    said = json.loads(body)
    assert said["kind"] == "Statusz" and said["apiVersion"] == "config.k8s.io/v1beta1"
    assert said["metadata"] == {"name": "kube-test"}
    assert (said["startTime"], said["uptimeSeconds"]) == ("2026-01-02T03:04:05Z", 90123)
    assert said["paths"] == ["/healthz", "/livez", "/metrics"]


def test_settings_are_flags() -> None:
    said = json.loads(asked(FLAGZ, OBJECT.format("Flagz", "v1beta1"))[1])
    assert said["flags"] == {
        "kubeconfig": "/etc/k",
        "leader-elect": "true",
        "cidrs": "[a,b]",
        "tls-cert-file": "",
        "labels": "x=y",
        "election.lease-duration": "15",
    }
    assert asked(FLAGZ)[1].decode().split("\n")[3:6] == [
        "cidrs=[a,b]",
        "election.lease-duration=15",
        "kubeconfig=/etc/k",
    ]
    yaml = asked(FLAGZ, OBJECT.format("Flagz", "v1beta1").replace("json", "yaml"))
    assert yaml[2] == "application/yaml" and b"kind: Flagz" in yaml[1]


def test_what_may_hold_a_key_is_not_shown() -> None:
    @dataclass(frozen=True)
    class Scheduler:
        configuration: dict[str, object]

    extender = {"urlPrefix": "https://x", "tlsConfig": {"keyData": "c2VjcmV0"}}
    said = zpages.flags(Scheduler({"kind": "K", "percentageOfNodesToScore": 5, "extenders": [extender]}))
    assert said == {"configuration": "kind=K,percentageOfNodesToScore=5,extenders=CLASSIFIED"}


def test_the_older_version_is_on_its_way_out() -> None:
    _, body, _, headers = asked(FLAGZ, OBJECT.format("Flagz", "v1alpha1"))
    assert json.loads(body)["apiVersion"] == "config.k8s.io/v1alpha1"
    why = "This version of the flagz endpoint is deprecated. Please use a newer version."
    assert headers == {"Warning": f'299 - "{why}"'}


@pytest.mark.parametrize(
    "header",
    [
        "application/json",
        "application/xml",
        "application/json;v=v1beta1;g=config.k8s.io",
        "application/json;as=Flagz;v=v1beta1;g=config.k8s.io",
        "application/json;as=Statusz;v=v2;g=config.k8s.io",
        "text/plain;as=Statusz;v=v1beta1;g=config.k8s.io",
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(header: str) -> None:
    status, body, _, _ = asked(STATUSZ, header)
    refusal = json.loads(body)
    assert (status, refusal["reason"]) == (406, "NotAcceptable")
    told = "only the following media types are accepted: application/json, application/yaml, text/plain"
    assert refusal["message"] == told


def test_a_process_knows_when_it_began() -> None:
    age = (datetime.now(timezone.utc) - births.moment(births.start_ticks(os.getpid()))).total_seconds()
    assert 0 <= age < 24 * 3600
    pages = component.pages("kube-test", Settings(), ("/healthz",))
    assert b"Paths: /flagz /healthz\n" in pages[STATUSZ]("")[1]
