"""Tracker, topology, ledger and the small pure parts beside them."""

from __future__ import annotations

import socket
import struct
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timezone

from apimachinery.kit.conntrack import Flow, parse_flow
from netproxy import conntrack, names, views
from netproxy.ground import Ground, allowed_sources
from netproxy.health import local_counts, node_eligible
from netproxy.ledger import Ledger
from netproxy.model import Backend, Endpoint, Family, PortKey, Route, ServicePort
from netproxy.topology import Place, choose
from netproxy.tracker import Tracker
from tests.netproxy.simulated import endpoint, endpoint_slice, service, tracker

KEY = PortKey("default", "svc", "p", "TCP", Family.IPV4)
PORT = ServicePort(KEY, "10.96.0.100", 80)


def test_names_are_those_of_kube_proxy() -> None:
    backend = Backend("10.244.1.5", 8080)
    assert names.cluster_chain(KEY) == "KUBE-SVC-7DOULVA7RZ3BZ433"
    assert names.endpoint_chain(KEY, backend) == "KUBE-SEP-STQ2F36FMNFDR5BR"
    assert names.endpoint_chain(KEY, Backend("fd00:244:1::5", 8080)) == "KUBE-SEP-O5SK6S6VCECIZBCS"
    assert names.nft_service(KEY) == "service-3BFXG3PV-default/svc/tcp/p"
    assert names.nft_affinity(KEY, backend) == "affinity-4NPQH45Q-default/svc/tcp/p__10.244.1.5/8080"


def test_nft_names_stay_within_the_kernels_limit_and_differ_when_cut() -> None:
    long = [PortKey("n" * 63, "s" * 63, "p" * 15 + str(i), "TCP", Family.IPV6) for i in range(3)]
    made = {names.nft_endpoint(key, Backend("fd00:1234:5678:9abc:def0:1234:5678:9abc", 65535)) for key in long}
    assert len(made) == 3
    assert all(len(name) < 128 and ":" not in name for name in made)


def test_a_slice_that_moves_to_another_service_leaves_the_old_one() -> None:
    track = tracker()
    for name, ip in (("a", "10.96.0.1"), ("b", "10.96.0.2")):
        track.service_changed(None, service({"clusterIP": ip, "clusterIPs": [ip]}, name=name))
    before = endpoint_slice(endpoint("10.244.1.5"), name="s", owner="a")
    track.slice_changed(None, before)
    track.drain()
    track.slice_changed(before, endpoint_slice(endpoint("10.244.1.5"), name="s", owner="b"))
    ends = {key.service: route.cluster if route else None for key, route in track.drain().routes.items()}
    assert ends == {"a": (), "b": (Backend("10.244.1.5", 8080),)}


def test_endpoints_may_come_before_their_service_and_outlive_it() -> None:
    track = tracker()
    some = endpoint_slice(endpoint("10.244.1.5"))
    track.slice_changed(None, some)
    assert not track.drain().routes
    track.service_changed(None, service())
    (route,) = track.drain().routes.values()
    assert route is not None
    assert route.cluster == (Backend("10.244.1.5", 8080),)
    track.service_changed(service(), None)
    changes = track.drain()
    assert list(changes.routes.values()) == [None]
    assert changes.before[route.port.key] == route
    track.slice_changed(some, None)
    assert not track.drain().routes


def test_endpoints_of_several_slices_are_joined_and_doubles_count_once() -> None:
    track = tracker()
    track.service_changed(None, service())
    track.slice_changed(None, endpoint_slice(endpoint("10.244.1.5"), endpoint("10.244.1.6")))
    track.slice_changed(None, endpoint_slice(endpoint("10.244.1.6"), name="svc-2"))
    (route,) = track.drain().routes.values()
    assert route is not None
    assert [b.ip for b in route.cluster] == ["10.244.1.5", "10.244.1.6"]


def test_changes_that_cancel_out_are_no_change() -> None:
    track = tracker()
    track.service_changed(None, service())
    track.drain()
    some = endpoint_slice(endpoint("10.244.1.5"))
    track.slice_changed(None, some)
    track.slice_changed(some, None)
    assert track.pending == 1
    assert not track.drain().routes


