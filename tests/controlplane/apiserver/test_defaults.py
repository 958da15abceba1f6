"""What objects hold that nobody wrote."""

from typing import Any

import pytest

from apimachinery.pods.qos import qos_class
from controlplane.apiserver import defaults
from controlplane.apiserver.strategies.pools import AddressPool, PoolFull, PortPool

Obj = dict[str, Any]


def completed(api_version: str, kind: str, spec: Obj) -> Obj:
    obj: Obj = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    defaults.apply(obj)
    return obj


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.mark.parametrize(
    ("own", "containers", "inits", "wanted"),
    [
        ({}, [{"requests": {"cpu": "1"}}], [], {}),
        # What the containers ask for together, before what the pod is limited to.
        (
            {"limits": {"cpu": "2", "memory": "64Mi"}},
            [{"requests": {"cpu": "500m"}}, {"requests": {"cpu": "250m"}}],
            [],
            {"limits": {"cpu": "2", "memory": "64Mi"}, "requests": {"cpu": "750m", "memory": "64Mi"}},
        ),
        (
            {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}},
            [{"requests": {"cpu": "500m", "memory": "1Mi", "e.com/x": "1"}}],
            [],
            {"limits": {"cpu": "2"}, "requests": {"cpu": "1", "memory": "1Mi"}},
        ),
        (
            {"limits": {"cpu": "2"}},
            [{"requests": {"cpu": "500m"}}],
            [{"limits": {"cpu": "1"}}],
            {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}},
        ),
        # Without limits nothing is added but for huge pages.
        ({"requests": {"cpu": "1"}}, [{"requests": {"memory": "1Mi"}}], [], {"requests": {"cpu": "1"}}),
        (
            {"requests": {"cpu": "1"}},
            [{"limits": {"hugepages-2Mi": "4Mi"}}, {"limits": {"hugepages-2Mi": "2Mi"}}],
            [],
            {"limits": {"hugepages-2Mi": "6Mi"}, "requests": {"cpu": "1", "hugepages-2Mi": "6Mi"}},
        ),
        (
            {"requests": {"hugepages-2Mi": "8Mi"}, "limits": {"hugepages-2Mi": "8Mi"}},
            [{"limits": {"hugepages-2Mi": "4Mi"}}],
            [],
            {"limits": {"hugepages-2Mi": "8Mi"}, "requests": {"hugepages-2Mi": "8Mi"}},
        ),
    ],
)
def test_resources_of_a_pod_as_a_whole(own: Obj, containers: list[Obj], inits: list[Obj], wanted: Obj) -> None:
    listed = {
        field: [{"name": f"{field}{number}", "image": "i", "resources": one} for number, one in enumerate(resources)]
        for field, resources in (("containers", containers), ("initContainers", inits))
    }
    assert completed("v1", "Pod", {**listed, "resources": own})["spec"].get("resources", {}) == wanted


def test_a_pod_cannot_end_before_it_is_told_to() -> None:
    assert completed("v1", "Pod", {"terminationGracePeriodSeconds": -5})["spec"]["terminationGracePeriodSeconds"] == 1
    template = {"spec": {"terminationGracePeriodSeconds": -5}}
    made = completed("apps/v1", "Deployment", {"template": template})["spec"]["template"]["spec"]
    assert made["terminationGracePeriodSeconds"] == -5


@pytest.mark.parametrize(("kind", "path"), [("Pod", ()), ("PodTemplate", ("template",))])
def test_annotations_of_old_that_listed_init_containers_are_gone(kind: str, path: tuple[str, ...]) -> None:
    old = {
        f"pod.{stage}.kubernetes.io/init-container{what}": "[]"
        for stage in ("alpha", "beta")
        for what in ("s", "-statuses")
    }
    for more in ({}, {"a": "b"}):
        described: Obj = {"metadata": {"name": "x", "annotations": {**old, **more}}, "spec": {}}
        obj: Obj = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **dict.fromkeys(path, described)}
        obj = obj if path else {**obj, **described}
        defaults.apply(obj)
        assert (obj["template"] if path else obj)["metadata"].get("annotations", {}) == more


def test_a_volume_of_no_kind_is_empty_even_without_a_name() -> None:
    assert completed("v1", "Pod", {"volumes": [{}]})["spec"]["volumes"] == [{"name": "", "emptyDir": {}}]


