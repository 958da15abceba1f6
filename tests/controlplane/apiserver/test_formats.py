import json
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from apimachinery import accept, errors, kinds, protobuf
from apimachinery.errors import NotAcceptable
from apimachinery.kinds import CONFIG_MAP, SUBJECT_ACCESS_REVIEW
from controlplane.apiserver.formats.encodings import Json, Protobuf, Yaml
from controlplane.apiserver.formats.negotiate import aggregated, negotiate
from controlplane.apiserver.formats.shapes import MetadataFormat, TableFormat, WholeFormat
from controlplane.apiserver.pipeline import status_response
from controlplane.apiserver.request import ANONYMOUS, Request
from controlplane.apiserver.resources import builtin

CATALOG = builtin.catalog()
ODD = "application/json;as=Odd;g=meta.k8s.io"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def table(*arguments, **fields):
    """A Table of ConfigMaps."""
    return TableFormat(*arguments, **{"table": CATALOG.of(CONFIG_MAP).columns, **fields})


def asked(header, verb="get", kind=CONFIG_MAP, **query):
    nothing: Any = None
    return Request(
        method="GET", path="/", verb=verb, group="", version="v1", resource="x", subresource="", namespace="", name="n",
        tail="", kind=kind, query={k: [v] for k, v in query.items()}, raw_query="", headers={"Accept": header},
        user=ANONYMOUS, body=nothing, stream=nothing, transport=None, catalog=CATALOG,
    )  # fmt: skip


def test_accept_orders_by_quality_and_keeps_parameters():
    found = accept.parse("text/html;q=0.5, application/json;as=Table;q=0.9, */*;q=0, application/yaml, nonsense, a/b/c")
    assert [m.type for m in found] == ["application/yaml", "application/json", "text/html", "*/*"]
    assert found[1].parameters == {"as": "Table"}


def test_what_is_named_comes_before_a_range_of_better_quality():
    assert [m.type for m in accept.parse("*/*, application/yaml;q=0.5")] == ["application/yaml", "*/*"]
    assert [m.type for m in accept.parse("application/*, application/yaml;q=0.1")] == [
        "application/yaml",
        "application/*",
    ]


PROTOBUF = "application/vnd.kubernetes.protobuf"
ONLY, BUT = "only the following media types are accepted", "but the requested object is"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("header", "verb", "wanted"),
    [
        ("", "get", None),
        ("application/json", "get", None),
        ("*/*", "get", None),
        ("text/html, application/json;q=0.5", "list", None),
        (f"{TABLE},application/json", "list", table()),
        (f"{TABLE},application/json", "watch", table()),
        (TABLE.replace("v=v1", "v=v1beta1"), "list", table(version="meta.k8s.io/v1beta1")),
        (TABLE.replace("json", "yaml"), "list", table(Yaml())),
        # A Table has no message: the next clause is taken.
        (f"{TABLE.replace('application/json', PROTOBUF)},application/json", "list", None),
        (PARTIAL, "get", MetadataFormat()),
        (PARTIAL, "watch", MetadataFormat()),
        (PARTIAL.replace("v=v1", "v=v1beta1"), "get", MetadataFormat(version="meta.k8s.io/v1beta1")),
        (PARTIAL.replace("application/json", PROTOBUF), "get", MetadataFormat(Protobuf())),
        (f"{PARTIAL_LIST},{PARTIAL}", "list", MetadataFormat()),
        ("application/yaml", "get", WholeFormat(Yaml())),
        (PROTOBUF, "get", WholeFormat(Protobuf())),
        (f"{PROTOBUF},application/json", "get", WholeFormat(Protobuf())),
        (f"application/json,{PROTOBUF}", "get", None),
        (f"application/json;q=0.9,{PROTOBUF};q=0.8", "get", None),
        (f"application/json;q=0.8,{PROTOBUF};q=0.9", "get", WholeFormat(Protobuf())),
        (f"application/yaml;q=0.5,{PROTOBUF};q=0.4,text/html", "get", WholeFormat(Yaml())),
        (f"{PROTOBUF};stream=watch,application/json;stream=watch", "watch", WholeFormat(Protobuf())),
        (f"{PROTOBUF};stream=odd,application/json", "watch", None),
        ("application/json;pretty=1", "get", WholeFormat(Json(pretty=True))),
        ("application/json;pretty=1", "watch", None),
    ],
)
def test_choice(header, verb, wanted):
    assert negotiate(asked(header, verb)) == wanted


