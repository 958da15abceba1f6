import asyncio

import pytest

from apimachinery import errors
from controlplane.apiserver.streams import backend, options, proxy, wire


def pod(*containers, init=(), node="n1", **status):
    spec = {"containers": [{"name": c} for c in containers], "initContainers": [{"name": c} for c in init]}
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": {**spec, "nodeName": node}, "status": status}


def test_container_is_chosen_or_asked_for():
    assert options.choose_container(pod("a"), "") == "a"
    assert options.choose_container(pod("a", init=("i",)), "i") == "i"
    with pytest.raises(errors.BadRequest, match=r"choose one of: \[a b\] or one of the init containers: \[i\]"):
        options.choose_container(pod("a", "b", init=("i",)), "")
    with pytest.raises(errors.BadRequest, match="container zz is not valid for pod p"):
        options.choose_container(pod("a"), "zz")
    with pytest.raises(errors.BadRequest, match="does not have a host assigned"):
        options.host_of(pod("a", node=""))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"tailLines": ["-1"]}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"sinceSeconds": ["0"]}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"limitBytes": ["0"]}, "limitBytes: Invalid value: 0: must be greater than 0"),
        (
            {"sinceSeconds": ["1"], "sinceTime": ["2020-01-01T00:00:00Z"]},
            "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
    ],
)
def test_log_options_are_checked_as_upstream(query, message):
    with pytest.raises(errors.Invalid) as refused:
        options.log_query(query, "p")
    assert refused.value.message == f'PodLogOptions "p" is invalid: {message}'


def test_paths_carry_what_the_agent_needs():
    query = {"follow": ["true"], "previous": ["0"], "tailLines": ["5"], "container": ["a"]}
    assert options.agent_path("containerLogs", pod("a"), "a", options.log_query(query, "p")) == (
        "/containerLogs/ns/p/a?follow=true&tailLines=5"
    )
    query = {"command": ["sh", "-c", "a b&c"], "stdin": ["true"], "stdout": ["1"], "tty": ["false"]}
    assert options.agent_path("exec", pod("a"), "a", options.stream_query(query)) == (
        "/exec/ns/p/a?input=1&output=1&command=sh&command=-c&command=a+b%26c"
    )
    assert options.agent_path("portForward", pod("a"), "", []) == "/portForward/ns/p"


def node(addresses=(("Hostname", "h"), ("InternalIP", "10.0.0.1"), ("InternalIP", "fd00::1")), port=None):
    status = {"addresses": [{"type": t, "address": a} for t, a in addresses]}
    if port:
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": port}}
    return {"metadata": {"name": "n"}, "status": status}


def test_node_address_is_its_first_internal_one():
    assert backend.agent_address(node(), None) == backend.Address("10.0.0.1", 10250)
    assert backend.agent_address(node((("Hostname", "h"),), port=7), None) == backend.Address("h", 7)
    with pytest.raises(errors.InternalError, match="no preferred addresses"):
        backend.agent_address(node(()), None)


def read(raw, chunk=None):
    async def scenario():
        reader = asyncio.StreamReader()
        reader.feed_data(raw)
        reader.feed_eof()
        head = await wire.read_head(reader)
        return head, b"".join([piece async for piece in wire.read_body(reader, head)])

    return asyncio.run(scenario())


def test_bodies_by_length_by_chunks_and_by_end():
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef")[1] == b"abc"
    chunks = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: r\r\n\r\n"
    )
    assert read(chunks)[1] == b"abc0123456789"
    assert read(b"HTTP/1.1 200 OK\r\n\r\nto the end")[1] == b"to the end"
    assert read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")[0].status == 204


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    ],
)
def test_broken_answers_are_told_apart_from_short_ones(raw):
    with pytest.raises(wire.WireError):
        read(raw)


def test_a_header_cannot_smuggle_a_line():
    with pytest.raises(wire.WireError):
        wire.request_head("GET", "/", [("X", "a\r\nEvil: 1")])


def test_proxy_names_and_addresses():
    assert proxy.parse_name("https:web:8443") == proxy.Name("https", "web", "8443")
    assert proxy.parse_name("web:http") == proxy.Name("", "web", "http")
    with pytest.raises(errors.BadRequest):
        proxy.parse_name("ftp:web:1")
    with pytest.raises(errors.BadRequest, match="address not allowed"):
        proxy.pod_address(pod("a"), proxy.Name("", "p", ""), None)
    for own in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "::ffff:169.254.169.254"):
        with pytest.raises(errors.BadRequest, match="address not allowed"):
            proxy.pod_address(pod("a", podIP=own), proxy.Name("", "p", ""), None)
    assert proxy.pod_address(pod("a", podIP="10.1.2.3"), proxy.Name("", "p", "81"), None).port == 81


def test_service_endpoints_follow_the_port_s_name_and_readiness():
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"name": "web", "port": 80}, {"name": "b", "port": 81}]}}
    found = {
        "ports": [{"name": "web", "port": 8080}, {"name": "b", "port": 8081}],
        "endpoints": [
            {"addresses": ["10.0.0.1"]},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
        ],
    }
    assert proxy.endpoints(service, [found], "") == [("10.0.0.1", 8080)]
    assert proxy.endpoints(service, [found], "b") == [("10.0.0.1", 8081)]
    assert proxy.endpoints(service, [found], "80") == [("10.0.0.1", 8080)]
    with pytest.raises(errors.ServiceUnavailable):
        proxy.endpoints(service, [found], "nope")