def test_a_deployment() -> None:
    obj = completed("apps/v1", "Deployment", {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE})
    spec = obj["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    container = spec["template"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == "Always" and container["resources"] == {}
    assert "enableServiceLinks" not in spec["template"]["spec"], "that one is a pod's alone"
    assert obj["status"] == {}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
        ({"type": ""}, {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
        ({"type": "RollingUpdate"}, {"type": "RollingUpdate"}),
        ({"type": "RollingUpdate", "rollingUpdate": {}}, {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
        ({"rollingUpdate": {"partition": 2}}, {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}),
        ({"type": "OnDelete"}, {"type": "OnDelete"}),
    ],
)
def test_who_names_how_a_stateful_set_is_updated_gets_no_more(given: Obj, wanted: Obj) -> None:
    spec = {"updateStrategy": given, "template": TEMPLATE}
    assert completed("apps/v1", "StatefulSet", spec)["spec"]["updateStrategy"] == wanted


def test_a_daemon_set_that_waits_for_deletions_has_zeros_where_it_says_how_to_roll() -> None:
    for given, wanted in (({}, {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}), (None, {})):
        spec = {"updateStrategy": {"type": "OnDelete", "rollingUpdate": given}, "template": TEMPLATE}
        assert completed("apps/v1", "DaemonSet", spec)["spec"]["updateStrategy"] == {"type": "OnDelete", **wanted}


def test_a_template_of_claims_is_one_whatever_it_calls_itself() -> None:
    spec = {"template": TEMPLATE, "volumeClaimTemplates": [{"kind": "Disk", "apiVersion": "v9", "spec": {}}, {}]}
    claims = completed("apps/v1", "StatefulSet", spec)["spec"]["volumeClaimTemplates"]
    assert {(claim["apiVersion"], claim["kind"]) for claim in claims} == {("v1", "PersistentVolumeClaim")}


def test_a_volume_within_an_attachment_has_no_defaults_of_a_volume() -> None:
    source = {"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"]}}
    spec = completed("storage.k8s.io/v1", "VolumeAttachment", {"attacher": "a", "source": source})["spec"]
    assert spec["source"]["inlineVolumeSpec"].keys() == {"accessModes"}
    volume = completed("v1", "PersistentVolume", {})["spec"]
    assert (volume["persistentVolumeReclaimPolicy"], volume["volumeMode"]) == ("Retain", "Filesystem")


def test_an_explicit_zero_of_a_reference_stays() -> None:
    assert completed("apps/v1", "Deployment", {"replicas": 0, "template": TEMPLATE})["spec"]["replicas"] == 0


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("i", "Always"),
        ("i:latest", "Always"),
        ("i:1", "IfNotPresent"),
        ("r:5000/i", "Always"),
        ("r:5000/i:1", "IfNotPresent"),
        ("i@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_pull_policies_follow_the_tag(image: str, policy: str) -> None:
    pod = completed("v1", "Pod", {"containers": [{"name": "c", "image": image}]})
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_a_time_that_is_a_value_is_null_when_absent() -> None:
    event: Obj = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "x"}, "series": {"count": 3}}
    defaults.apply(event)
    assert event["series"] == {"count": 3, "lastObservedTime": None} and event["eventTime"] is None
    node: Obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "x"}, "spec": {"taints": [{"key": "a"}]}}
    defaults.apply(node)
    assert "timeAdded" not in node["spec"]["taints"][0]


def test_a_key_of_a_file_must_be_there_unless_told_otherwise() -> None:
    source: Obj = {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "K"}}
    pod = completed("v1", "Pod", {"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": source}]}]})
    assert pod["spec"]["containers"][0]["env"][0]["valueFrom"]["fileKeyRef"]["optional"] is False


def test_empty_collections_are_as_good_as_absent() -> None:
    pod = completed("v1", "Pod", {"containers": [], "volumes": [], "nodeSelector": {}})
    assert "volumes" not in pod["spec"] and "nodeSelector" not in pod["spec"]


def test_an_empty_list_that_is_always_shown_is_its_writers_until_it_is_settled() -> None:
    pod = completed("v1", "Pod", {"containers": []})
    assert pod["spec"]["containers"] == []
    defaults.settle(pod)
    assert pod["spec"]["containers"] is None


