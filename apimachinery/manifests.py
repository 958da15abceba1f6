"""API objects out of YAML or JSON text; with settings and kubeconfig one of the doors of PyYAML."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml


class ManifestError(ValueError):
    """The text is no manifest; the message says where."""


MERGE = "tag:yaml.org,2002:merge"
BOOLEAN = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """Plain YAML 1.1, y and n included, but for timestamps, which the API has as strings."""

    bool_values: ClassVar[dict[str, bool]] = {**yaml.SafeLoader.bool_values, "y": True, "n": False}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(BOOLEAN, re.compile(r"^[yYnN]$"), list("yYnN"))


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
    return load_told(text)[0]


def load_told(text: str | bytes) -> tuple[Any, tuple[str, ...]]:
    """load_value's document, and a complaint for every key that a mapping says twice, `line 6: key "a" …`."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_node() if loader.check_node() else None
            if node is None:
                return None, ()
            reader = _Reader(loader)
            return reader.value(node), tuple(reader.repeated)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ManifestError(_upstream_text(error)) from error
    except UnicodeDecodeError as error:
        raise ManifestError(str(error)) from error
    except RecursionError:
        raise ManifestError("yaml: exceeded max depth") from None


class _Reader:
    """From the nodes of a document to what JSON could say, where every key is a text."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._known: dict[int, Any] = {}
        self._open: set[int] = set()
        self.repeated: list[str] = []

    def value(self, node: yaml.Node) -> Any:
        if id(node) in self._known:
            return self._known[id(node)]
        if id(node) in self._open:
            raise ManifestError("yaml: anchor value contains itself")
        self._open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            found: Any = self._mapping(node)
        elif isinstance(node, yaml.SequenceNode):
            found = [self.value(item) for item in node.value]
        else:
            found = self._loader.construct_object(node)
        self._open.discard(id(node))
        self._known[id(node)] = found
        return found

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        said: set[str] = set()
        for key, _ in node.value:
            if key.tag == MERGE:
                continue
            name = _json_key(self.value(key))
            if name in said:
                self.repeated.append(f'line {key.start_mark.line + 1}: key "{name}" already set in map')
            said.add(name)
        self._loader.flatten_mapping(node)
        return {_json_key(self.value(key)): self.value(item) for key, item in node.value}


def _json_key(key: Any) -> str:
    """YAML allows any key, JSON only text: true, 5 and 1.5 become what JSON would print."""
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    if isinstance(key, dict | list):
        raise ManifestError("yaml: invalid map key")
    return key if isinstance(key, str) else str(key)


# libyaml's words, which upstream's errors have, by the beginning of PyYAML's.
_WORDS = {
    "expected the node content": "did not find expected node content",
    "found character": "found character that cannot start any token",
    "expected ',' or ']'": "did not find expected ',' or ']'",
    "expected ',' or '}'": "did not find expected ',' or '}'",
    "expected <block end>": "did not find expected key",
    "mapping values": "mapping values are not allowed in this context",
    "found undefined alias": "unknown anchor",
}
TAB = "found character '\\t'"


def _upstream_text(error: yaml.YAMLError) -> str:
    """An error as upstream's parser tells it: `yaml: line 2: …`."""
    problem = getattr(error, "problem", None)
    if not isinstance(error, yaml.MarkedYAMLError) or not problem:
        return f"yaml: {error}"
    text = next((words for start, words in _WORDS.items() if problem.startswith(start)), problem)
    line = _line(error, "<stream end>" in problem)
    if problem.startswith(TAB) and line:
        # Seen while a scalar of the line before might go on.
        text = "found a tab character that violates indentation"
    return f"yaml: line {line}: {text}" if line else f"yaml: {text}"


def _line(error: yaml.MarkedYAMLError, at_end: bool) -> int:
    """Upstream counts from nought, tells none for the first, and one more where its scanner stumbles."""
    if error.context_mark is not None and error.context_mark.line:
        line: int = error.context_mark.line
    else:
        mark = error.problem_mark
        # The stream ends on a line of its own.
        line = mark.line + (at_end and mark.column > 0) if mark is not None else 0
    return line + 1 if line and isinstance(error, yaml.scanner.ScannerError) else line
