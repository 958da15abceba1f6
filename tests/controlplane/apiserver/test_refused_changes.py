"""What stands in the way of a change over HTTPS, and what of a change counts, by kinds that differ from the rest."""

from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client
from tests.controlplane.apiserver.server import run

Obj = dict[str, Any]


def named(api_version: str, kind: str, **rest: Any) -> Obj:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}, **rest}


def test_what_the_server_takes_back_counts_as_a_change_of_a_slice(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        endpoint = {"addresses": ["10.0.0.1"], "deprecatedTopology": {"a": "b"}}
        slices = named("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4", endpoints=[endpoint], ports=[])
        made = await client.create(kinds.ENDPOINT_SLICE, slices)
        assert "deprecatedTopology" not in made["endpoints"][0] and made["metadata"]["generation"] == 1
        again = {**made, "endpoints": [endpoint]}
        changed = await client.update(kinds.ENDPOINT_SLICE, again)
        assert "deprecatedTopology" not in changed["endpoints"][0] and changed["metadata"]["generation"] == 2
        same = await client.update(kinds.ENDPOINT_SLICE, changed)
        assert same["metadata"]["generation"] == 2

    run(tmp_path, test)


def test_refusals_name_the_group_that_was_asked(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        event = named(
            "events.k8s.io/v1",
            "Event",
            eventTime="2026-01-01T00:00:00.000000Z",
            reportingController="a.b/c",
            reportingInstance="i",
            action="a",
            reason="r",
            type="Normal",
            regarding={"kind": "Pod", "name": "p", "namespace": "default"},
        )
        made = await client.create(kinds.EVENT_V1, event)
        with pytest.raises(errors.AlreadyExists, match=r'^events\.events\.k8s\.io "x" already exists'):
            await client.create(kinds.EVENT_V1, event)
        made["metadata"]["resourceVersion"] = "1"
        with pytest.raises(errors.Conflict, match=r'events\.events\.k8s\.io "x": the object has been modified'):
            await client.update(kinds.EVENT_V1, made)
        await client.delete(kinds.EVENT_V1, "x", "default")
        with pytest.raises(errors.NotFound, match=r'^events\.events\.k8s\.io "x" not found'):
            await client.delete(kinds.EVENT_V1, "x", "default")

    run(tmp_path, test)


def test_what_came_empty_is_shown_so_and_counts_where_upstream_counts_it(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
        job = await client.create(kinds.JOB, named("batch/v1", "Job", spec={"template": template}))
        shown: str
        policy: Obj
        for policy, shown in (({}, '{"Rules":null}'), ({"rules": []}, '{"Rules":[]}')):
            changed = {**job, "spec": {**job["spec"], "podFailurePolicy": policy}}
            with pytest.raises(errors.Invalid) as refused:
                await client.update(kinds.JOB, changed)
            assert f"spec.podFailurePolicy: Invalid value: {shown}: field is immutable" in str(refused.value)
        rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": []}}]
        other = named("batch/v1", "Job", spec={"template": template, "podFailurePolicy": {"rules": rules}})
        with pytest.raises(errors.Invalid, match=r"onExitCodes\.values: Invalid value: \[\]: at least one value"):
            await client.create(kinds.JOB, other)
        barrier = named("networking.k8s.io/v1", "NetworkPolicy", spec={"podSelector": {}})
        made = await client.create(kinds.NETWORK_POLICY, barrier)
        same = await client.update(kinds.NETWORK_POLICY, made)
        assert same["metadata"]["generation"] == 1
        same["spec"]["ingress"] = []
        changed = await client.update(kinds.NETWORK_POLICY, same)
        assert changed["metadata"]["generation"] == 2 and "ingress" not in changed["spec"]

    run(tmp_path, test)


def test_a_scale_is_of_the_workload_that_its_writer_had_in_mind(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        await client.create(kinds.DEPLOYMENT, named("apps/v1", "Deployment", spec=spec))
        scale = named("autoscaling/v1", "Scale", spec={"replicas": 2})
        scale["metadata"]["uid"] = "other"
        path = "/apis/apps/v1/namespaces/default/deployments/x/scale"
        for query, key in (({}, "/registry/deployments/default/x"), ({"dryRun": "All"}, "/deployments/default/x")):
            with pytest.raises(errors.Conflict) as refused:
                await client.request("PUT", path, body=scale, query=query)
            assert str(refused.value).startswith(
                'Operation cannot be fulfilled on deployments.apps "x": StorageError: invalid object, Code: 4, '
                f"Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: other, "
            )

    run(tmp_path, test)


def test_lengths_of_names_are_counted_in_what_upstream_counts_them_in(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        name = "x" * 254
        refused = {
            kinds.DEVICE_CLASS: "must be no more than 253 bytes",
            kinds.RUNTIME_CLASS: "must be no more than 253 characters",
        }
        for kind, text in refused.items():
            obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, "handler": "h"}
            with pytest.raises(errors.Invalid, match=f'metadata.name: Invalid value: "{name}": {text}'):
                await client.create(kind, obj)
        labelled = named("v1", "ConfigMap")
        labelled["metadata"]["labels"] = {f"{name}/a": "b"}
        with pytest.raises(errors.Invalid, match="prefix part must be no more than 253 bytes"):
            await client.create(kinds.CONFIG_MAP, labelled)

    run(tmp_path, test)


def test_a_stateful_set_is_called_what_its_pods_can_be_called(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        made = named("apps/v1", "StatefulSet", spec={"selector": {"matchLabels": {"a": "b"}}, "template": template})
        made["metadata"]["name"] = "a.b"
        with pytest.raises(errors.Invalid, match='metadata.name: Invalid value: "a.b": must not contain dots'):
            await client.create(kinds.STATEFUL_SET, made)

    run(tmp_path, test)
