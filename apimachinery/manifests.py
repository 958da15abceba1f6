"""API objects out of YAML or JSON text; with settings and kubeconfig one of the doors of PyYAML."""

from __future__ import annotations

from typing import Any

import yaml


class ManifestError(ValueError):
    """The text is no manifest; the message says where."""


class _Loader(yaml.SafeLoader):
    """Plain YAML but for timestamps, which the API has as strings."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_all(text: str) -> list[dict[str, Any]]:
    """Every non-empty document of `text`, Lists taken apart. Raises ManifestError."""
    try:
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.YAMLError as error:
        raise ManifestError(str(error)) from error
    found: list[dict[str, Any]] = []
    for document in documents:
        if not isinstance(document, dict) or not document.get("kind"):
            raise ManifestError("a manifest must be a mapping with a kind")
        if str(document["kind"]).endswith("List") and "items" in document:
            found.extend(document["items"] or [])
        else:
            found.append(document)
    return found


def load_value(text: str | bytes) -> Any:
    """The first document as it is, whatever it is; None for an empty text. Raises ManifestError."""
    try:
        return _json_keys(next(yaml.load_all(text, Loader=_Loader), None))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(str(error)) from error


def _json_keys(value: Any) -> Any:
    """YAML allows any key, JSON only text: true, 5 and 1.5 become what JSON would print."""
    if isinstance(value, list):
        return [_json_keys(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {_json_key(key): _json_keys(item) for key, item in value.items()}


def _json_key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else str(key)