def test_a_new_zone_makes_every_choice_anew() -> None:
    track = tracker(Place("node1"))
    track.service_changed(None, service())
    near = {**endpoint("10.244.1.5"), "hints": {"forZones": [{"name": "z1"}]}}
    far = {**endpoint("10.244.2.5"), "hints": {"forZones": [{"name": "z2"}]}}
    track.slice_changed(None, endpoint_slice(near, far))
    (route,) = track.drain().routes.values()
    assert route is not None
    assert len(route.cluster) == 2
    track.place_changed(Place("node1", "z2"))
    (route,) = track.drain().routes.values()
    assert route is not None
    assert [b.ip for b in route.cluster] == ["10.244.2.5"]


def test_trigger_times_come_with_the_change_they_belong_to() -> None:
    track = tracker()
    track.service_changed(None, service())
    some = endpoint_slice(endpoint("10.244.1.5"))
    some["metadata"]["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z"}
    track.slice_changed(None, some)
    assert track.drain().triggers == (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),)
    assert track.drain().triggers == ()


def test_node_hints_win_over_zone_hints() -> None:
    near = Endpoint("10.244.1.5", 1, node_hints=frozenset({"node1"}), zone_hints=frozenset({"z1"}))
    same_zone = Endpoint("10.244.2.5", 1, node_hints=frozenset({"node2"}), zone_hints=frozenset({"z1"}))
    assert [b.ip for b in choose(PORT, [near, same_zone], Place("node1", "z1")).cluster] == ["10.244.1.5"]
    assert len(choose(PORT, [near, same_zone], Place("node3", "z1")).cluster) == 2


def test_local_terminating_endpoint_serves_local_traffic_although_others_are_ready() -> None:
    port = ServicePort(KEY, "10.96.0.100", 80, node_port=30080, external_local=True)
    leaving = Endpoint("10.244.1.5", 1, ready=False, terminating=True, node_name="node1")
    ready = Endpoint("10.244.2.5", 1, node_name="node2")
    route = choose(port, [leaving, ready], Place("node1"))
    assert [b.ip for b in route.cluster] == ["10.244.2.5"]
    assert [b.ip for b in route.local] == ["10.244.1.5"]


def test_ledger_gives_a_contested_piece_to_the_smallest_owner_whatever_the_order() -> None:
    first, second = KEY, PortKey("default", "zzz", "p", "TCP", Family.IPV4)
    for order in ((first, second), (second, first)):
        ledger: Ledger[str, str] = Ledger()
        for owner in order:
            ledger.claim(owner, [("shared", owner.service)])
        assert dict(ledger.items()) == {"shared": "svc"}
        ledger.commit()
        ledger.claim(first, [])
        delta = ledger.delta()
        assert (dict(delta.removed), dict(delta.added)) == ({"shared": "svc"}, {"shared": "zzz"})


def test_source_ranges_admit_the_node_itself_when_they_name_it() -> None:
    ground = Ground(Family.IPV4, node_ips=("10.20.0.11",))
    assert allowed_sources(["10.20.0.0/16"], ("203.0.113.7",), ground) == ("10.20.0.0/16", "203.0.113.7/32")
    assert allowed_sources(["10.0.0.0/8", "10.20.0.0/16"], (), ground) == ("10.0.0.0/8",)
    assert allowed_sources(["192.0.2.0/24"], ("203.0.113.7",), ground) == ("192.0.2.0/24",)


def test_health_check_node_port_counts_pods_not_ports() -> None:
    routes = {}
    for name in ("p", "q"):
        key = PortKey("default", "svc", name, "TCP", Family.IPV4)
        port = ServicePort(key, "10.96.0.100", 80, node_port=1, external_local=True, health_check_node_port=30999)
        routes[key] = Route(port, (), (Backend("10.244.1.5", 8080, True),), True)
    assert local_counts(routes) == {30999: ("default", "svc", 1)}