@pytest.mark.parametrize(
    ("header", "verb", "text"),
    [
        ("text/html", "get", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml,"),
        # Upstream's router knows types by name, and */*.
        ("application/*", "get", "406: Not Acceptable\n\nAvailable representations: application/json"),
        (f"{ODD};v=v1", "get", "only the following media types are accepted: application/json, application/yaml, "),
        (TABLE.replace("v=v1", "v=v9"), "get", "only the following media types are accepted"),
        ("application/json;as=Table", "list", "only the following media types are accepted"),
        ("application/json;sv=v2", "get", "only the following media types are accepted"),
        # A watch is refused in the words of any read, but for YAML, which is no stream where it comes first.
        (f"{ODD};v=v1", "watch", f"{ONLY}: application/json, application/yaml, "),
        ("application/json;stream=odd", "watch", f"{ONLY}: application/json, application/yaml, "),
        (
            "application/yaml,application/json",
            "watch",
            f"{ONLY}: application/json;stream=watch",
        ),
        (
            f"{PARTIAL},application/json",
            "list",
            "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
        ),
        (PARTIAL_LIST, "get", f"you requested PartialObjectMetadataList, {BUT} not a list (*core.ConfigMap)"),
    ],
)
def test_refusals(header, verb, text):
    with pytest.raises(NotAcceptable, match="^" + re.escape(text)):
        negotiate(asked(header, verb))


@pytest.mark.parametrize("subresource", ["token", "eviction", "binding"])
def test_what_is_made_at_an_object_and_not_kept_has_no_table(subresource):
    with pytest.raises(NotAcceptable, match=ONLY):
        negotiate(replace(asked(TABLE, "create"), subresource=subresource))
    assert negotiate(replace(asked(f"{TABLE},application/json", "create"), subresource=subresource)) is None
    assert negotiate(replace(asked(TABLE, "get"), subresource="status")) == table()


def test_an_object_rides_along_in_the_version_that_was_asked_for_and_its_cells_tell_all():
    metrics = [{"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "7"}}}]
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3, "metrics": metrics}
    stored = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": spec,
    }
    old = kinds.HORIZONTAL_POD_AUTOSCALER_V1
    found = negotiate(asked(TABLE, kind=old, includeObject="Object"))
    assert found is not None
    one = json.loads(found.one(old, stored))["rows"][0]
    many = json.loads(b"".join(found.many(old, [stored], {})))["rows"][0]
    for row in (one, many):
        assert row["cells"][2] == "<unknown>/7"
        assert row["object"]["apiVersion"] == "autoscaling/v1" and "metrics" not in row["object"]["spec"]


def test_events_are_of_one_type_in_both_groups():
    for kind in (kinds.EVENT, kinds.EVENT_V1):
        with pytest.raises(NotAcceptable, match=re.escape("is not a list (*core.Event)")):
            negotiate(asked(PARTIAL_LIST, "get", kind))


def test_includes_are_the_three_that_there_are():
    assert negotiate(asked(TABLE, includeObject="Object")) == table(include="Object")
    with pytest.raises(errors.BadRequest, match="must be 'Metadata', 'Object', 'None', or empty"):
        negotiate(asked(TABLE, includeObject="All"))


@pytest.mark.parametrize(
    ("query", "agent", "is_pretty"),
    [
        ({"pretty": "true"}, "", True),
        ({"pretty": "1"}, "", True),
        ({"pretty": "yes"}, "", False),
        ({"pretty": "false"}, "curl/8.0", False),
        ({"pretty": ""}, "curl/8.0", True),
        ({}, "curl/8.0", True),
        ({}, "Mozilla/5.0 (X11)", True),
        ({}, "kubectl/v1.36", False),
    ],
)
def test_json_is_laid_out_for_people(query, agent, is_pretty):
    request = asked("application/json", **query)
    request.headers["User-Agent"] = agent
    assert negotiate(request) == (WholeFormat(Json(pretty=True)) if is_pretty else None)
    told = status_response(errors.NotFound("no"), request).body
    assert isinstance(told, bytes)
    assert (b'\n  "status": "Failure"' in told) == is_pretty


KUBECTL = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (KUBECTL, Json()),
        (KUBECTL.replace("application/json;g", "application/yaml;g"), Yaml()),
        ("application/json", None),
        # A client of before v2, and one that takes a plain document, too, get what they know.
        ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", None),
        (f"application/json;q=0.5,{KUBECTL}", Json()),
    ],
)
def test_aggregated_discovery_is_for_those_who_ask_for_it(header, wanted):
    assert aggregated(asked(header, kind=None)) == wanted


