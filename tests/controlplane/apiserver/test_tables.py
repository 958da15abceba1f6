import json
import re
from datetime import datetime, timezone

import pytest

from apimachinery import kinds
from controlplane.apiserver.formats.shapes import TableFormat
from controlplane.apiserver.resources import builtin
from controlplane.apiserver.tables import render, texts
from tests.controlplane.apiserver import golden
from tests.golden import path as recordings

CATALOG = builtin.catalog()
NOW = datetime(2026, 1, 2, 0, 0, 0, tzinfo=timezone.utc)
BORN = "2026-01-01T23:59:00Z"


def pod(status, **spec):
    meta = {"name": "p", "namespace": "n", "creationTimestamp": BORN, "resourceVersion": "7"}
    return {
        "metadata": meta,
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], **spec},
        "status": status,
    }


def cells(kind, obj):
    return render.render(CATALOG.of(kind).columns, [obj], {}, NOW)["rows"][0]["cells"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"), 
        (10799, "179m"),
        (10800, "3h"), (11100, "3h5m"), (28800, "8h"), (172799, "47h"), (172800, "2d"), (176400, "2d1h"),
        (691200, "8d"), (63071999, "729d"), (63072000, "2y"), (252288000, "8y"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert texts.human_duration(seconds) == text


def running(name, **more):
    return {"name": name, "ready": True, "restartCount": 0, "state": {"running": {}}, **more}


@pytest.mark.parametrize(
    ("status", "want"),
    [
        ({"phase": "Pending"}, ["0/2", "Pending", "0"]),
        ({"phase": "Running", "containerStatuses": [running("a"), running("b")]}, ["2/2", "Running", "0"]),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    running("a"),
                    {
                        "name": "b",
                        "restartCount": 3,
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"finishedAt": "2026-01-01T23:55:00Z"}},
                    },
                ],
            },
            ["1/2", "CrashLoopBackOff", "3 (5m ago)"],
        ),
        (
            {
                "phase": "Failed",
                "containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 3}}}],
            },
            ["0/2", "ExitCode:3", "0"],
        ),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/2", "Evicted", "0"]),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
            ["0/2", "SchedulingGated", "0"],
        ),
    ],
)
def test_pod_summary(status, want):
    assert cells(kinds.POD, pod(status))[1:4] == want


def test_init_containers_come_first_and_sidecars_count():
    status = {
        "phase": "Pending",
        "initContainerStatuses": [
            {"name": "i", "state": {"terminated": {"exitCode": 0}}},
            {"name": "s", "started": True, "ready": True, "state": {"running": {}}},
            {"name": "j", "state": {"running": {}}},
        ],
    }
    init = [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}, {"name": "j"}]
    assert cells(kinds.POD, pod(status, initContainers=init))[1:3] == ["1/3", "Init:2/3"]


def test_deleted_pod_is_terminating_unless_it_has_ended():
    for phase, want in (("Running", "Terminating"), ("Succeeded", "Succeeded")):
        dying = pod({"phase": phase})
        dying["metadata"]["deletionTimestamp"] = BORN
        assert cells(kinds.POD, dying)[2] == want


def test_finished_pod_carries_a_row_condition():
    row = render.render(CATALOG.of(kinds.POD).columns, [pod({"phase": "Succeeded"})], {}, NOW)["rows"][0]
    assert row["conditions"][0]["reason"] == "Succeeded"


def test_kinds_without_columns_show_name_and_birth():
    role = {"metadata": {"name": "r", "creationTimestamp": BORN}}
    assert cells(kinds.ROLE, role) == ["r", BORN]