def test_an_endpoint_on_its_way_out_is_sent_what_comes_and_not_counted() -> None:
    """Balancers are told to send nothing more, while what they send meanwhile is served (KEP-1669)."""
    track, going = tracker(Place("node2")), {"ready": False, "serving": True, "terminating": True}
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30999}
    track.service_changed(None, service(local, ("203.0.113.7",)))
    both = endpoint_slice(endpoint("10.244.2.5"), endpoint("10.244.2.6", "node2", **going))
    track.slice_changed(None, both)
    (route,) = (r for r in drained(track).values() if r.port.health_check_node_port)
    assert [backend.ip for backend in route.local] == ["10.244.2.5"]
    assert local_counts(track.health_checked) == {30999: ("default", "svc", 1)}
    track.slice_changed(
        both, endpoint_slice(endpoint("10.244.2.5", "node2", **going), endpoint("10.244.2.6", "node2", **going))
    )
    (route,) = (r for r in drained(track).values() if r.port.health_check_node_port)
    assert [backend.ip for backend in route.local] == ["10.244.2.5", "10.244.2.6"]
    assert local_counts(track.health_checked) == {30999: ("default", "svc", 0)}


def drained(track: Tracker) -> dict[PortKey, Route]:
    track.drain()
    return dict(track.routes)


def test_routes_with_a_health_check_node_port_are_those_of_the_last_drain() -> None:
    track = tracker(Place("node2"))
    shared = {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"}
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30999}
    one, other = service(shared, ("203.0.113.7",), "a"), service(local, ("203.0.113.8",), "b")
    track.service_changed(None, one)
    track.service_changed(None, other)
    track.slice_changed(None, endpoint_slice(endpoint("10.244.2.5", "node2"), name="b-1", owner="b"))
    assert not track.health_checked
    track.drain()
    assert local_counts(track.health_checked) == local_counts(track.routes) == {30999: ("default", "b", 1)}
    now_shared = service(shared, ("203.0.113.8",), "b")
    track.service_changed(other, now_shared)
    track.drain()
    assert not track.health_checked
    track.service_changed(now_shared, other)
    track.drain()
    assert len(track.health_checked) == 1
    track.service_changed(other, None)
    track.drain()
    assert not track.health_checked and len(track.routes) == 1


def test_node_eligibility() -> None:
    assert node_eligible({"metadata": {}, "spec": {}})
    assert not node_eligible(None)
    assert not node_eligible({"metadata": {"deletionTimestamp": "x"}})
    assert not node_eligible({"metadata": {}, "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}})


def _flow(destination: tuple[str, int], answering: tuple[str, int], protocol: int = 17) -> Flow:
    return Flow(protocol, destination, answering, b"")


def test_stale_flows_are_those_that_lead_to_no_backend_of_the_service_any_more() -> None:
    key = PortKey("default", "dns", "p", "UDP", Family.IPV4)
    port = ServicePort(key, "10.96.0.10", 53, node_port=30053)
    old = Route(port, (Backend("10.244.1.5", 53), Backend("10.244.1.6", 53)), (), True)
    new = Route(port, (Backend("10.244.1.6", 53),), (), True)
    wish = conntrack.wanted({key: (old, new)}, Family.IPV4)
    vip = ("10.96.0.10", 53)
    gone, kept = _flow(vip, ("10.244.1.5", 53)), _flow(vip, ("10.244.1.6", 53))
    never_redirected = _flow(vip, vip)
    node_port = _flow(("10.20.0.11", 30053), ("10.244.1.5", 53))
    strangers = [
        _flow(("192.0.2.1", 30053), ("192.0.2.1", 30053)),
        _flow(("10.96.0.11", 53), ("10.244.1.5", 53)),
        _flow(vip, ("10.244.1.5", 53), protocol=6),
    ]
    assert conntrack.stale([gone, kept, never_redirected, node_port, *strangers], wish) == [
        gone,
        never_redirected,
        node_port,
    ]
    assert not conntrack.wanted({key: (old, new)}, Family.IPV6)


def _attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + b"\0" * (-length % 4)


def test_a_conntrack_message_is_read() -> None:
    def side(source: bytes, target: bytes, sport: int, dport: int) -> bytes:
        ips = _attribute(1, source) + _attribute(2, target)
        ports = (
            _attribute(1, b"\x11") + _attribute(2, sport.to_bytes(2, "big")) + _attribute(3, dport.to_bytes(2, "big"))
        )
        return _attribute(0x8001, ips) + _attribute(0x8002, ports)

    client, vip, pod = bytes([10, 20, 0, 1]), bytes([10, 96, 0, 10]), bytes([10, 244, 1, 5])
    original, reply = side(client, vip, 4000, 53), side(pod, client, 5353, 4000)
    flow = parse_flow(_attribute(0x8001, original) + _attribute(0x8002, reply), socket.AF_INET)
    assert flow == Flow(17, ("10.96.0.10", 53), ("10.244.1.5", 5353), original)
    assert parse_flow(b"", socket.AF_INET) is None


def test_trimmed_objects_say_the_same_and_hold_nothing_else() -> None:
    balancer = {
        "metadata": {
            "name": "web",
            "namespace": "default",
            "resourceVersion": "7",
            "uid": "u",
            "managedFields": [{"manager": "m"}],
        },
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "10.96.0.9",
            "clusterIPs": ["10.96.0.9"],
            "ports": [{"name": "p", "port": 80, "nodePort": 30080, "protocol": "TCP"}],
            "externalIPs": ["203.0.113.9"],
            "externalTrafficPolicy": "Local",
            "internalTrafficPolicy": "Local",
            "healthCheckNodePort": 30999,
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
            "selector": {"app": "web"},
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}, "conditions": []},
    }
    endpoints = {
        "metadata": {
            "name": "web-1",
            "namespace": "default",
            "resourceVersion": "8",
            "labels": {views.SERVICE_NAME_LABEL: "web", "other": "x"},
            "annotations": {views.TRIGGER_ANNOTATION: "2026-01-01T00:00:00Z", "other": "x"},
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["10.244.1.5"],
                "conditions": {"ready": False, "serving": True, "terminating": True},
                "nodeName": "a",
                "hints": {"forZones": [{"name": "z"}], "forNodes": [{"name": "a"}]},
                "targetRef": {"kind": "Pod"},
            }
        ],
        "ports": [{"name": "p", "port": 8080, "protocol": "TCP"}],
    }
    small = views.trim(balancer)
    assert views.service_ports(small) == views.service_ports(balancer) != ()
    assert "selector" not in small["spec"]
    assert "uid" not in small["metadata"]
    small = views.trim(endpoints)
    assert views.slice_owner(small) == "default/web"
    assert views.slice_family(small) == Family.IPV4
    assert views.slice_endpoints(small) == views.slice_endpoints(endpoints) != {}
    assert small["metadata"]["annotations"] == {views.TRIGGER_ANNOTATION: "2026-01-01T00:00:00Z"}
    assert "targetRef" not in small["endpoints"][0]
    assert views.slice_endpoints(views.trim({**endpoints, "endpoints": None})) == {("p", "TCP"): ()}


