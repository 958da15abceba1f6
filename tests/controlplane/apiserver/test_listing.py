"""What lists, watches and deletions of many are asked for: what cannot be, and which page they get."""

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.client import Client
from controlplane.apiserver import continuing, defaults, listing
from controlplane.apiserver.cache import select
from controlplane.apiserver.resources import core
from tests.controlplane.apiserver.server import run

MAPS = "/api/v1/namespaces/default/configmaps"
FOR_LIST = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
PAGED = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided"
UNPINNED = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
NEEDS_MATCH = "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
ALONE = (
    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
)


def asked(watch: bool, /, **query: str) -> listing.ListOptions:
    lists = {key: [value] for key, value in query.items()}
    request: Any = SimpleNamespace(query=lists, param=lambda key: query.get(key, ""))
    return listing.parse(request, watch)


@pytest.mark.parametrize(
    ("watch", "query", "wanted"),
    [
        (False, {"sendInitialEvents": "true"}, [FOR_LIST]),
        (False, {"sendInitialEvents": "", "resourceVersionMatch": "Exact"}, [UNPINNED, FOR_LIST]),
        (False, {"resourceVersion": "5", "resourceVersionMatch": "Exact", "continue": "x"}, [PAGED]),
        (
            False,
            {"resourceVersionMatch": "Odd"},
            [UNPINNED, 'resourceVersionMatch: Unsupported value: "Odd": supported values: "Exact", "NotOlderThan", ""'],
        ),
        (True, {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "5"}, [ALONE]),
        (
            True,
            {"resourceVersionMatch": "Exact"},
            [ALONE, 'resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"'],
        ),
        (True, {"sendInitialEvents": "true"}, [NEEDS_MATCH]),
        (
            True,
            {"sendInitialEvents": "false", "resourceVersionMatch": "Exact"},
            [NEEDS_MATCH, 'resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"'],
        ),
        (True, {"continue": "x"}, [PAGED]),
    ],
)
def test_what_does_not_go_together(watch: bool, query: dict[str, str], wanted: list[str]) -> None:
    with pytest.raises(errors.Invalid) as refusal:
        asked(watch, **query)
    text = refusal.value.message.removeprefix('ListOptions.meta.k8s.io "" is invalid: ')
    assert text == (wanted[0] if len(wanted) == 1 else f"[{', '.join(wanted)}]")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("abc", "invalid syntax"),
        ("1.5", "invalid syntax"),
        ("9" * 20, "value ou"),
        # More than Python reads at all.
        ("9" * 5000, "value ou"),
    ],
)
def test_numbers(text: str, why: str) -> None:
    if text.isdigit():
        with pytest.raises(errors.BadRequest, match=f"{text}.*{why}"):
            asked(False, resourceVersion=text)
    for field in ("limit", "timeoutSeconds"):
        with pytest.raises(errors.BadRequest, match=f'strconv.ParseInt: parsing "{text}": {why}'):
            asked(False, **{field: text})


@pytest.mark.parametrize("field", ["limit", "timeoutSeconds"])
def test_an_empty_text_is_no_number(field: str) -> None:
    with pytest.raises(errors.BadRequest, match='strconv.ParseInt: parsing "": invalid syntax'):
        asked(False, **{field: ""})


def test_zeros_before_a_number_are_none_too_many() -> None:
    assert (
        asked(False, limit="0" * 5000 + "7").limit == 7 and asked(False, resourceVersion="0" * 30 + "5").revision == 5
    )


def test_who_watches_from_nowhere_is_told_when_that_is_all() -> None:
    assert asked(True).initial_events and asked(True, resourceVersion="0").initial_events
    assert asked(True, resourceVersion="5").initial_events is None
    assert asked(True, resourceVersionMatch="NotOlderThan", sendInitialEvents="0").initial_events is False


@pytest.mark.parametrize("fields", ["metadata.name=other", "metadata.namespace=n", "metadata.name!=m"])
def test_a_watch_of_one_selects_no_other(fields: str) -> None:
    with pytest.raises(errors.BadRequest, match="fieldSelector metadata.name doesn't match requested name"):
        select.parse(core.CONFIG_MAP.kind, core.CONFIG_MAP.fields, "n", "m", "", fields)
    one = select.parse(core.CONFIG_MAP.kind, core.CONFIG_MAP.fields, "n", "m", "", "metadata.name=m")
    assert one.name == "m"


def test_bookmarks_are_empty_objects() -> None:
    assert defaults.blank("v1", "Pod") == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {},
        "spec": {"containers": None},
        "status": {},
    }
    assert defaults.blank("v1", "ConfigMap") == {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {}}