def test_a_slice_tells_whose_devices_it_has():
    meta = {"name": "s", "creationTimestamp": BORN}
    spec = {"driver": "d.example.com", "pool": {"name": "p"}}
    assert cells(kinds.RESOURCE_SLICE, {"metadata": meta, "spec": {**spec, "nodeName": "n"}}) == [
        *("s", "n", "d.example.com", "p", "60s"),
    ]
    assert cells(kinds.RESOURCE_SLICE, {"metadata": meta, "spec": {**spec, "allNodes": True}})[1] == ""
    columns = render.render(CATALOG.of(kinds.RESOURCE_SLICE).columns, [], {}, NOW)["columnDefinitions"]
    assert [column["name"] for column in columns] == ["Name", "Node", "Driver", "Pool", "Age"]
    assert columns[1]["description"].startswith("NodeName identifies the node")


def first(kind, index, obj):
    meta = {"name": "x", "creationTimestamp": BORN, **obj.get("metadata", {})}
    return cells(kind, {**obj, "metadata": meta})[index]


def hosts(*names):
    return {"spec": {"rules": [{"host": name} if name else {} for name in names]}}


@pytest.mark.parametrize(
    ("kind", "index", "obj", "text"),
    [
        (kinds.INGRESS, 2, hosts("a", "", "b"), "a,b"),
        (kinds.INGRESS, 2, hosts("a", "b", "c", ""), "a,b,c + 1 more..."),
        (kinds.INGRESS, 2, hosts(""), "*"),
        (
            kinds.INGRESS_CLASS,
            0,
            {"metadata": {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}},
            "x (default)",
        ),
        (
            kinds.STORAGE_CLASS,
            0,
            {"metadata": {"annotations": {"storageclass.beta.kubernetes.io/is-default-class": "true"}}},
            "x (default)",
        ),
        (kinds.IP_ADDRESS, 1, {"spec": {}}, "<none>"),
        (kinds.IP_ADDRESS, 1, {"spec": {"parentRef": {"resource": "services", "name": "s"}}}, "services/s"),
        (
            kinds.IP_ADDRESS,
            1,
            {"spec": {"parentRef": {"group": "g.io", "resource": "things", "namespace": "n", "name": "s"}}},
            "things.g.io/n/s",
        ),
        (kinds.NODE, 8, {"status": {"nodeInfo": {"architecture": "arm64"}}}, "<unknown> (arm64)"),
        (kinds.ENDPOINT_SLICE, 2, {"ports": [{"name": "", "protocol": "TCP"}]}, "<unset>"),
    ],
)
def test_cells_by_kind(kind, index, obj, text):
    assert first(kind, index, obj) == text


def test_a_pod_of_which_one_container_failed_says_so_though_another_has_completed():
    ended = [
        {"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
        {"name": "b", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}},
    ]
    assert cells(kinds.POD, pod({"phase": "Failed", "containerStatuses": ended}))[2] == "Error"
    also = [ended[0], running("b")]
    assert cells(kinds.POD, pod({"phase": "Running", "containerStatuses": also}))[2] == "NotReady"


@pytest.mark.parametrize(
    ("source", "target", "told", "text"),
    [
        ("Resource", {"averageUtilization": 50}, None, "cpu: <unknown>/50%"),
        ("Resource", {"averageUtilization": 50}, {"averageValue": "5m"}, "cpu: <unknown>/50%"),
        ("Resource", {}, {"averageUtilization": 0}, "cpu: 0%/<auto>"),
        ("ContainerResource", {"averageValue": "1"}, {"averageUtilization": 5}, "cpu: <nil>/1"),
        ("Pods", {"averageValue": "1"}, {}, "<nil>/1"),
        ("Pods", {"averageValue": "1"}, None, "<unknown>/1"),
        ("External", {"averageValue": "1"}, {"value": "5"}, "<unknown>/1 (avg)"),
        ("External", {"value": "1"}, {"averageValue": "5"}, "<nil>/1"),
        ("Object", {"value": "1"}, None, "<unknown>/1"),
        ("Object", {"value": "1"}, {"value": "2"}, "2/1"),
    ],
)
def test_what_an_autoscaler_s_status_tells_in_the_target_s_unit(source, target, told, text):
    field = source[0].lower() + source[1:]
    status = {} if told is None else {"currentMetrics": [{"type": source, field: {"current": told}}]}
    metrics = [{"type": source, field: {"name": "cpu", "target": target}}]
    spec = {"maxReplicas": 3, "scaleTargetRef": {}, "metrics": metrics}
    found = cells(kinds.HORIZONTAL_POD_AUTOSCALER, {"metadata": {"name": "h"}, "spec": spec, "status": status})
    assert found[2] == text


