"""The names and conditions of definitions, which of several versions is preferred, and their rows."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.objects import Obj, condition
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.custom.naming import judged
from controlplane.apiserver.custom.rows import parts, rows
from controlplane.apiserver.places import rank
from tests.controlplane.apiserver.custom.definitions import GROUP, definition, of_type, version

NOW = "2026-01-02T03:04:05Z"


def settled(given: Obj, *others: Obj) -> Obj:
    """The definition with the status that it gets beside others."""
    made = {**given, "status": judged(given, others, NOW)}
    return {**made, "metadata": {**given["metadata"], "resourceVersion": "7"}}


def state(given: Obj, kind: str) -> tuple[str, str, str]:
    found = condition(given, kind)
    assert found is not None and found["lastTransitionTime"] == NOW
    return found["status"], found["reason"], found["message"]


def test_names_that_are_free_are_accepted() -> None:
    found = settled(definition())
    assert found["status"]["acceptedNames"] == found["spec"]["names"]
    assert state(found, "NamesAccepted") == ("True", "NoConflicts", "no conflicts found")
    wanted = ("True", "InitialNamesAccepted", "the initial names have been accepted")
    assert state(found, "Established") == wanted
    assert judged(found, (), "later") == found["status"], "nothing more to say"


@pytest.mark.parametrize(
    ("asked", "reason", "name"),
    [
        ({"plural": "boats"}, "PluralConflict", "boats"),
        ({"singular": "bt"}, "SingularConflict", "bt"),
        ({"shortNames": ["x", "bt"]}, "ShortNamesConflict", "bt"),
        ({"kind": "Boat"}, "KindConflict", "Boat"),
        ({"listKind": "BoatList"}, "ListKindConflict", "BoatList"),
    ],
)
def test_a_name_that_another_has_is_refused_and_the_rest_accepted(asked: Obj, reason: str, name: str) -> None:
    other = settled(definition())
    given = definition(plural="ships", kind="Ship", short="sh")
    given["spec"]["names"] |= asked
    found = settled(given, other)
    assert state(found, "NamesAccepted") == ("False", reason, f'"{name}" is already in use')
    assert state(found, "Established") == ("False", "NotAccepted", "not all names are accepted")
    kept = set(given["spec"]["names"]) - set(asked)
    assert {key: given["spec"]["names"][key] for key in kept}.items() <= found["status"]["acceptedNames"].items()
    assert not shown(found)
    free = settled(found)
    assert state(free, "NamesAccepted")[0] == state(free, "Established")[0] == "True"


def test_who_is_served_stays_so_while_new_names_are_refused() -> None:
    other, mine = settled(definition()), settled(definition(plural="ships", kind="Ship", short="sh"))
    changed = {**mine, "spec": {**mine["spec"], "names": {**mine["spec"]["names"], "shortNames": ["bt"]}}}
    found = settled(changed, other)
    assert state(found, "NamesAccepted")[1] == "ShortNamesConflict" and state(found, "Established")[0] == "True"
    assert [row.kind.short_names for row in shown(found)] == [("sh",)]


def test_several_short_names_in_use_are_all_told() -> None:
    other = definition()
    other["spec"]["names"]["shortNames"] = ["a", "b"]
    given = definition(plural="ships", kind="Ship")
    given["spec"]["names"]["shortNames"] = ["a", "b"]
    found = settled(given, settled(other))
    assert state(found, "NamesAccepted")[2] == '["a" is already in use, "b" is already in use]'


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("https://github.com/kubernetes/kubernetes/pull/1", ("True", "ApprovedAnnotation")),
        ("unapproved, for now", ("False", "UnapprovedAnnotation")),
        ("yes", ("False", "InvalidAnnotation")),
        ("", ("False", "MissingAnnotation")),
    ],
)
def test_a_group_of_the_community_says_whether_it_was_approved_of(said: str, wanted: tuple[str, str]) -> None:
    given = definition()
    given["spec"]["group"] = "sea.k8s.io"
    given["metadata"]["annotations"] = {"api-approved.kubernetes.io": said}
    assert state(settled(given), "KubernetesAPIApprovalPolicyConformant")[:2] == wanted
    assert condition(settled(definition()), "KubernetesAPIApprovalPolicyConformant") is None


def test_an_authority_that_cannot_be_read_keeps_a_definition_from_being_served() -> None:
    webhook = {"clientConfig": {"url": "https://a.example", "caBundle": "bm9uZQ=="}, "conversionReviewVersions": ["v1"]}
    given = definition(conversion={"strategy": "Webhook", "webhook": webhook})
    wanted = ("False", "InvalidCABundle", "The conversion webhook CABundle is invalid")
    assert state(settled(given), "Established") == wanted


def test_versions_are_preferred_as_kubernetes_ranks_them() -> None:
    order = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10", "v0"]
    assert sorted(reversed(order), key=rank) == order


def shown(given: Obj) -> list[Resource]:
    """The rows of a definition."""
    return rows(given, parts(given), _nobody)


def _nobody(given: Any) -> Any:
    raise AssertionError("no webhook")


def test_rows_are_what_is_served_or_stored() -> None:
    old = version("v1", deprecated=True, subresources={})
    hidden = version("v1beta1", served=False)
    new = version("v2", storage=False)
    gone = version("v0", storage=False, served=False)
    hidden["storage"], old["storage"] = True, False
    found = {row.kind.version: row for row in shown(settled(definition(old, hidden, new, gone)))}
    assert {name: row.served for name, row in found.items()} == {"v1": True, "v1beta1": False, "v2": True}
    assert {row.kind.stored_version for row in found.values()} == {"v1beta1"}
    assert found["v1"].deprecated == f"{GROUP}/v1 Boat is deprecated; use {GROUP}/v2 Boat"
    assert set(found["v2"].kind.subresources) == {"status", "scale"} and not found["v1"].kind.subresources


def test_parts_are_those_of_one_spec_and_shared_by_all_that_have_it() -> None:
    def with_default(value: Any) -> Obj:
        field = {"x-kubernetes-preserve-unknown-fields": True, "default": value}
        return settled(definition(version(schema={"openAPIV3Schema": of_type({"a": field})})))

    first, second = with_default(1), with_default(1)
    made = parts(first)
    assert made.fits(second) and second["spec"] is not first["spec"]
    assert made.shared(second) == second and made.shared(second)["spec"] is first["spec"]
    # To Python that is the same.
    assert not made.fits(with_default(True))
