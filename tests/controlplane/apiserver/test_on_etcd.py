"""API servers on real etcd: what lies in it, and several servers that share it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors, protobuf
from apimachinery.client import Client
from apimachinery.kinds import CONFIG_MAP, ENDPOINT_SLICE, ENDPOINTS, EVENT, NAMESPACE, RESOURCE_QUOTA, SERVICE, define
from apimachinery.objects import Obj
from benchmarks import ports
from controlplane.apiserver.layout import UpstreamLayout
from controlplane.apiserver.maintained import servers as leases
from controlplane.apiserver.resources import builtin
from controlplane.apiserver.strategies.services import claim
from controlplane.store import Place, Put
from controlplane.store.etcd.store import EtcdStore
from tests import etcds
from tests.controlplane.apiserver.custom.definitions import boat, definition, version
from tests.controlplane.apiserver.custom.test_served import established
from tests.controlplane.apiserver.server import serving
from tests.controlplane.store.etcd.test_store import etcdctl
from tests.controlplane.store.following import Plain
from tests.waiting import SECONDS, WHOLE, until


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[etcds.Etcd]:
    with etcds.running(etcds.any_program(), tmp_path_factory.mktemp("etcd")) as found:
        yield found


@asynccontextmanager
async def several(folder: Path, etcd: etcds.Etcd, count: int, **settings: Any) -> AsyncIterator[list[Client]]:
    """All start at once."""
    async with AsyncExitStack() as stack:
        starting = []
        for number in range(count):
            own = folder / f"server{number}"
            own.mkdir(exist_ok=True)
            address, (port,) = f"192.0.2.{number + 1}", ports.free()
            given = {
                "etcd_servers": etcd.urls,
                "etcd_prefix": f"/{folder.name}",
                "advertise_address": address,
                "port": port,
                **settings,
            }
            starting.append(stack.enter_async_context(serving(own, store="etcd", **given)))
        yield await asyncio.gather(*starting)


def run(main: Callable[[], Awaitable[None]], seconds: float = 60) -> None:
    asyncio.run(asyncio.wait_for(main(), seconds))


def config_map(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def service(name: str, **spec: Any) -> Obj:
    ports = [{"port": 80}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports, **spec}}


# --- what lies there ---


def test_keys_and_values_are_as_upstreams_tools_expect_them(tmp_path: Path, etcd: etcds.Etcd) -> None:
    async def main() -> None:
        async with several(tmp_path, etcd, 1) as (client,):
            await client.create(CONFIG_MAP, config_map("c", key="value"), "default")
            await client.create(SERVICE, service("web", type="NodePort"), "default")
            keys = etcdctl(etcd.urls[0], "get", f"/{tmp_path.name}", "--prefix", "--keys-only").split()
            short = [key.removeprefix(f"/{tmp_path.name}/") for key in keys]
            ip = (await client.get(SERVICE, "web", "default"))["spec"]["clusterIP"]
            for wanted in (
                "configmaps/default/c",
                "services/specs/default/web",
                "services/specs/default/kubernetes",
                "services/endpoints/default/kubernetes",
                "endpointslices/default/kubernetes",
                "namespaces/kube-system",
                "clusterroles/system:node",
                "priorityclasses/system-node-critical",
                "apiregistration.k8s.io/apiservices/v1.apps",
                "masterleases/192.0.2.1",
                f"ranges/serviceips/{ip}",
            ):
                assert wanted in short
            value = json.loads(
                etcdctl(etcd.urls[0], "get", f"/{tmp_path.name}/configmaps/default/c", "--print-value-only")
            )
            assert (value["kind"], value["apiVersion"], value["data"]) == ("ConfigMap", "v1", {"key": "value"})
            assert "resourceVersion" not in value["metadata"]

    run(main)


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("pods/ns/a", "pods/ns/a"),
        ("nodes//a", "minions/a"),
        ("deployments.apps/ns/a", "deployments/ns/a"),
        ("ingresses.networking.k8s.io/ns/a", "ingress/ns/a"),
        ("ipaddresses.networking.k8s.io//10.0.0.1", "ipaddresses/10.0.0.1"),
        ("replicationcontrollers/ns/a", "controllers/ns/a"),
        ("endpoints/ns/a", "services/endpoints/ns/a"),
        ("clusterroles.rbac.authorization.k8s.io//system:node", "clusterroles/system:node"),
        ("customresourcedefinitions.apiextensions.k8s.io//a", "apiextensions.k8s.io/customresourcedefinitions/a"),
        ("widgets.example.com/ns/a", "example.com/widgets/ns/a"),
        ("widgets.example.com//a", "example.com/widgets/a"),
    ],
)
def test_a_key_lies_where_upstream_keeps_it_and_is_found_there(key: str, place: str) -> None:
    layout = UpstreamLayout(builtin.catalog())
    assert (layout.place(key), layout.key(place)) == (place, key)


def test_every_kind_has_a_place_of_its_own() -> None:
    layout = UpstreamLayout(builtin.catalog())
    storages = {row.kind.storage for row in builtin.catalog() if row.kept}
    keys = [f"{storage}/{namespace}/x" for storage in storages for namespace in ("", "ns")]
    assert [layout.key(layout.place(key)) for key in keys] == keys


def test_what_is_no_object_is_nobodys() -> None:
    layout = UpstreamLayout(builtin.catalog())
    for place in ("pods", "pods/ns/a/b", "ranges/serviceips/10.0.0.1", "unknown/a", ""):
        assert layout.key(place) is None


def test_what_upstreams_server_wrote_can_be_read(tmp_path: Path, etcd: etcds.Etcd) -> None:
    async def main() -> None:
        async with several(tmp_path, etcd, 1) as (client,):
            body = {**config_map("theirs", key="value"), "metadata": {"name": "theirs", "namespace": "default"}}
            other = EtcdStore(Place(tmp_path, etcd.urls, prefix=tmp_path.name), Plain())
            await other.open()
            await other.txn([Put("configmaps/default/theirs", protobuf.encode(body))])
            await other.close()
            found = await client.get(CONFIG_MAP, "theirs", "default")
            assert found["data"] == {"key": "value"} and found["metadata"]["namespace"] == "default"
            found["data"] = {"key": "changed"}
            await client.update(CONFIG_MAP, found)

    run(main)


def test_events_go_by_themselves(tmp_path: Path, etcd: etcds.Etcd) -> None:
    async def main() -> None:
        async with several(tmp_path, etcd, 1, event_ttl=1) as (client,):
            about = {"kind": "Pod", "namespace": "default", "name": "p"}
            event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": about}
            made = await client.create(EVENT, event, "default")
            begun = made["metadata"]["resourceVersion"]
            async for type, _ in client.watch(EVENT, namespace="default", resource_version=begun):
                if type == "DELETED":
                    break

    run(main, 20)


# --- several ---


def test_what_one_server_answered_every_other_knows_at_once(tmp_path: Path, etcd: etcds.Etcd) -> None:
    async def main() -> None:
        async with several(tmp_path, etcd, 3) as clients:
            for number in range(15):
                one, two, three = (clients[(number + shift) % 3] for shift in range(3))
                made = await one.create(CONFIG_MAP, config_map(f"c{number}"), "default")
                read = await two.get(CONFIG_MAP, f"c{number}", "default")
                assert read == made
                listed = await three.list(CONFIG_MAP, "default")
                assert made in listed["items"]
                read["data"] = {"by": "two"}
                changed = await two.update(CONFIG_MAP, read)
                with pytest.raises(errors.Conflict):
                    await three.update(CONFIG_MAP, made)
                with pytest.raises(errors.AlreadyExists):
                    await three.create(CONFIG_MAP, config_map(f"c{number}"), "default")
                if number % 2:
                    await three.delete(CONFIG_MAP, f"c{number}", "default")
                    with pytest.raises(errors.NotFound):
                        await one.get(CONFIG_MAP, f"c{number}", "default")
                    with pytest.raises(errors.NotFound):
                        await two.update(CONFIG_MAP, changed)
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fresh"}}
            await clients[0].create(NAMESPACE, namespace)
            await clients[1].create(CONFIG_MAP, config_map("c"), "fresh")

    run(main)


def test_what_one_server_defines_every_other_serves_at_once(tmp_path: Path, etcd: etcds.Etcd) -> None:
    async def main() -> None:
        async with several(tmp_path, etcd, 3) as clients:
            for number in range(5):
                one, two, three = (clients[(number + shift) % 3] for shift in range(3))
                group = f"sea{number}.example.com"
                boats = define(group, "v1", "Boat", "boats", status=True)
                await established(one, definition(version(), group=group))
                made = await two.create(boats, {**boat("a"), "apiVersion": f"{group}/v1"})
                assert await three.get(boats, "a", "default") == made
                assert (await three.request("GET", f"/apis/{group}/v1"))["resources"]
                place = f"/{tmp_path.name}/{group}/boats/default/a"
                value = json.loads(etcdctl(etcd.urls[0], "get", place, "--print-value-only"))
                assert list(value)[:3] == ["apiVersion", "kind", "metadata"] and value["kind"] == "Boat"
                assert value["apiVersion"] == f"{group}/v1" and "resourceVersion" not in value["metadata"]
        async with several(tmp_path, etcd, 1) as (again,):
            assert (await again.get(boats, "a", "default")) == made

    run(main)


def test_watches_at_all_servers_tell_the_same(tmp_path: Path, etcd: etcds.Etcd) -> None:
    async def main() -> None:
        async with several(tmp_path, etcd, 2) as clients:
            begun = (await clients[0].list(CONFIG_MAP, "default"))["metadata"]["resourceVersion"]
            told: list[list[tuple[str, str, str]]] = [[], []]

            async def watch(client: Client, found: list[tuple[str, str, str]]) -> None:
                async for type, obj in client.watch(CONFIG_MAP, namespace="default", resource_version=begun):
                    found.append((type, obj["metadata"]["name"], obj["metadata"]["resourceVersion"]))

            watching = [asyncio.ensure_future(watch(*pair)) for pair in zip(clients, told, strict=True)]
            await asyncio.gather(
                *(clients[n % 2].create(CONFIG_MAP, config_map(f"w{n}"), "default") for n in range(30))
            )
            await asyncio.gather(*(clients[(n + 1) % 2].delete(CONFIG_MAP, f"w{n}", "default") for n in range(30)))
            await until(lambda: len(told[0]) == len(told[1]) == 60)
            assert told[0] == told[1]
            for task in watching:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*watching)

    run(main)


def test_no_address_and_no_port_is_given_out_twice(tmp_path: Path, etcd: etcds.Etcd) -> None:
    """Few of them, and every server takes some at once: each is given out, and none twice."""

    async def main() -> None:
        scarce = {"service_cidr": "10.97.0.0/27", "node_port_range": "30000-30019"}
        async with several(tmp_path, etcd, 3, **scarce) as clients:

            async def make(number: int) -> Obj | None:
                try:
                    return await clients[number % 3].create(SERVICE, service(f"s{number}", type="NodePort"), "default")
                except errors.InternalError as error:
                    assert "allocate" in error.message
                    return None

            made = [found for found in await asyncio.gather(*map(make, range(24))) if found is not None]
            assert len(made) == 20
            assert len({one["spec"]["ports"][0]["nodePort"] for one in made}) == 20
            assert len({one["spec"]["clusterIP"] for one in made}) == 20
            wanted = made[0]["spec"]["clusterIP"]
            for client in clients:
                with pytest.raises(errors.Invalid, match="already allocated"):
                    await client.create(SERVICE, service("taken", clusterIP=wanted), "default")
            # What goes can be had again, from any of them.
            await clients[0].delete(SERVICE, made[0]["metadata"]["name"], "default")
            again = await clients[1].create(SERVICE, service("again", clusterIP=wanted), "default")
            assert again["spec"]["clusterIP"] == wanted

    run(main)


def test_a_quota_is_not_passed_by_several_servers_together(tmp_path: Path, etcd: etcds.Etcd) -> None:
    """A hundred creations at once, and what makes room later is had by one of them alone."""

    async def main() -> None:
        async with several(tmp_path, etcd, 2, keep_quota_statuses=True) as clients:
            limits = ({"configmaps": "40", "count/configmaps": "60"}, {"count/configmaps": "50"})
            for number, hard in enumerate(limits):
                quota = {"metadata": {"name": f"q{number}"}, "spec": {"hard": hard}}
                await clients[number].create(RESOURCE_QUOTA, quota, "default")

            async def make(number: int) -> str:
                try:
                    await clients[number % 2].create(CONFIG_MAP, config_map(f"c{number:03}"), "default")
                except errors.Forbidden as error:
                    assert "exceeded quota: q0, requested: configmaps=1, used: configmaps=40" in error.message
                    return ""
                return f"c{number:03}"

            # Both have heard of both quotas.
            for client in clients:
                assert len((await client.list(RESOURCE_QUOTA, "default"))["items"]) == 2
            made = [name for name in await asyncio.gather(*map(make, range(100))) if name]
            assert len(made) == 40
            await asyncio.gather(*(clients[1].delete(CONFIG_MAP, name, "default") for name in made[:3]))
            assert len(list(filter(None, await asyncio.gather(*map(make, range(100, 110)))))) == 3

            async def told() -> bool:
                quotas = (await clients[0].list(RESOURCE_QUOTA, "default"))["items"]
                used = [quota["status"].get("used") for quota in quotas]
                return used == [{"configmaps": "40", "count/configmaps": "40"}, {"count/configmaps": "40"}]

            await until(told)

    run(main, WHOLE)


def test_no_changes_pass_a_quota_through_several_servers_together(tmp_path: Path, etcd: etcds.Etcd) -> None:
    """What loses against another server's write is not the client's conflict, unless the object itself was changed."""

    async def main() -> None:
        async with several(tmp_path, etcd, 2) as clients:
            quota = {"metadata": {"name": "q"}, "spec": {"hard": {"services.nodeports": "6"}}}
            await clients[0].create(RESOURCE_QUOTA, quota, "default")
            assert len((await clients[1].list(RESOURCE_QUOTA, "default"))["items"]) == 1
            made = [await clients[0].create(SERVICE, service(f"s{number:02}"), "default") for number in range(16)]

            async def change(number: int) -> bool:
                client, wanted = clients[number % 2], made[number]
                try:
                    if number % 4 < 2:
                        await client.patch(SERVICE, f"s{number:02}", {"spec": {"type": "NodePort"}}, "default")
                    else:
                        await client.update(SERVICE, {**wanted, "spec": {**wanted["spec"], "type": "NodePort"}})
                except errors.Forbidden as error:
                    assert "used: services.nodeports=6, limited: services.nodeports=6" in error.message
                    return False
                return True

            assert sum(await asyncio.gather(*map(change, range(16)))) == 6

    run(main)


def test_of_servers_that_give_out_the_same_address_one_succeeds(tmp_path: Path, etcd: etcds.Etcd) -> None:
    async def main() -> None:
        async with several(tmp_path, etcd, 3) as clients:
            outcomes = await asyncio.gather(
                *(
                    client.create(SERVICE, service(f"s{number}", clusterIP="10.97.0.77"), "default")
                    for number, client in enumerate(clients)
                ),
                return_exceptions=True,
            )
            assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1
            assert all("already allocated" in str(one) for one in outcomes if not isinstance(one, dict))

    run(main)


def test_servers_that_begin_together_make_the_kubernetes_service_once(
    tmp_path: Path, etcd: etcds.Etcd, caplog: pytest.LogCaptureFixture
) -> None:
    """All want its address, and those that come later are told that it is taken: by the Service that they want."""

    async def main() -> None:
        async with several(tmp_path, etcd, 3) as clients:
            found = [await client.get(SERVICE, "kubernetes", "default") for client in clients]
            assert found[0]["spec"]["clusterIP"] == "10.97.0.1" and found == [found[0]] * 3

    run(main)
    assert "cannot be published" not in caplog.text


def test_what_is_claimed_by_nobody_who_is_there_may_be_taken(tmp_path: Path, etcd: etcds.Etcd) -> None:
    async def main() -> None:
        async with several(tmp_path, etcd, 1) as (client,):
            layout = UpstreamLayout(builtin.catalog())
            place = f"/{tmp_path.name}/{layout.place(claim('serviceips', '10.97.0.77'))}"
            etcdctl(etcd.urls[0], "put", place, "default/gone")
            made = await client.create(SERVICE, service("s", clusterIP="10.97.0.77"), "default")
            assert made["spec"]["clusterIP"] == "10.97.0.77"
            assert etcdctl(etcd.urls[0], "get", place, "--print-value-only").strip() == "default/s"

    run(main)


def test_the_kubernetes_service_shows_the_servers_that_are_there(
    tmp_path: Path, etcd: etcds.Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "TTL", 2)
    monkeypatch.setattr(leases, "EVERY", 0.5)

    async def shown(client: Client) -> tuple[list[str], list[str]]:
        subsets = (await client.get(ENDPOINTS, "kubernetes", "default"))["subsets"]
        sliced = (await client.get(ENDPOINT_SLICE, "kubernetes", "default"))["endpoints"]
        return [a["ip"] for s in subsets for a in s["addresses"]], [a for e in sliced for a in e["addresses"]]

    async def main() -> None:
        both = ["192.0.2.1", "192.0.2.2"]
        async with several(tmp_path, etcd, 1) as (client,):
            async with several(tmp_path, etcd, 2):
                await until(lambda: equals(client, (both, both)))
            await until(lambda: equals(client, (both[:1], both[:1])))
            # Of one that was killed, etcd forgets what it said: here when it is told to, and not at any moment before.
            lease = etcdctl(etcd.urls[0], "lease", "grant", "600").split()[1]
            etcdctl(etcd.urls[0], "put", f"/{tmp_path.name}/masterleases/192.0.2.2", "{}", f"--lease={lease}")
            await until(lambda: equals(client, (both, both)))
            etcdctl(etcd.urls[0], "lease", "revoke", lease)
            await until(lambda: equals(client, (both[:1], both[:1])))

    async def equals(client: Client, wanted: tuple[list[str], list[str]]) -> bool:
        return await shown(client) == wanted

    run(main)


def test_a_watch_goes_on_at_another_server_and_at_one_that_was_restarted(tmp_path: Path, etcd: etcds.Etcd) -> None:
    async def main() -> None:
        async with several(tmp_path, etcd, 1) as (client,):
            made = [await client.create(CONFIG_MAP, config_map(f"c{n}"), "default") for n in range(10)]
        async with several(tmp_path, etcd, 2) as clients:
            for client in clients:
                names = []
                async for _, obj in client.watch(
                    CONFIG_MAP, namespace="default", resource_version=made[2]["metadata"]["resourceVersion"]
                ):
                    names.append(obj["metadata"]["name"])
                    if len(names) == 7:
                        break
                assert names == [f"c{n}" for n in range(3, 10)]

    run(main)


def test_without_etcd_requests_are_refused_soon_and_the_server_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(etcd: etcds.Etcd) -> None:
        async with several(tmp_path, etcd, 1) as (client,):
            await client.create(CONFIG_MAP, config_map("c"), "default")
            for module in ("store", "calls"):
                monkeypatch.setattr(f"controlplane.store.etcd.{module}.DEADLINE", 0.5)
            etcd.members[0].signal(9)
            for work in (
                lambda: client.get(CONFIG_MAP, "c", "default"),
                lambda: client.create(CONFIG_MAP, config_map("d"), "default"),
            ):
                with pytest.raises((errors.ServiceUnavailable, errors.Timeout), match="etcd at"):
                    await asyncio.wait_for(work(), SECONDS)
            with pytest.raises(errors.ApiError, match="etcd-readiness"):
                await client.request("GET", "/readyz")
            monkeypatch.undo()
            etcd.members[0].start()
            await until(lambda: created(client))

    async def created(client: Client) -> bool:
        try:
            return bool(await client.create(CONFIG_MAP, config_map("e"), "default"))
        except (errors.ServiceUnavailable, errors.Timeout):
            return False

    with etcds.running(etcds.any_program(), tmp_path) as etcd:
        run(lambda: main(etcd))
