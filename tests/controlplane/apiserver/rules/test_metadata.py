"""What is told of metadata."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apimachinery import objectmeta
from apimachinery.errors import ApiError, FieldError
from apimachinery.formats import dns1123_subdomain
from controlplane.apiserver.catalog.resource import Resource
from controlplane.apiserver.catalog.strategy import CHANGE_THEN_NEW
from controlplane.apiserver.registry.checks import check_new
from controlplane.apiserver.resources import (
    admissionregistration,
    apiregistration,
    apps,
    coordination,
    core,
    events,
    policy,
)
from controlplane.apiserver.rules import metadata
from tests.controlplane.apiserver.rules.cases import Obj, complete

EVENT: Obj = {"apiVersion": "v1", "kind": "Event", "involvedObject": {"namespace": "n"}}
BUDGET: Obj = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": {}}


def any_name(name: str) -> tuple[str, ...]:
    return ()


@pytest.mark.parametrize(("row", "obj"), [(core.EVENT, EVENT), (policy.POD_DISRUPTION_BUDGET, BUDGET)])
def test_what_nobody_asks_a_name_of_need_only_fit_into_a_url(row: Resource, obj: Obj) -> None:
    check_new(row.kind, row.strategy, complete({**obj, "metadata": {"name": "My_Own", "namespace": "n"}}), "v1", print)
    with pytest.raises(ApiError, match="metadata.name: Invalid value: \"a/b\": may not contain '/'"):
        check_new(row.kind, row.strategy, complete({**obj, "metadata": {"name": "a/b", "namespace": "n"}}), "v1", print)


def test_what_nobody_asks_a_name_of_is_asked_last() -> None:
    strange = complete({**EVENT, "metadata": {"name": "a/b", "namespace": "m"}})
    with pytest.raises(ApiError) as refused:
        check_new(core.EVENT.kind, core.EVENT.strategy, strange, "v1", print)
    assert "involvedObject.namespace" in refused.value.message and "metadata.name" not in refused.value.message


@pytest.mark.parametrize("row", [coordination.LEASE, events.EVENT_V1])
def test_names_are_domains_elsewhere(row: Resource) -> None:
    assert row.strategy.check_name("My_Own")


def test_metadata_of_a_change_is_told_as_often_as_upstream_looks_at_it() -> None:
    def told(found: list[FieldError]) -> list[str]:
        return [str(error) for error in found]

    old = {"metadata": {"name": "c", "uid": "u"}}
    label = {"metadata": {"name": "c", "uid": "u", "labels": {"a": "not valid!"}}}
    assert len(metadata.validate_change(label, old, ("change",), any_name)) == 3
    assert len(metadata.validate_change(label, old, CHANGE_THEN_NEW, any_name)) == 4
    named = {"metadata": {"name": "c", "uid": "u", "finalizers": ["bare"]}}
    why = "name is neither a standard finalizer name nor is it fully qualified"
    assert (
        told(metadata.validate_change(named, old, CHANGE_THEN_NEW, any_name))
        == [f'metadata.finalizers[0]: Invalid value: "bare": {why}'] * 2
    )
    moved = {"metadata": {"name": "c", "uid": "v"}}
    assert (
        told(metadata.validate_change(moved, old, ("change",), any_name))
        == ['metadata.uid: Invalid value: "v": field is immutable'] * 2
    )


def test_who_owns_fields_is_looked_at_in_a_change_and_after_finalizers() -> None:
    entry = {"manager": "a\x07", "operation": "Update", "fieldsType": "FieldsV1", "subresource": "s" * 257}
    odd: Obj = {"metadata": {"name": "c", "uid": "u", "finalizers": ["a b/c"], "managedFields": [entry]}}
    places = ["metadata.finalizers", "metadata.managedFields[0].manager", "metadata.managedFields[0].subresource"]
    assert [error.field for error in metadata.validate(odd, False, any_name, plain=True)] == places
    found = [error.field for error in metadata.validate_change(odd, odd, ("change",), any_name)]
    assert found == [*places, *places[1:] * 2]


@pytest.mark.parametrize("row", [apiregistration.API_SERVICE, admissionregistration.VALIDATING_ADMISSION_POLICY])
def test_a_finalizer_that_may_be_there_is_not_held_against_a_status(row: Resource) -> None:
    named = {"metadata": {"name": "c", "uid": "u", "finalizers": ["bare"]}}
    assert metadata.validate_change(named, named, row.strategy.status_metadata_checks, any_name) == []


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({}, []),
        ({"apiVersion": "apps/v1", "kind": "Event"}, []),
        (
            {"apiVersion": "a/b/c"},
            ['metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty'],
        ),
        ({"apiVersion": "a/"}, ['metadata.ownerReferences.apiVersion: Invalid value: "a/": version must not be empty']),
        (
            {"kind": "Event", "extra": 1},
            [
                'metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"a","uid":"u"}: '
                "/v1, Kind=Event is disallowed from being an owner"
            ],
        ),
    ],
)
def test_an_owner_has_a_version_and_is_no_event(change: Obj, texts: list[str]) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u", **change}
    assert [str(error) for error in objectmeta.check_owners([owner], "metadata.ownerReferences")] == texts


def test_the_name_of_a_stateful_set_is_a_label() -> None:
    check = apps.STATEFUL_SET.strategy.check_name
    assert not check("web") and check("web.db") == ("must not contain dots",) and check("w" * 64)


def test_where_a_kind_is_looked_at_anew_its_stem_is_again() -> None:
    old = {"metadata": {"name": "c", "uid": "u"}}
    stem = {"metadata": {"name": "c", "uid": "u", "generateName": "A_"}}
    assert metadata.validate_change(stem, old, ("change",), dns1123_subdomain) == []
    (found,) = metadata.validate_change(stem, old, CHANGE_THEN_NEW, dns1123_subdomain)
    assert str(found).startswith('metadata.generateName: Invalid value: "A_": a lowercase RFC 1123 subdomain')


def test_a_manager_with_faults_without_end_is_told_of_as_far_as_a_message_goes() -> None:
    (first, second, *rest) = objectmeta.check_manager("a\u00e9\u0001" + "\u0002" * 500, "m")
    assert (first.reason, second.text.rpartition(": ")[2]) == (
        "FieldValueTooLong",
        "invalid character U+0001 (at position 3)",
    )
    assert not rest
    assert len(objectmeta.check_manager("\u0002" * 128, "m")) == 128
    entry = {"manager": "\u0001" * 128, "operation": "Apply"}
    assert len(objectmeta.check_managers([entry] * 100, "m")) < 1200


def test_a_manager_that_can_be_printed_is_not_looked_at_letter_by_letter() -> None:
    class Whole(str):
        def __iter__(self) -> Iterator[str]:
            raise AssertionError

    assert objectmeta.check_manager(Whole("kubectl"), "m") == []
    (found,) = objectmeta.check_manager(Whole("k" * 1_000_000), "m")
    assert found.reason == "FieldValueTooLong"
