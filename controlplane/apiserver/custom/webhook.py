"""Conversion by a webhook: what it is asked, and what of its answer is taken.

Source: "Webhook conversion" in Kubernetes' reference of versions in CustomResourceDefinitions; what is said of failures
is what upstream's server says.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import errors, jsontext, objectmeta
from apimachinery.errors import FieldError
from apimachinery.objects import Obj
from controlplane.apiserver.admission.webhooks.caller import Caller, CallError
from controlplane.apiserver.admission.webhooks.hooks import target_of

_VERSIONS = ("v1", "v1beta1")
_GROUP = "apiextensions.k8s.io"
_SECONDS = 30.0
# A list is converted at once.
_LARGEST = 256 << 20
_SAME = (("kind", "kind"), ("name", "name"), ("namespace", "namespace"), ("UID", "uid"))
_CHECKS = {
    "labels": (objectmeta.check_labels, "metadata.labels"),
    "annotations": (objectmeta.check_annotations, "metadata.annotation"),
}


class _Wrong(ValueError):
    """An answer that cannot be used; the text is upstream's."""


class ByWebhook:
    """`strategy: Webhook` of one definition as it is now."""

    alone = False

    def __init__(self, caller: Caller, definition: Obj) -> None:
        webhook = definition["spec"]["conversion"]["webhook"]
        self._caller = caller
        self._target = target_of(webhook["clientConfig"])
        self._versions: tuple[str, ...] = tuple(webhook["conversionReviewVersions"])

    async def convert(self, objects: Sequence[Obj], api_version: str) -> list[Obj]:
        first = objects[0]
        group, _, version = first["apiVersion"].rpartition("/")
        kind = f"{group}/{version}, Kind={first['kind']}"
        try:
            review = next(version for version in self._versions if version in _VERSIONS)
        except StopIteration:
            raise errors.InternalError("Internal error occurred: no supported conversion review versions") from None
        asked = str(uuid.uuid4())
        request = {"uid": asked, "desiredAPIVersion": api_version, "objects": list(objects)}
        question = {"kind": "ConversionReview", "apiVersion": f"{_GROUP}/{review}", "request": request}
        try:
            answer = await self._caller.post(self._target, question, _SECONDS, says_timeout=False, largest=_LARGEST)
            found = _objects(answer, review, asked)
        except (CallError, _Wrong) as error:
            raise _failure(f"conversion webhook for {kind} failed: {error}") from error
        if len(found) != len(objects):
            counted = f"returned {len(found)} objects, expected {len(objects)}"
            raise _failure(f"conversion webhook for {kind} {counted}")
        return [_taken(*pair, api_version, kind, index) for index, pair in enumerate(zip(objects, found, strict=True))]


def _failure(text: str) -> errors.ApiError:
    return errors.ApiError(text)


def _objects(answer: Any, review: str, asked: str) -> list[Any]:
    """The converted objects. Raises _Wrong."""
    given = answer if isinstance(answer, Mapping) else {}
    if review == "v1" and (given.get("apiVersion"), given.get("kind")) != (f"{_GROUP}/v1", "ConversionReview"):
        group, _, version = str(given.get("apiVersion") or "").rpartition("/")
        got = f"{group}/{version}, Kind={given.get('kind') or ''}"
        raise _Wrong(f"expected webhook response of {_GROUP}/v1, Kind=ConversionReview, got {got}")
    response = given.get("response")
    if not isinstance(response, Mapping):
        raise _Wrong("no response provided")
    if review == "v1" and response.get("uid") != asked:
        raise _Wrong(f'expected response.uid="{asked}", got "{response.get("uid") or ""}"')
    given_result = response.get("result")
    result: Mapping[str, Any] = given_result if isinstance(given_result, Mapping) else {}
    if result.get("status") != "Success":
        status = result.get("status") or ""
        raise _Wrong(result.get("message") or f"response.result.status was '{status}', not 'Success'")
    found = response.get("convertedObjects")
    return found if isinstance(found, list) else []


def _taken(original: Obj, converted: Any, api_version: str, kind: str, index: int) -> Obj:
    """A converted object with the metadata of the original, save labels and annotations. Raises ApiError."""
    begun = f"conversion webhook for {kind} returned invalid"
    if not isinstance(converted, dict) or not converted.get("kind"):
        raise _failure(f"{begun} converted object at index {index}: Object 'Kind' is missing")
    given = str(converted.get("apiVersion") or "")
    if given != api_version:
        raise _failure(
            f"{begun} object at index {index}: invalid groupVersion (expected {api_version}, received {given})"
        )
    if converted["kind"] != original["kind"]:
        why = f"invalid kind (expected {original['kind']}, received {converted['kind']})"
        raise _failure(f"{begun} object at index {index}: {why}")
    metadata = converted.get("metadata")
    if isinstance(metadata, dict):
        for shown, key in _SAME[1:]:
            one, other = original["metadata"].get(key) or "", metadata.get(key) or ""
            if one != other:
                raise _failure(f"{begun} object: must have the same {shown}: {one} != {other}")
    try:
        return {**converted, "metadata": _metadata(original["metadata"], metadata)}
    except _Wrong as error:
        raise _failure(f"{begun} metadata: {error}") from None


def _metadata(original: Obj, answered: Any) -> Obj:
    if answered is None:
        raise _Wrong("missing metadata in converted object")
    if not isinstance(answered, dict):
        raise _Wrong(f"invalid metadata of type {jsontext.type_of(answered)} in converted object")
    kept: Obj = jsontext.copied(original)
    for field, (check, path) in _CHECKS.items():
        values = answered.get(field)
        if values is None:
            kept.pop(field, None)
            continue
        if not isinstance(values, dict):
            raise _Wrong(f"invalid metadata.{field} of type {jsontext.type_of(values)} in converted object")
        for key, value in values.items():
            if not isinstance(value, str):
                told = jsontext.type_of(value)
                raise _Wrong(f"metadata.{field}[{key}] must be a string, but is {told} in converted object")
        if values != kept.get(field) and (found := check(values, path)):
            raise _Wrong(_told(found))
        kept[field] = values
    return kept


def _told(found: Sequence[FieldError]) -> str:
    texts = list(dict.fromkeys(map(str, found)))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