@pytest.mark.parametrize(
    ("api_version", "kind", "body", "path", "wanted"),
    [
        ("storage.k8s.io/v1", "CSIDriver", {"spec": {}}, ("spec", "volumeLifecycleModes"), ["Persistent"]),
        ("storage.k8s.io/v1", "CSINode", {"spec": {"drivers": [{}]}}, ("spec", "drivers", 0, "topologyKeys"), None),
        ("scheduling.k8s.io/v1", "PriorityClass", {}, ("value",), 0),
        ("apps/v1", "StatefulSet", {"spec": {"ordinals": {}}}, ("spec", "ordinals"), {"start": 0}),
        ("networking.k8s.io/v1", "NetworkPolicy", {"spec": {}}, ("spec", "podSelector"), {}),
        ("resource.k8s.io/v1", "ResourceClaim", {"spec": {}}, ("spec",), {"devices": {"requests": None}}),
        ("v1", "PersistentVolume", {"spec": {"azureFile": {}}}, ("spec", "azureFile", "secretNamespace"), None),
        ("v1", "Pod", {"spec": {"volumes": [{"projected": {}}]}}, ("spec", "volumes", 0, "projected", "sources"), None),
        ("v1", "Node", {"status": {"images": [{}]}}, ("status", "images", 0), {"names": None}),
        ("authentication.k8s.io/v1", "TokenReview", {"spec": {}}, ("spec",), {}),
        ("resource.k8s.io/v1", "ResourceClaim", {"spec": {"devices": {}}}, ("spec", "devices", "requests"), None),
        (
            "v1",
            "PersistentVolumeClaim",
            {"spec": {"dataSource": {"kind": "K", "name": "n"}}},
            ("spec", "dataSource", "apiGroup"),
            None,
        ),
        ("v1", "Node", {"status": {"runtimeHandlers": [{}]}}, ("status", "runtimeHandlers", 0, "name"), ""),
        (
            "v1",
            "Node",
            {"status": {"capacity": {"cpu": "1", "pods": "2"}, "allocatable": {"cpu": "1"}}},
            ("status", "allocatable"),
            {"cpu": "1"},
        ),
        ("v1", "Node", {"status": {"capacity": {"cpu": "1"}}}, ("status", "allocatable"), {"cpu": "1"}),
        # What is always written may be there as a zero: whoever reads the object fills it in.
        ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", {"spec": {}}, ("spec", "matchingPrecedence"), 1000),
        (
            "flowcontrol.apiserver.k8s.io/v1",
            "FlowSchema",
            {"spec": {"matchingPrecedence": 0}},
            ("spec", "matchingPrecedence"),
            1000,
        ),
        (
            "flowcontrol.apiserver.k8s.io/v1",
            "PriorityLevelConfiguration",
            {"spec": {"limited": {"limitResponse": {"queuing": {"queues": 0, "handSize": 0, "queueLengthLimit": 0}}}}},
            ("spec", "limited", "limitResponse", "queuing"),
            {"queues": 64, "handSize": 8, "queueLengthLimit": 50},
        ),
        (
            "batch/v1",
            "Job",
            {"spec": {"podFailurePolicy": {"rules": [{"onPodConditions": [{"type": "X", "status": ""}]}]}}},
            ("spec", "podFailurePolicy", "rules", 0, "onPodConditions", 0, "status"),
            "True",
        ),
    ],
)
def test_what_a_kind_shows_of_itself(api_version: str, kind: str, body: Obj, path: Any, wanted: Any) -> None:
    obj: Any = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **body}
    defaults.apply(obj)
    for step in path:
        obj = obj[step]
    assert obj == wanted


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources: Obj, wanted: str) -> None:
    assert qos_class({"containers": [{"name": "c", "resources": resources}]}) == wanted
    # What a pod says of itself as a whole decides alone, also when it says nothing.
    assert qos_class({"containers": [{"resources": {"limits": {"cpu": "3"}}}], "resources": resources}) == wanted


def test_an_address_pool_gives_each_once_and_then_no_more() -> None:
    pool = AddressPool("10.0.0.0/28")
    given = [pool.next(f"ns/{number}") for number in range(14)]
    assert len(set(given)) == 14 and "10.0.0.0" not in given and "10.0.0.15" not in given
    with pytest.raises(PoolFull):
        pool.next("ns/one-more")
    pool.give_back(given[3], "ns/somebody-else")
    with pytest.raises(PoolFull):
        pool.next("ns/one-more")
    pool.give_back(given[3], "ns/3")
    assert pool.next("ns/one-more") == given[3]


def test_dynamic_addresses_leave_the_first_ones_to_people() -> None:
    pool = AddressPool("10.0.0.0/24")
    chosen = {int(pool.next(f"ns/{number}").rsplit(".", 1)[1]) for number in range(100)}
    assert min(chosen) > 16


def test_a_port_number_belongs_to_one_service() -> None:
    pool = PortPool("30000-30001")
    first = pool.free()
    assert pool.take(first, "a") and pool.take(first, "a") and not pool.take(first, "b")
    assert pool.take(pool.free(), "c")
    with pytest.raises(PoolFull):
        pool.free()


def test_amounts_are_no_finer_than_thousandths() -> None:
    limits = completed("v1", "LimitRange", {"limits": [{"type": "Pod", "max": {"cpu": "1n", "memory": "1Gi"}}]})
    assert limits["spec"]["limits"][0]["max"] == {"cpu": "1m", "memory": "1Gi"}
    source = {"csi": {"driver": "d"}, "capacity": {"storage": "1500001u"}}
    assert completed("v1", "PersistentVolume", source)["spec"]["capacity"] == {"storage": "1501m"}
