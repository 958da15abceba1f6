"""The Pod Security Standards: each check, since which version, in which words; and the plugin on a whole server."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client, PatchType
from controlplane.apiserver.admission.podsecurity.levels import LATEST, LevelVersion, Policy, policy_of
from controlplane.apiserver.admission.podsecurity.plugin import defaults
from controlplane.apiserver.admission.podsecurity.standards import BASELINE_CHECKS, RESTRICTED_CHECKS, violations
from tests.controlplane.apiserver.server import run

NEWEST = 36
SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def told(level: str, minor: int, spec: dict[str, Any], annotations: dict[str, str] | None = None) -> list[str]:
    found = violations(LevelVersion(level, minor), {"annotations": annotations or {}}, spec)
    return [str(one) for one in found]


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod that passes restricted but for what is given: context is the container's security context."""
    given = dict(container or {})
    context = {**SAFE, **given.pop("context", {})}
    return {"containers": [{"name": "c", "securityContext": context, **given}], **spec}


# (level, first minor version that refuses, last one or NEWEST, the pod, what is said)
CASES = [
    ("baseline", 0, NEWEST, pod(hostNetwork=True, hostIPC=True), "host namespaces (hostNetwork=true, hostIPC=true)"),
    ("baseline", 0, NEWEST, pod(volumes=[{"name": "v", "hostPath": {}}]), 'hostPath volumes (volume "v")'),
    (
        "baseline",
        0,
        NEWEST,
        pod({"ports": [{"hostPort": 9}, {"hostPort": 10}]}),
        'hostPort (container "c" uses hostPorts 10, 9)',
    ),
    (
        "baseline",
        34,
        NEWEST,
        pod({"lifecycle": {"preStop": {"tcpSocket": {"host": "a"}}}, "startupProbe": {"httpGet": {"host": "b"}}}),
        'probe or lifecycle host (container "c" uses probe or lifecycle hosts "a", "b")',
    ),
    (
        "baseline",
        0,
        NEWEST,
        pod({"context": {"privileged": True}}),
        'privileged (container "c" must not set securityContext.privileged=true)',
    ),
    (
        "baseline",
        0,
        NEWEST,
        pod({"context": {"procMount": "Unmasked"}}),
        'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ),
    (
        "baseline",
        0,
        34,
        pod({"context": {"procMount": "Unmasked"}}, hostUsers=False),
        'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ),
    (
        "restricted",
        0,
        NEWEST,
        pod({"context": {"procMount": "Unmasked"}}, hostUsers=False),
        'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ),
    (
        "baseline",
        0,
        30,
        pod({"context": {"seLinuxOptions": {"type": "container_engine_t"}}}),
        'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "container_engine_t")',
    ),
    (
        "baseline",
        0,
        NEWEST,
        pod(securityContext={"seLinuxOptions": {"role": "r"}}),
        "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: role may not be set)",
    ),
    (
        "baseline",
        19,
        NEWEST,
        pod({"context": {"seccompProfile": {"type": "Unconfined"}}}),
        'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    *(
        ("baseline", 0, last, pod(securityContext={"sysctls": [{"name": name}]}), f"forbidden sysctls ({name})")
        for name, last in (
            ("kernel.msgmax", NEWEST),
            ("net.ipv4.ip_local_reserved_ports", 26),
            ("net.ipv4.tcp_fin_timeout", 28),
            ("net.ipv4.tcp_wmem", 31),
        )
    ),
    (
        "baseline",
        0,
        NEWEST,
        pod({"context": {"windowsOptions": {"hostProcess": True}}}),
        'hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)',
    ),
    (
        "baseline",
        0,
        NEWEST,
        pod({"context": {"appArmorProfile": {"type": "Unconfined"}}}),
        'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
    ),
    (
        "baseline",
        0,
        NEWEST,
        pod({"context": {"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}}),
        'non-default capabilities (container "c" must not include "NET_RAW" in securityContext.capabilities.add)',
    ),
    (
        "restricted",
        22,
        NEWEST,
        pod({"context": {"capabilities": {"add": ["CHOWN"]}}}),
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; '
        'container "c" must not include "CHOWN" in securityContext.capabilities.add)',
    ),
    (
        "restricted",
        8,
        NEWEST,
        pod({"context": {"allowPrivilegeEscalation": None}}),
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
    ),
    (
        "restricted",
        8,
        24,
        pod({"context": {"allowPrivilegeEscalation": None}}, os={"name": "windows"}),
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
    ),
    (
        "restricted",
        0,
        NEWEST,
        pod(volumes=[{"name": "v", "nfs": {}}, {"name": "w", "hostPath": {}}]),
        'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")',
    ),
    (
        "restricted",
        0,
        NEWEST,
        pod({"context": {"runAsNonRoot": None}}),
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
    ),
    (
        "restricted",
        0,
        34,
        pod({"context": {"runAsNonRoot": False}}, hostUsers=False),
        'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
    ),
    (
        "restricted",
        23,
        NEWEST,
        pod({"context": {"runAsUser": 0}}, securityContext={"runAsUser": 0}),
        'runAsUser=0 (pod and container "c" must not set runAsUser=0)',
    ),
    (
        "restricted",
        19,
        NEWEST,
        pod({"context": {"seccompProfile": None}}),
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")',
    ),
]


@pytest.mark.parametrize(("level", "first", "last", "spec", "text"), CASES)
def test_each_check_since_its_version(level: str, first: int, last: int, spec: dict[str, Any], text: str) -> None:
    refusing = [minor for minor in range(NEWEST + 1) if text in told(level, minor, spec)]
    assert refusing == list(range(first, last + 1))
    assert (text in told(level, LATEST, spec)) == (last == NEWEST)


def test_a_version_to_come_has_the_newest_checks() -> None:
    spec = pod(hostPID=True)
    assert told("baseline", 99, spec) == told("baseline", LATEST, spec) == ["host namespaces (hostPID=true)"]
    assert told("privileged", LATEST, spec) == []


def test_every_check_has_a_case() -> None:
    seen = {text.partition(" (")[0] for _, _, _, _, text in CASES}
    for row in (*BASELINE_CHECKS.values(), *RESTRICTED_CHECKS.values()):
        assert row.since
    assert len(seen) == len(BASELINE_CHECKS) + len(RESTRICTED_CHECKS) - 2  # procMount and seccompProfile are in both


def test_old_annotations_count() -> None:
    seccomp = {"container.seccomp.security.alpha.kubernetes.io/c": "unconfined"}
    text = 'seccompProfile (forbidden annotation container.seccomp.security.alpha.kubernetes.io/c="unconfined")'
    assert told("baseline", 18, pod(), seccomp) == [text]
    assert told("baseline", 19, pod(), seccomp) == []
    profile = {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}
    assert told("baseline", 36, pod(), profile) == [
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
        '"container.apparmor.security.beta.kubernetes.io/c="unconfined"")'
    ]


def test_init_and_ephemeral_containers_count() -> None:
    bad = {"name": "i", "securityContext": {**SAFE, "privileged": True}}
    spec = pod(initContainers=[bad], ephemeralContainers=[{**bad, "name": "e"}])
    assert told("baseline", 36, spec) == [
        'privileged (containers "i", "e" must not set securityContext.privileged=true)'
    ]


P = "pod-security.kubernetes.io/"


@pytest.mark.parametrize(
    ("labels", "policy", "wrong"),
    [
        ({}, Policy(), []),
        (
            {"enforce": "baseline", "enforce-version": "v1.20"},
            Policy(LevelVersion("baseline", 20), warn=LevelVersion("baseline", 20)),
            [],
        ),
        ({"enforce": "baseline", "warn": "privileged"}, Policy(LevelVersion("baseline")), []),
        (
            {"enforce": "odd", "audit": "odd", "warn": "odd"},
            Policy(LevelVersion("restricted")),
            ["enforce", "audit", "warn"],
        ),
        ({"warn-version": "v1.01", "audit-version": "1.2"}, Policy(), ["audit-version", "warn-version"]),
    ],
)
def test_labels_make_a_policy(labels: dict[str, str], policy: Policy, wrong: list[str]) -> None:
    found, problems = policy_of({P + key: value for key, value in labels.items()}, Policy())
    assert found == policy
    assert [problem.field for problem in problems] == [f"metadata.labels[{P}{key}]" for key in wrong]


def test_defaults_are_settings() -> None:
    assert defaults(("enforce=baseline:v1.30",)).enforce == LevelVersion("baseline", 30)
    for wrong in ("enforce=odd", "odd=baseline", "warn=baseline:1"):
        with pytest.raises(ValueError, match="pod security"):
            defaults((wrong,))


def body(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


async def label(client: Client, **labels: str) -> None:
    wanted = {P + key.replace("_", "-"): value for key, value in labels.items()}
    await client.patch(kinds.NAMESPACE, "n", {"metadata": {"labels": wanted}})


async def begin(client: Client) -> None:
    await client.create(kinds.NAMESPACE, {"metadata": {"name": "n"}})
    await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "n")


def test_a_namespace_refuses_what_its_level_forbids(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await begin(client)
        await client.create(kinds.POD, body("before", hostNetwork=True), "n")
        await label(client, enforce="baseline")
        with pytest.raises(errors.Forbidden) as refusal:
            await client.create(kinds.POD, body("p", hostNetwork=True), "n")
        why = 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
        assert refusal.value.message == f'pods "p" is forbidden: {why}'
        # What is there stays, and may change what has nothing to do with security, but gets no new image.
        await client.patch(kinds.POD, "before", {"metadata": {"labels": {"a": "b"}}}, "n")
        image = [{"op": "replace", "path": "/spec/containers/0/image", "value": "other"}]
        with pytest.raises(errors.Forbidden, match="violates PodSecurity"):
            await client.patch(kinds.POD, "before", image, "n", patch_type=PatchType.JSON)
        debug = {"spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}}
        with pytest.raises(errors.Forbidden, match="violates PodSecurity"):
            await client.patch(kinds.POD, "before", debug, "n", subresource="ephemeralcontainers")
        # Controllers are let through: their pods are not.
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {**body("")["spec"], "hostNetwork": True}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        await client.create(kinds.DEPLOYMENT, {"metadata": {"name": "d"}, "spec": spec}, "n")
        with pytest.raises(errors.Invalid, match="must be one of privileged, baseline, restricted"):
            await label(client, enforce="odd")

    run(tmp_path, test)


def test_who_is_exempt_passes(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await begin(client)
        await label(client, enforce="restricted")
        with pytest.raises(errors.Forbidden, match="violates PodSecurity"):
            await client.create(kinds.POD, body("p"), "n")
        await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "kube-system")
        await client.patch(kinds.NAMESPACE, "kube-system", {"metadata": {"labels": {P + "enforce": "restricted"}}})
        await client.create(kinds.POD, body("p"), "kube-system")
        await client.create(kinds.RUNTIME_CLASS, {"metadata": {"name": "sandboxed"}, "handler": "h"})
        await client.create(kinds.POD, body("q", runtimeClassName="sandboxed"), "n")
        as_robot = {"Impersonate-User": "robot", "Impersonate-Group": "system:masters"}
        made = {"apiVersion": "v1", "kind": "Pod", **body("r")}
        await client.request("POST", "/api/v1/namespaces/n/pods", body=made, headers=as_robot)

    exempt = ("namespace=kube-system", "runtimeClass=sandboxed", "user=robot")
    run(tmp_path, test, pod_security_exemptions=exempt)


def test_what_is_odd_is_told_before_what_a_level_says_and_whether_or_not_it_refuses(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await begin(client)
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        context.load_cert_chain(tmp_path / "admin.crt", tmp_path / "admin.key")
        path = f"{client.server}/api/v1/namespaces/n/pods"
        odd = {"nodeSelector": {"beta.kubernetes.io/os": "linux"}, "hostNetwork": True}

        async def sent(method: str, path: str, made: dict[str, Any], wanted: int) -> list[str]:
            media = {"Content-Type": "application/json" if method == "POST" else "application/merge-patch+json"}
            async with (
                aiohttp.ClientSession() as session,
                session.request(method, path, json=made, headers=media, ssl=context) as response,
            ):
                assert response.status == wanted
                values = [value for key, value in response.headers.items() if key == "Warning"]
            return [value.removeprefix('299 - "')[:24] for value in values]

        async def told(name: str, wanted: int) -> list[str]:
            return await sent("POST", path, {"apiVersion": "v1", "kind": "Pod", **body(name, **odd)}, wanted)

        await label(client, warn="baseline")
        assert await told("p", 201) == ["spec.nodeSelector[beta.k", "would violate PodSecurit"]
        debug = {"spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}}
        assert await sent("PATCH", f"{path}/p/ephemeralcontainers", debug, 200) == ["would violate PodSecurit"]
        await label(client, enforce="baseline")
        assert await told("q", 403) == ["spec.nodeSelector[beta.k"]

    run(tmp_path, test)


def test_a_tightened_level_is_told_of_the_pods_that_are_there(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await begin(client)
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}
        for number in range(3):
            made = body(f"p{number}", hostNetwork=True)
            made["metadata"]["ownerReferences"] = [owner]
            await client.create(kinds.POD, made, "n")
        await client.create(kinds.POD, body("alone", hostPID=True), "n")
        await client.create(kinds.POD, body("fine"), "n")
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        context.load_cert_chain(tmp_path / "admin.crt", tmp_path / "admin.key")
        patch = {"metadata": {"labels": {P + "enforce": "baseline", P + "enforce-version": "v1.20"}}}
        media = {"Content-Type": "application/merge-patch+json"}
        path = f"{client.server}/api/v1/namespaces/n"
        async with (
            aiohttp.ClientSession() as session,
            session.patch(path, json=patch, headers=media, ssl=context) as response,
        ):
            values = [value for key, value in response.headers.items() if key == "Warning"]
        # All four say the same of themselves, so they are told of together, under the first name.
        assert [value.removeprefix('299 - "')[:-1].replace("\\", "") for value in values] == [
            'existing pods in namespace "n" violate the new PodSecurity enforce level "baseline:v1.20"',
            "alone (and 3 other pods): host namespaces",
        ]

    run(tmp_path, test)
