"""What the server keeps by itself: there from the start, and back when somebody takes it away."""

import copy
from datetime import datetime, timezone
from functools import partial

import pytest

from apimachinery import errors
from apimachinery.client import PatchType
from apimachinery.kinds import (
    API_SERVICE,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    ENDPOINT_SLICE,
    ENDPOINTS,
    FLOW_SCHEMA,
    IP_ADDRESS,
    PRIORITY_LEVEL,
    SERVICE,
    SERVICE_CIDR,
)
from benchmarks import ports
from controlplane.apiserver.maintained import aggregation, authentication, flowcontrol
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.resources import builtin
from tests.controlplane.apiserver.server import run
from tests.waiting import until

KINDS = builtin.catalog().kinds()
NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


KEPT = [
    (CONFIG_MAP, "extension-apiserver-authentication", "kube-system"),
    (CONFIG_MAP, "kube-apiserver-legacy-service-account-token-tracking", "kube-system"),
    (ENDPOINTS, "kubernetes", "default"),
    (ENDPOINT_SLICE, "kubernetes", "default"),
    (SERVICE, "kubernetes", "default"),
    (API_SERVICE, "v1.", ""),
    (API_SERVICE, "v1.apps", ""),
    (FLOW_SCHEMA, "exempt", ""),
    (FLOW_SCHEMA, "service-accounts", ""),
    (PRIORITY_LEVEL, "catch-all", ""),
    (SERVICE_CIDR, "kubernetes", ""),
    (IP_ADDRESS, "10.97.0.1", ""),
]


def test_what_is_taken_away_comes_back(tmp_path):
    async def test(client):
        for kind, name, namespace in KEPT:
            before = await until(partial(client.get, kind, name, namespace))
            await client.delete(kind, name, namespace)

            async def again(k=kind, n=name, ns=namespace, uid=before["metadata"]["uid"]):
                found = await client.get(k, n, ns)
                return found if found["metadata"]["uid"] != uid else None

            after = await until(again)
            for member in ("spec", "data", "subsets", "endpoints", "ports"):
                assert after.get(member) == before.get(member), name

    (port,) = ports.free()
    run(tmp_path, test, port=port)


def test_what_is_published_of_authentication(tmp_path):
    async def test(client):
        found = await client.get(CONFIG_MAP, "extension-apiserver-authentication", "kube-system")
        own = (tmp_path / "ca.crt").read_text()
        assert found["data"] == {"client-ca-file": own}
        stored = {"data": {"client-ca-file": "", "requestheader-allowed-names": '["front"]'}}
        patch = {**stored, "metadata": {"labels": {"mine": "1"}}}
        await client.patch(CONFIG_MAP, found["metadata"]["name"], patch, "kube-system", patch_type=PatchType.MERGE)

        async def mended():
            now = await client.get(CONFIG_MAP, "extension-apiserver-authentication", "kube-system")
            return now if now["data"]["client-ca-file"] == own else None

        assert (await until(mended))["data"]["requestheader-allowed-names"] == '["front"]'

    run(tmp_path, test)


def test_certificates_of_another_server_stay_beside_ours():
    one, two = (f"-----BEGIN CERTIFICATE-----\n{word}\n-----END CERTIFICATE-----" for word in ("one", "two"))
    assert authentication.joined("", one + "\n") == one + "\n"
    assert authentication.joined(f"{two}\n{one}\n", one) == f"{two}\n{one}\n"
    assert authentication.joined(f"{two}\n", one) == f"{two}\n{one}\n"


@pytest.mark.parametrize(("since", "kept"), [("2020-01-01", True), ("yesterday", False), (None, False)])
def test_tracking_keeps_a_day_and_mends_what_is_none(since, kept):
    (_, tracking) = authentication.wanted("")
    found = tracking.plan({"metadata": {}, "data": {} if since is None else {"since": since}}, NOW)
    assert found["data"]["since"] == (since if kept else "2026-01-02")