def test_a_table_of_no_objects_has_no_rows_where_a_kind_has_no_columns_of_its_own():
    def rows(kind):
        shown = TableFormat(table=CATALOG.of(kind).columns)
        return json.loads(b"".join(shown.many(kind, [], {})))["rows"]

    assert rows(kinds.LIMIT_RANGE) is None and rows(kinds.POD) == []


def test_include_object_decides_what_rides_along():
    one = pod({"phase": "Running"})
    shown = {
        i: render.render(CATALOG.of(kinds.POD).columns, [one], {}, NOW, i)["rows"][0]["object"]
        for i in ("None", "Metadata", "Object")
    }
    assert shown["None"] is None
    assert shown["Metadata"] == {**render.partial(one)} and "spec" not in shown["Metadata"]
    assert shown["Object"] is one


def test_a_description_of_its_own_may_hold_any_sign():
    columns = render.column_definitions(CATALOG.of(kinds.CERTIFICATE_SIGNING_REQUEST).columns)
    assert [column["description"] for column in columns if column["name"] == "Requestor"] == [
        "Base64-encoded PKCS#10 CSR data"
    ]


def test_every_kind_with_a_table_has_as_many_cells_as_columns():
    bare = {"metadata": {"name": "x", "creationTimestamp": BORN}, "spec": {}, "status": {}}
    for row in CATALOG:
        table = render.render(row.columns, [bare], {}, NOW)
        assert all(column["description"] is not None for column in table["columnDefinitions"])
        if row.kind.resource != "ipaddresses.networking.k8s.io":  # upstream has one cell more than columns there
            assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"]), row.kind.resource


def recorded():
    """(case, kind, object, Table) for every recorded Table of one object."""
    for path in sorted(recordings("api").glob("defaults-*.json")):
        for case in json.loads(path.read_text()):
            seen = {}
            for step in case["steps"]:
                answer = step.get("answer")
                if not isinstance(answer, dict) or "metadata" not in answer:
                    continue
                if answer.get("kind") not in ("Status", "Table"):
                    seen[(answer["apiVersion"], answer["kind"], answer["metadata"].get("name"))] = answer
                found = re.match(r"/(?:api|apis/([^/]+))/([^/]+)(?:/namespaces/[^/]+)?/([^/]+)/([^/?]+)$", step["path"])
                if answer.get("kind") == "Table" and len(answer["rows"]) == 1 and found:
                    kind = CATALOG.at(found[1] or "", found[2], found[3])
                    obj = kind and seen.get((kind.api_version, kind.kind, found[4]))
                    if obj:
                        yield f"{path.stem}: {case['name']}", kind, obj, answer


def test_cells_and_columns_equal_upstream_s():
    golden.load("api/defaults-core.json")
    differing = []
    total = 0
    for case, kind, obj, want in recorded():
        total += 1
        timed = json.loads(json.dumps(obj).replace("$TIME", BORN))
        got = cells(kind, timed)
        pairs = zip(want["rows"][0]["cells"], got, strict=True)
        # Recorded ages, addresses and ports are placeholders on one side or the other.
        same = all(a == b or "$" in f"{a}{b}" or re.fullmatch(r"\d+d|.*ago\)|\S*:\d{5}/\S*", str(a)) for a, b in pairs)
        if not same:
            differing.append((case, want["rows"][0]["cells"], got))
    assert total > 150
    # The objects shown before these tables were read differ from the tables' (changed in between).
    assert len(differing) <= 12, differing


def test_descriptions_by_reference():
    assert render.description("core.v1.PodStatus#podIP").startswith("podIP address")
    with pytest.raises(KeyError):
        render.description("core.v1.Nothing#here")
