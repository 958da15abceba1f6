import json

import pytest

from apimachinery import errors, protobuf
from apimachinery.errors import NotAcceptable
from apimachinery.kinds import CONFIG_MAP, SUBJECT_ACCESS_REVIEW
from controlplane.apiserver.formats import accept
from controlplane.apiserver.formats.encodings import MetadataFormat, ProtobufFormat, TableFormat, YamlFormat
from controlplane.apiserver.formats.negotiate import negotiate
from controlplane.apiserver.pipeline import status_response
from controlplane.apiserver.request import ANONYMOUS, Request

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def asked(header, verb="get", kind=CONFIG_MAP, **query):
    return Request(
        method="GET", path="/", verb=verb, group="", version="v1", resource="x", subresource="", namespace="", name="n",
        tail="", kind=kind, query={k: [v] for k, v in query.items()}, raw_query="", headers={"Accept": header},
        user=ANONYMOUS, body=None, stream=None, transport=None,
    )  # fmt: skip


def test_accept_orders_by_quality_and_keeps_parameters():
    found = accept.parse('text/html;q=0.5, application/json;as="Table";q=0.9, */*;q=0, application/yaml')
    assert [m.type for m in found] == ["application/yaml", "application/json", "text/html"]
    assert found[1].parameters == {"as": "Table"}


@pytest.mark.parametrize(
    ("header", "verb", "kind"),
    [
        ("", "get", type(None)),
        ("application/json", "get", type(None)),
        ("*/*", "get", type(None)),
        ("text/html, application/json;q=0.5", "list", type(None)),
        (f"{TABLE},application/json", "list", TableFormat),
        (f"{TABLE},application/json", "watch", TableFormat),
        (PARTIAL, "get", MetadataFormat),
        (f"application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,{PARTIAL}", "list", MetadataFormat),
        ("application/yaml", "get", YamlFormat),
        ("application/vnd.kubernetes.protobuf", "get", ProtobufFormat),
        # A client that takes JSON as well gets the stored bytes.
        ("application/vnd.kubernetes.protobuf,application/json", "get", type(None)),
    ],
)
def test_choice(header, verb, kind):
    assert isinstance(negotiate(asked(header, verb)), kind)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("text/html", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml,"),
        ("application/json;as=Odd;g=meta.k8s.io;v=v1", "only the following media types are accepted: application/json"),
        ("application/json;as=Table;g=meta.k8s.io;v=v9", "only the following media types are accepted"),
        ("application/yaml;as=Table;g=meta.k8s.io;v=v1", "only the following media types are accepted"),
    ],
)
def test_refusals(header, text):
    with pytest.raises(NotAcceptable, match="^" + text.replace("\n", "\\n")):
        negotiate(asked(header))


def test_reviews_have_no_table():
    with pytest.raises(NotAcceptable):
        negotiate(asked(TABLE, "create", SUBJECT_ACCESS_REVIEW))
    assert negotiate(asked(f"{TABLE},application/json", "create", SUBJECT_ACCESS_REVIEW)) is None


def config_map(name="m", version="7"):
    meta = {"name": name, "namespace": "ns", "resourceVersion": version, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "b"}}


def test_watched_table_has_columns_once():
    form = TableFormat()
    first = json.loads(form.event("ADDED", CONFIG_MAP, config_map(), True))
    later = json.loads(form.event("MODIFIED", CONFIG_MAP, config_map(), False))
    assert [c["name"] for c in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert later["object"]["columnDefinitions"] is None
    assert later["object"]["rows"][0]["cells"][:2] == ["m", 1]
    mark = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}}
    bookmark = json.loads(form.event("BOOKMARK", CONFIG_MAP, mark, False))
    assert bookmark["object"]["metadata"] == {"resourceVersion": "9"} and bookmark["object"]["rows"] == []
    status = {"kind": "Status", "code": 410}
    assert json.loads(form.event("ERROR", CONFIG_MAP, status, False))["object"] == status


def test_metadata_alone():
    listed = json.loads(MetadataFormat().many(CONFIG_MAP, [config_map()], {"resourceVersion": "9"}))
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["items"][0]["kind"] == "PartialObjectMetadata" and "data" not in listed["items"][0]


def test_protobuf_is_read_back():
    form = ProtobufFormat()
    assert protobuf.decode(form.one(CONFIG_MAP, config_map())) == config_map()
    listed = protobuf.decode(form.many(CONFIG_MAP, [config_map("a"), config_map("b")], {"resourceVersion": "9"}))
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b"]
    frame = form.event("ADDED", CONFIG_MAP, config_map(), True)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert frame[4:11] == b"\x0a\x05ADDED"
    assert protobuf.decode(frame[frame.index(protobuf.MAGIC) :]) == config_map()
    with pytest.raises(NotAcceptable):
        form.one(None, {"apiVersion": "example.com/v1", "kind": "Widget"})


@pytest.mark.parametrize(
    ("header", "content_type"),
    [
        ("", "application/json"),
        ("text/html", "application/json"),
        ("application/yaml", "application/yaml"),
        ("application/yaml;as=Table", "application/json"),
        ("application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf"),
        ("application/vnd.kubernetes.protobuf,application/json", "application/json"),
    ],
)
def test_refusals_are_told_in_the_clients_encoding_with_what_was_odd_besides(header, content_type):
    request = asked(header, "get")
    request.warnings.append('unknown field "x"')
    told = status_response(errors.NotFound("no"), request)
    assert told.content_type == content_type and told.warnings == ('unknown field "x"',)
    body = protobuf.decode(told.body) if "protobuf" in content_type else json.loads(told.body)
    assert body["code"] == 404 and body["message"] == "no"