def test_every_group_version_but_their_own_has_an_api_service(tmp_path):
    names = {one.name for one in aggregation.wanted(KINDS)}
    served = {f"{k.version}.{k.group}" for k in KINDS} - {"v1.apiregistration.k8s.io"}
    assert names == served

    async def test(client):
        found = await client.get(API_SERVICE, "v2.autoscaling")
        assert found["spec"] == {
            "group": "autoscaling",
            "version": "v2",
            "groupPriorityMinimum": 17500,
            "versionPriority": 30,
        }
        (condition,) = found["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == ("Available", "True", "Local")
        assert found["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}

    run(tmp_path, test)


def _definition(*versions):
    schema = {"openAPIV3Schema": {"type": "object"}}
    return {
        "metadata": {"name": "things.custom.test"},
        "spec": {
            "group": "custom.test",
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Cluster",
            "versions": [
                {"name": name, "served": name != "v0", "storage": name == "v1", "schema": schema} for name in versions
            ],
        },
    }


def test_groups_of_custom_resources_have_api_services(tmp_path, monkeypatch):
    read, items = [], Registry.items

    def counted(self, kind, namespace=""):
        read.append(kind.resource)
        return items(self, kind, namespace)

    monkeypatch.setattr(Registry, "items", counted)

    async def names(client):
        found = await client.list(API_SERVICE)
        return {one["metadata"]["name"] for one in found["items"] if one["spec"].get("group") == "custom.test"}

    async def are(client, *wanted):
        return await names(client) == set(wanted)

    async def test(client):
        await client.create(CUSTOM_RESOURCE_DEFINITION, _definition("v1", "v1beta1", "v0"))
        await until(lambda: are(client, "v1.custom.test", "v1beta1.custom.test"))
        found = await client.get(API_SERVICE, "v1.custom.test")
        assert found["spec"] == {
            "group": "custom.test",
            "version": "v1",
            "groupPriorityMinimum": 1000,
            "versionPriority": 100,
        }
        assert found["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
        assert found["status"]["conditions"][0]["reason"] == "Local"
        # What somebody takes over is theirs; what is only spoilt is mended, and what is deleted comes back.
        taken = {"metadata": {"labels": {"kube-aggregator.kubernetes.io/automanaged": None}}}
        await client.patch(API_SERVICE, "v1beta1.custom.test", taken, patch_type=PatchType.MERGE)
        await client.patch(API_SERVICE, "v1.custom.test", {"spec": {"versionPriority": 7}}, patch_type=PatchType.MERGE)

        async def mended():
            found = await client.get(API_SERVICE, "v1.custom.test")
            return found["spec"]["versionPriority"] == 100

        await until(mended)
        await client.delete(API_SERVICE, "v1.custom.test")
        await until(lambda: are(client, "v1.custom.test", "v1beta1.custom.test"))
        await client.delete(CUSTOM_RESOURCE_DEFINITION, "things.custom.test")
        await until(lambda: are(client, "v1beta1.custom.test"))
        # Hundreds of them can come to tens of megabytes, and nobody reads them all but two loops at their start.
        assert read.count(CUSTOM_RESOURCE_DEFINITION.resource) == 2

    run(tmp_path, test)


def plans():
    return {(one.kind.kind, one.name): one.plan for one in flowcontrol.wanted()}


def stored(kind, name):
    return {"metadata": {"name": name, "generation": 1}, **copy.deepcopy(plans()[(kind, name)](None, NOW))}


@pytest.mark.parametrize(
    ("name", "said", "generation", "kept"),
    [
        ("service-accounts", "true", 2, False),
        ("service-accounts", "false", 2, True),
        # Nothing said: ours as long as nobody has changed it.
        ("service-accounts", None, 1, False),
        ("service-accounts", None, 2, True),
        # Mandatory ones are never anybody else's.
        ("exempt", "false", 2, False),
        ("catch-all", None, 2, False),
    ],
)
def test_whose_a_flow_schema_is(name, said, generation, kept):
    plan = plans()[("FlowSchema", name)]
    found = stored("FlowSchema", name)
    right = copy.deepcopy(found["spec"])
    found["spec"]["matchingPrecedence"] = 77
    metadata = {"name": name, "generation": generation, "annotations": {flowcontrol.AUTO_UPDATE: said} if said else {}}
    after = plan({**found, "metadata": metadata}, NOW)
    assert (after["spec"]["matchingPrecedence"] == 77) == kept
    if not kept:
        assert after["spec"] == right and after["metadata"]["annotations"][flowcontrol.AUTO_UPDATE] == "true"


def test_flow_schemas_tell_whether_they_lead_anywhere(tmp_path):
    def schema(level):
        spec = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": 500}
        return {"kind": "FlowSchema", "apiVersion": FLOW_SCHEMA.api_version, "metadata": {"name": "mine"}, "spec": spec}

    async def test(client):
        async def dangling(name="mine"):
            found = await client.get(FLOW_SCHEMA, name)
            return {c["type"]: (c["status"], c["reason"]) for c in found.get("status", {}).get("conditions", ())}

        assert await until(lambda: dangling("exempt")) == {"Dangling": ("False", "Found")}
        await client.create(FLOW_SCHEMA, schema("nowhere"))
        assert await until(dangling) == {"Dangling": ("True", "NotFound")}
        spec = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
        level = {"kind": "PriorityLevelConfiguration", "apiVersion": PRIORITY_LEVEL.api_version}
        await client.create(PRIORITY_LEVEL, {**level, "metadata": {"name": "nowhere"}, "spec": spec})

        async def found_again():
            return (await dangling()) == {"Dangling": ("False", "Found")}

        assert await until(found_again)
        owners = (await client.get(FLOW_SCHEMA, "mine"))["metadata"]["managedFields"]
        (consumer,) = (o for o in owners if o["manager"] == flowcontrol.CONSUMER)
        assert (consumer["operation"], consumer["subresource"]) == ("Apply", "status")

    run(tmp_path, test)


def test_default_range_is_ready_and_services_show_their_addresses(tmp_path):
    async def test(client):
        found = await client.get(SERVICE_CIDR, "kubernetes")
        assert found["spec"] == {"cidrs": ["10.97.0.0/24"]}
        (ready,) = found["status"]["conditions"]
        assert (ready["type"], ready["status"]) == ("Ready", "True")
        (owner,) = (await client.get(SERVICE, "kubernetes", "default"))["metadata"]["managedFields"]
        assert "f:ipFamilyPolicy" in owner["fieldsV1"]["f:spec"] and "f:clusterIPs" not in owner["fieldsV1"]["f:spec"]
        metadata = {"name": "s", "namespace": "default"}
        obj = {"kind": "Service", "apiVersion": "v1", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}
        ip = (await client.create(SERVICE, obj))["spec"]["clusterIP"]
        address = await until(lambda: client.get(IP_ADDRESS, ip))
        assert address["spec"] == {"parentRef": {"resource": "services", "namespace": "default", "name": "s"}}
        assert address["metadata"]["labels"] == {
            "ipaddress.kubernetes.io/ip-family": "IPv4",
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }
        await client.delete(SERVICE, "s", "default")

        async def gone():
            try:
                await client.get(IP_ADDRESS, ip)
            except errors.NotFound:
                return True
            return False

        assert await until(gone)

    run(tmp_path, test)
