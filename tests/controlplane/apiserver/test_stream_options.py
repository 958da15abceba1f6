import asyncio
from typing import Any

import pytest

from apimachinery import errors
from controlplane.apiserver.streams import backend, options, targets, wire
from tests.controlplane.apiserver.server import run


def pod(*containers, init=(), node="n1", **status):
    spec = {"containers": [{"name": c} for c in containers], "initContainers": [{"name": c} for c in init]}
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": {**spec, "nodeName": node}, "status": status}


def test_container_is_chosen_or_asked_for():
    assert options.choose_container(pod("a"), "") == "a"
    assert options.choose_container(pod("a", init=("i",)), "i") == "i"
    with pytest.raises(errors.BadRequest, match=r"choose one of: \[i a b\]"):
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
        ({"stream": ["Stdout"]}, "stream: Forbidden: may not be specified"),
    ],
)
def test_log_options_are_checked_as_upstream(query, message):
    with pytest.raises(errors.Invalid) as refused:
        options.log_query(query, "p")
    assert refused.value.message == f'PodLogOptions "p" is invalid: {message}'


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"tailLines": ["1_0"]}, 'strconv.ParseInt: parsing "1_0": invalid syntax'),
        ({"tailLines": [""]}, 'strconv.ParseInt: parsing "": invalid syntax'),
        ({"sinceSeconds": [""]}, 'strconv.ParseInt: parsing "": invalid syntax'),
        ({"limitBytes": ["", "1"]}, 'strconv.ParseInt: parsing "": invalid syntax'),
        ({"sinceTime": ["soon"]}, 'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"'),
        *(
            ({"sinceTime": [text]}, f'parsing time "{text}": {what} out of range')
            for text, what in (
                ("2026-13-01T00:00:00Z", "month"),
                ("2026-00-41T00:00:00Z", "month"),
                ("2026-02-29T00:00:00Z", "day"),
                ("2026-02-00T00:00:00Z", "day"),
                ("2026-02-30T25:61:00Z", "hour"),
                ("2026-02-01T23:60:00Z", "minute"),
                ("2026-02-01T23:59:60Z", "second"),
                ("2026-02-01T00:00:00+25:00", "time zone offset hour"),
                ("2026-02-01T00:00:00-01:61", "time zone offset minute"),
            )
        ),
    ],
)
def test_log_options_that_cannot_be_read(query, message):
    with pytest.raises(errors.BadRequest) as refused:
        options.log_query(query, "p")
    assert refused.value.message == message


@pytest.mark.parametrize(
    "text", ["2024-02-29T23:59:59.123456789Z", "0000-02-29T00:00:00+24:00", "2026-12-31T00:00:00-01:30"]
)
def test_times_that_can_be_read(text):
    assert options.log_query({"sinceTime": [text]}, "p") == [("sinceTime", text)]


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
    status: dict[str, Any] = {"addresses": [{"type": t, "address": a} for t, a in addresses]}
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


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web", ("", "web", "")),
        ("web:", ("", "web", "")),
        ("web:http", ("", "web", "http")),
        ("https:web", ("", "https", "web")),
        ("https:web:", ("https", "web", "")),
        ("https:web:8443", ("https", "web", "8443")),
        ("http:web:name", ("http", "web", "name")),
        (":web:80", ("", "web", "80")),
        ("ftp:web:1", None),
        ("HTTPS:web:1", None),
        ("a:b:c:d", None),
        (":80", None),
        ("https::80", None),
    ],
)
def test_names_of_what_is_proxied(text, parts):
    if parts is None:
        with pytest.raises(errors.BadRequest, match=f'invalid pod request "{text}"'):
            targets.parse_name(text, "pod")
    else:
        assert targets.parse_name(text, "pod") == targets.Name(*parts)


@pytest.mark.parametrize(
    "own",
    [
        "",
        "name",
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1",
        "::",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_what_is_the_server_s_own_is_not_proxied_to(own):
    assert not targets.is_proxyable(own)
    assert all(map(targets.is_proxyable, ("10.1.2.3", "192.0.2.1", "fd00::1")))


def test_ports_of_a_pod():
    named = {"spec": {"containers": [{}, {"ports": [{"containerPort": 81}, {"containerPort": 82}]}]}}
    assert targets.pod_port(named, targets.Name("", "p", "")) == "81"
    assert targets.pod_port(named, targets.Name("", "p", "82")) == "82"
    assert targets.pod_port({"spec": {}}, targets.Name("", "p", "")) == "80"
    assert targets.pod_port({"spec": {}}, targets.Name("https", "p", "")) == "443"


@pytest.mark.parametrize(
    ("port", "called"),
    [("", ""), ("web", "web"), ("80", "web"), ("81", ""), ("other", "other"), ("8080", None), ("99999", None)],
)
def test_a_port_s_number_is_the_service_s_and_its_name_the_endpoints_own(port, called):
    service = {"spec": {"ports": [{"name": "web", "port": 80, "targetPort": 8080}, {"port": 81}]}}
    name = targets.Name("", "s", port)
    if called is None:
        with pytest.raises(errors.ServiceUnavailable, match=f'no service port {port} found for service "s"'):
            targets.endpoint_port(service, name)
    else:
        assert targets.endpoint_port(service, name) == called
    if port.isdigit():
        with pytest.raises(errors.NotFound, match='services "s" not found'):
            targets.endpoint_port(None, name)


def test_only_ready_pods_of_the_namespace_are_behind_a_service():
    def endpoint(address, namespace="n", name="p", kind="Pod", **conditions):
        target = {"kind": kind, "namespace": namespace, "name": name}
        return {"addresses": [address], "conditions": conditions, "targetRef": target}

    found = {
        "ports": [{"name": "web", "port": 8080}, {"name": "b", "port": 8081}],
        "endpoints": [
            endpoint("10.0.0.1"),
            endpoint("10.0.0.1", ready=False),
            endpoint("10.0.0.9", ready=True),
            endpoint("10.0.0.1", namespace="other"),
            endpoint("10.0.0.1", name="gone"),
            endpoint("10.0.0.1", kind="Node"),
            {"addresses": ["10.0.0.1"]},
        ],
    }
    pods = {"p": {"status": {"podIPs": [{"ip": "10.0.0.1"}]}}}
    assert targets.of_pods(targets.ready([found], "b"), "n", pods.get) == [("10.0.0.1", 8081)]
    assert not list(targets.ready([found], ""))


def test_log_options_are_looked_at_before_the_pod(tmp_path):
    async def test(client):
        with pytest.raises(errors.Invalid, match="tailLines"):
            await client.request("GET", "/api/v1/namespaces/default/pods/none/log", query={"tailLines": "-1"})
        with pytest.raises(errors.NotFound):
            await client.request("GET", "/api/v1/namespaces/default/pods/none/log", query={"tailLines": "1"})

    run(tmp_path, test)