def test_reviews_have_no_table():
    with pytest.raises(NotAcceptable):
        negotiate(asked(TABLE, "create", SUBJECT_ACCESS_REVIEW))
    assert negotiate(asked(f"{TABLE},application/json", "create", SUBJECT_ACCESS_REVIEW)) is None


def config_map(name="m", version="7"):
    meta = {"name": name, "namespace": "ns", "resourceVersion": version, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "b"}}


def test_watched_table_has_columns_once():
    form = table()
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


def listed_by(form, *items):
    return b"".join(form.many(CONFIG_MAP, items, {"resourceVersion": "9"}))


def test_metadata_alone():
    listed = json.loads(listed_by(MetadataFormat(), config_map()))
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["items"][0]["kind"] == "PartialObjectMetadata" and "data" not in listed["items"][0]


@pytest.mark.parametrize("encoding", [Json(), Json(pretty=True), Yaml()])
def test_a_list_of_no_metadata_has_no_items(encoding):
    listed = yaml.safe_load(listed_by(MetadataFormat(encoding)))
    assert listed["kind"] == "PartialObjectMetadataList" and listed["metadata"] == {"resourceVersion": "9"}
    assert listed["items"] is None
    encoded = protobuf.decode(listed_by(MetadataFormat(Protobuf())))
    assert encoded["kind"] == listed["kind"] and not encoded.get("items")


def test_protobuf_is_read_back():
    form = WholeFormat(Protobuf())
    assert protobuf.decode(form.one(CONFIG_MAP, config_map())) == config_map()
    listed = protobuf.decode(listed_by(form, config_map("a"), config_map("b")))
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
        (f"{PROTOBUF},application/json", PROTOBUF),
        (f"{PARTIAL},application/yaml", "application/yaml"),
    ],
)
def test_refusals_are_told_in_the_clients_encoding_with_what_was_odd_besides(header, content_type):
    request = asked(header, "get")
    request.warnings.append('unknown field "x"')
    told = status_response(errors.NotFound("no"), request)
    assert told.content_type == content_type and told.warnings == ('unknown field "x"',)
    assert isinstance(told.body, bytes)
    body = protobuf.decode(told.body) if "protobuf" in content_type else yaml.safe_load(told.body)
    assert body["code"] == 404 and body["message"] == "no"


@pytest.mark.parametrize("encoding", [Json(), Json(pretty=True), Yaml()])
@pytest.mark.parametrize("names", [(), ("a",), ("a", "b")])
def test_a_list_by_pieces_is_the_list_as_a_whole(encoding, names):
    wanted = {
        "kind": "ConfigMapList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "9"},
        "items": [{k: v for k, v in config_map(name).items() if k not in ("kind", "apiVersion")} for name in names],
    }
    body = listed_by(WholeFormat(encoding), *map(config_map, names))
    assert body == encoding.document(wanted)
    assert yaml.safe_load(body) == wanted


@pytest.mark.parametrize("encoding", [Json(), Json(pretty=True), Yaml()])
def test_a_table_by_pieces_is_the_table_as_a_whole(encoding):
    form = table(encoding, version="meta.k8s.io/v1beta1")
    shown = yaml.safe_load(listed_by(form, config_map("a"), config_map("b")))
    assert shown["apiVersion"] == "meta.k8s.io/v1beta1" and shown["metadata"] == {"resourceVersion": "9"}
    assert [row["cells"][0] for row in shown["rows"]] == ["a", "b"]
    assert {row["object"]["apiVersion"] for row in shown["rows"]} == {"meta.k8s.io/v1beta1"}


def test_a_scale_has_the_shapes_of_a_stored_object():
    metadata = {"name": "d", "namespace": "n", "resourceVersion": "7"}
    scale = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {"replicas": 3}}
    shown = json.loads(table().one(None, scale))
    assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert shown["rows"][0]["cells"] == ["d", 3, 0, "<unknown>"] and shown["metadata"] == {"resourceVersion": "7"}
    assert json.loads(MetadataFormat().one(None, scale))["kind"] == "PartialObjectMetadata"
    assert json.loads(table().one(None, {"kind": "Status", "apiVersion": "v1"}))["kind"] == "Status"