def test_pages_that_selectors_have_filled(tmp_path: Path) -> None:
    """A page that is full goes on where anything at all comes after it; a deletion ends with its page."""

    async def test(client: Client) -> None:
        for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
            metadata = {"name": name, "labels": {"of": label}}
            await client.request("POST", MAPS, body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        query = {"labelSelector": "of=x", "limit": "2"}
        first = await client.request("GET", MAPS, query=query)
        assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
        token = first["metadata"]["continue"]
        rest = await client.request("GET", MAPS, query={**query, "continue": token})
        assert rest["items"] == [] and "continue" not in rest["metadata"]
        last = await client.request("GET", MAPS, query={"labelSelector": "of=y", "limit": "1"})
        assert "continue" not in last["metadata"]
        gone = await client.request("DELETE", MAPS, query={"labelSelector": "of", "limit": "2"})
        assert [item["metadata"]["name"] for item in gone["items"]] == ["a", "b"] and gone["metadata"]["continue"]
        left = await client.request("GET", MAPS, query={"labelSelector": "of"})
        assert [item["metadata"]["name"] for item in left["items"]] == ["c"]
        late = await refused(client, "DELETE", MAPS, resourceVersion="99999999999")
        assert late.status_code == 504 and late.message.startswith("Timeout: Too large resource version")

    run(tmp_path, test)


def test_who_takes_any_revision_gets_all_of_a_cache(tmp_path: Path) -> None:
    """But of events, which upstream reads from its store."""

    async def test(client: Client) -> None:
        events = "/api/v1/namespaces/default/events"
        for name in ("a", "b", "c"):
            metadata = {"name": name, "namespace": "default"}
            await client.request("POST", MAPS, body={"metadata": metadata})
            await client.request(
                "POST", events, body={"metadata": metadata, "involvedObject": {"namespace": "default"}}
            )
        any_revision = {"resourceVersion": "0", "limit": "1"}
        some = await client.request("GET", MAPS, query=any_revision)
        assert len(some["items"]) > 2 and "continue" not in some["metadata"]
        page = await client.request("GET", MAPS, query={"limit": "1"})
        rest = await client.request("GET", MAPS, query={**any_revision, "continue": page["metadata"]["continue"]})
        assert len(rest["items"]) == len(some["items"]) - 1
        few = await client.request("GET", events, query=any_revision)
        assert len(few["items"]) == 1 and few["metadata"]["remainingItemCount"] == 2

    run(tmp_path, test)


def test_a_watch_of_what_has_a_name_is_a_read(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        query = {"watch": "true", "timeoutSeconds": "1"}
        assert (await client.request("GET", "/api/v1/namespaces/default", query=query))["kind"] == "Namespace"

    run(tmp_path, test)


async def refused(client: Client, method: str, path: str, **query: str) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as caught:
        await client.request(method, path, query=query)
    return caught.value


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def said(revision: str, start: str) -> str:
    return token(f'{{"v":"meta.k8s.io/v1","rv":{revision},"start":{start}}}')


FIELD = "json: cannot unmarshal {} into Go struct field continueToken.{}"


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ("eA", "invalid character 'x' looking for beginning of value"),
        ("!", "illegal base64 data at input byte 0"),
        ("x", "illegal base64 data at input byte 0"),
        ("eyJ2x", "illegal base64 data at input byte 4"),
        ("nope", r"invalid character '\u009e' looking for beginning of value"),
        (token("5"), "json: cannot unmarshal number into Go value of type storage.continueToken"),
        (token("null"), "server does not recognize this encoded version "),
        (token('{"v":"v9"}'), "server does not recognize this encoded version v9"),
        (token('{"v":1,"rv":true}'), FIELD.format("number", "v of type string")),
        (said("true", "[]"), FIELD.format("bool", "rv of type int64")),
        (said("1.5", '"a"'), FIELD.format("number 1.5", "rv of type int64")),
        (said(str(1 << 63), '"a"'), FIELD.format(f"number {1 << 63}", "rv of type int64")),
        (said("1", "1"), FIELD.format("number", "start of type string")),
        (said("null", '"a"'), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (said("1", "null"), "encoded start key empty (version meta.k8s.io/v1)"),
        *((said("-1", f'"{key}"'), key) for key in ("../a", "/../x", "./a", "a//b", "a/", "//a")),
    ],
)
def test_continue_tokens_that_are_none(sent: str, why: str) -> None:
    with pytest.raises(errors.BadRequest) as refusal:
        continuing.decode(sent)
    assert refusal.value.message == f"invalid continue token: continue key is not valid: {why}"


def test_a_token_is_read_as_upstream_reads_json() -> None:
    assert continuing.decode(token('{"V":"meta.k8s.io/v1","RV":7,"Start":"/a/b"}')) == continuing.Continue(7, "a/b")
    assert continuing.decode(said("-1", '"/"')) == continuing.Continue(-1, "")
