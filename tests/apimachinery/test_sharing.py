"""Copies in memory have in common what they say alike, and say what they said."""

from __future__ import annotations

from typing import Any

from apimachinery import sharing
from apimachinery.objects import Obj, copy
from apimachinery.sharing import asked_once, share, with_shared_parts


def pod(name: str, **status: Any) -> Obj:
    token = f"kube-api-access-{name}"
    limits = {"limits": {"cpu": "1"}}
    container = {"name": "c", "image": "i", "resources": limits, "volumeMounts": [{"name": token, "mountPath": "/t"}]}
    spec = {"containers": [container], "tolerations": [{"operator": "Exists"}], "nodeName": f"node-{name}"}
    spec["volumes"] = [{"name": token, "projected": {"sources": [{"configMap": {"name": "root"}}]}}]
    owner = {"kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True}
    meta = {"name": name, "labels": {"app": "web"}, "ownerReferences": [owner], "creationTimestamp": "2026-01-01"}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Running", "podIP": name, **status}}


def test_copies_share_what_they_say_alike_and_nothing_else() -> None:
    conditions = [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]
    given = [pod(name, conditions=conditions, podIPs=[{"ip": name}]) for name in ("a", "b")]
    given.append(pod("c", conditions=conditions[:1]))
    a, b, c = (with_shared_parts(copy(each)) for each in given)
    assert [a, b, c] == given
    assert a["metadata"]["labels"] is b["metadata"]["labels"]
    assert a["metadata"]["ownerReferences"] is b["metadata"]["ownerReferences"]
    assert a["spec"]["tolerations"] is b["spec"]["tolerations"]
    assert a["spec"]["containers"][0]["resources"] is b["spec"]["containers"][0]["resources"]
    assert a["spec"]["volumes"][0]["projected"] is b["spec"]["volumes"][0]["projected"]
    assert a["metadata"]["creationTimestamp"] is b["metadata"]["creationTimestamp"]
    assert a["spec"]["containers"][0]["volumeMounts"][0]["name"] is a["spec"]["volumes"][0]["name"]
    assert a["status"]["podIPs"][0]["ip"] is a["status"]["podIP"]
    assert a["status"]["conditions"] is b["status"]["conditions"]
    assert a["status"]["conditions"][0] is c["status"]["conditions"][0]


def test_a_newer_version_keeps_the_spec_that_it_had_as_long_as_it_is_the_same() -> None:
    before = with_shared_parts(pod("a"))
    after = with_shared_parts(pod("a", phase="Failed"), before)
    assert after["spec"] is before["spec"] and after["status"]["phase"] == "Failed"
    moved = pod("a")
    moved["spec"]["nodeName"] = "elsewhere"
    after = with_shared_parts(moved, before)
    assert after["spec"]["nodeName"] == "elsewhere" and before["spec"]["nodeName"] == "node-a"
    assert after["spec"]["tolerations"] is before["spec"]["tolerations"]


def test_what_depends_on_a_shared_part_is_asked_once() -> None:
    pods = [with_shared_parts(pod(name)) for name in ("a", "b")]
    pods.append(pod("c"))
    pods[2]["metadata"]["labels"] = {"app": "other"}
    asked: list[str] = []

    def ask(obj: Obj) -> str:
        asked.append(obj["metadata"]["name"])
        return str(obj["metadata"]["labels"]["app"])

    answer = asked_once(lambda obj: obj["metadata"]["labels"], ask)
    assert [answer(each) for each in pods * 2] == ["web", "web", "other"] * 2
    assert asked == ["a", "c"]
    # A part that is made for the question lies where the last one lay, if that is gone.
    answer = asked_once(lambda obj: [obj["metadata"]["name"]], lambda obj: str(obj["metadata"]["name"]))
    assert [answer(each) for each in pods] == ["a", "b", "c"]


def test_what_is_remembered_is_bounded() -> None:
    for number in range(sharing.REMEMBERED + 10):
        share({"number": number})
    assert len(sharing._shared) <= sharing.REMEMBERED
