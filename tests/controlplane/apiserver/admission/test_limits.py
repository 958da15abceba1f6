"""LimitRanger: what containers get that say nothing, and what is refused in which words."""

from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client
from controlplane.apiserver.admission.limits import of_claim, of_pod, set_defaults
from tests.controlplane.apiserver.server import run

NOTE = "kubernetes.io/limit-ranger"


def container(name: str = "c", **resources: Any) -> dict[str, Any]:
    return {"name": name, "image": "i", "resources": resources}


def test_containers_get_what_they_leave_open() -> None:
    pod: dict[str, Any] = {
        "metadata": {},
        "spec": {
            "containers": [container("a"), container("b", requests={"cpu": "1"}, limits={"cpu": "2"})],
            "initContainers": [container("i")],
        },
    }
    limit = {"type": "Container", "default": {"cpu": "2", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}
    set_defaults(pod, [limit, {"type": "Pod", "default": {"cpu": "9"}}])
    first, second = pod["spec"]["containers"]
    assert first["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    assert second["resources"] == {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    assert pod["metadata"]["annotations"][NOTE] == (
        "LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a; "
        "memory limit for container b; cpu request for init container i; cpu, memory limit for init container i"
    )


@pytest.mark.parametrize(
    ("limit", "resources", "said"),
    [
        ({"min": {"cpu": "1"}}, {}, "minimum cpu usage per Container is 1.  No request is specified"),
        (
            {"min": {"cpu": "1"}},
            {"requests": {"cpu": "500m"}},
            "minimum cpu usage per Container is 1, but request is 500m",
        ),
        (
            {"min": {"cpu": "1"}},
            {"requests": {"cpu": "1"}, "limits": {"cpu": "900m"}},
            "minimum cpu usage per Container is 1, but limit is 900m",
        ),
        (
            {"max": {"memory": "1Gi"}},
            {"requests": {"memory": "1"}},
            "maximum memory usage per Container is 1Gi.  No limit is specified",
        ),
        (
            {"max": {"memory": "1Gi"}},
            {"limits": {"memory": "2Gi"}},
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        (
            {"max": {"memory": "1Gi"}},
            {"limits": {"memory": "1Gi"}, "requests": {"memory": "3Gi"}},
            "maximum memory usage per Container is 1Gi, but request is 3Gi",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"limits": {"cpu": "3"}, "requests": {"cpu": "1"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"limits": {"cpu": "3"}},
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "3"}},
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
    ],
)
def test_what_a_container_breaks(limit: dict[str, Any], resources: dict[str, Any], said: str) -> None:
    spec = {"containers": [container(**resources)]}
    assert list(of_pod(spec, {"type": "Container", **limit})) == [said]
    assert list(of_pod({"initContainers": spec["containers"]}, {"type": "Container", **limit})) == [said]


def test_a_pod_is_the_sum_of_its_containers() -> None:
    def using(cpu: str, **more: Any) -> dict[str, Any]:
        return {**container(requests={"cpu": cpu}, limits={"cpu": cpu}), **more}

    spec = {
        "containers": [using("1"), using("1")],
        "initContainers": [using("500m", restartPolicy="Always"), using("2500m")],
    }
    limit = {"type": "Pod", "max": {"cpu": "2900m"}}
    assert list(of_pod(spec, limit)) == ["maximum cpu usage per Pod is 2900m, but limit is 3"]
    level = {**spec, "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}}
    assert list(of_pod(level, limit)) == []


def test_claims_are_limited_by_what_they_request() -> None:
    limit = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}

    def said(storage: str) -> list[str]:
        return list(of_claim({"resources": {"requests": {"storage": storage}}}, limit))

    assert said("1536Mi") == []
    assert said("1Mi") == ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"]
    assert said("3Gi") == ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]


def test_a_namespace_limits_its_own_pods(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for name in ("n", "other"):
            await client.create(kinds.NAMESPACE, {"metadata": {"name": name}})
            await client.create(kinds.SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, name)
        limits = [{"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "1"}}]
        await client.create(kinds.LIMIT_RANGE, {"metadata": {"name": "l"}, "spec": {"limits": limits}}, "n")

        def pod(**resources: Any) -> dict[str, Any]:
            return {"metadata": {"generateName": "p-"}, "spec": {"containers": [container(**resources)]}}

        made = await client.create(kinds.POD, pod(), "n")
        assert made["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m"}
        # Quality of service is judged with what was given.
        assert made["status"]["qosClass"] == "Burstable"
        with pytest.raises(errors.Forbidden) as refusal:
            await client.create(kinds.POD, pod(limits={"cpu": "2"}), "n")
        why = "maximum cpu usage per Container is 1, but limit is 2"
        assert refusal.value.message.startswith('pods "p-') and refusal.value.message.endswith(why)
        await client.create(kinds.POD, pod(limits={"cpu": "2"}), "other")

    run(tmp_path, test)