def _bytes_of_many(make: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        many = [make() for _ in range(2000)]
        return tracemalloc.get_traced_memory()[0] - before if many else 0
    finally:
        tracemalloc.stop()


def test_what_is_kept_of_an_object_tells_which_it_was_and_whose_and_is_small() -> None:
    told = tracker()
    meta = {"namespace": "default", "resourceVersion": "7", "managedFields": [{}]}
    spec = {"clusterIP": "10.96.0.9", "ports": [{"name": "p", "port": 80, "protocol": "TCP"}]}
    made = views.trim({"metadata": {**meta, "name": "web"}, "spec": spec})
    endpoints = views.trim(
        {
            "metadata": {**meta, "name": "web-1", "labels": {views.SERVICE_NAME_LABEL: "web", "other": "x"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.244.1.5"]}],
            "ports": [{"name": "p", "port": 8080, "protocol": "TCP"}],
        }
    )
    told.service_changed(None, made)
    told.slice_changed(None, endpoints)
    ((key, route),) = told.drain().routes.items()
    assert route and [backend.ip for backend in route.cluster] == ["10.244.1.5"]
    kept = views.reference(endpoints)
    wanted = {"namespace": "default", "name": "web-1", "resourceVersion": "7"}
    assert kept == {"metadata": {**wanted, "labels": {views.SERVICE_NAME_LABEL: "web"}}}
    assert type(kept) is type(kept["metadata"]) is dict
    plain = _bytes_of_many(lambda: {"metadata": dict(kept["metadata"].items())})
    assert _bytes_of_many(lambda: views.reference(endpoints)) < 0.75 * plain
    told.slice_changed(kept, None)
    (route,) = told.drain().routes.values()
    assert route and not route.cluster
    told.service_changed(views.reference(made), None)
    assert told.drain().routes == {key: None}
