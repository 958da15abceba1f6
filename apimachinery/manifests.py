"""API objects out of YAML or JSON text; with settings and kubeconfig one of the doors of PyYAML."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import yaml


class ManifestError(ValueError):
    """The text is no manifest; the message says where."""


# libyaml's parser, fifty times as fast, where PyYAML was built with it.
_CHARACTERS = ("found invalid Unicode", "did not find expected hexdecimal number")
_Parser: Callable[[Any], Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TOLD_EXACTLY = 64 * 1024
_MAX_DEPTH = 200
BOOLEAN = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """Plain YAML 1.1, y and n included, but for timestamps, which the API has as strings."""

    bool_values: ClassVar[dict[str, bool]] = {**yaml.SafeLoader.bool_values, "y": True, "n": False}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(BOOLEAN, re.compile(r"^[yYnN]$"), list("yYnN"))
# "<<" and "=" mean something as keys alone.
for _tag in ("merge", "value"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", lambda loader, node: str(node.value))


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
    """load_value's document, and a complaint for every key that a mapping says twice, `line 6: key "a" …`.

    Bounded as upstream's parser is: in depth, and in what aliases may multiply.
    """
    try:
        return _read(text, _Parser)
    except yaml.YAMLError as error:
        first = error
    if len(text) <= _TOLD_EXACTLY and not _is_of_a_character(first):
        try:
            # The slower parser says exactly where, and takes some of what upstream's does not.
            _read(text, yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise ManifestError(_upstream_text(error)) from error
    raise ManifestError(_upstream_text(first)) from first


def _is_of_a_character(error: yaml.YAMLError) -> bool:
    """Of these the fast parser speaks in upstream's words: they are of one descent."""
    if isinstance(error, yaml.reader.ReaderError):
        return True
    return (getattr(error, "problem", None) or "").startswith(_CHARACTERS)


def _read(text: str | bytes, parser: Callable[[Any], Any]) -> tuple[Any, tuple[str, ...]]:
    try:
        events = parser(text)
        try:
            events.get_event()  # the stream's start
            if isinstance(events.get_event(), yaml.StreamEndEvent):
                return None, ()
            reader = _Reader(events.get_event)
            return reader.value(events.get_event(), 0), tuple(reader.repeated)
        finally:
            events.dispose()
    except UnicodeDecodeError as error:
        raise ManifestError(str(error)) from error


class _Reader:
    """From the events of a document to what JSON could say, where every key is a text."""

    def __init__(self, next_event: Callable[[], Any]) -> None:
        self._next = next_event
        # What an anchor names, and how many values that is; None while it is still being read.
        self._named: dict[str, tuple[Any, int] | None] = {}
        self._values = 0
        # Those of them that aliases repeat.
        self._repeats = 0
        self.repeated: list[str] = []

    def value(self, event: Any, depth: int) -> Any:
        """The value that begins with an event."""
        self._values += 1
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor))
        if isinstance(event, yaml.ScalarEvent):
            found = _scalar(event)
            if event.anchor:
                self._named[event.anchor] = found, 1
            return found
        if depth >= _MAX_DEPTH:
            raise ManifestError("yaml: exceeded max depth")
        before = self._values
        if event.anchor:
            self._named[event.anchor] = None
        items = self._mapping(depth + 1) if isinstance(event, yaml.MappingStartEvent) else self._sequence(depth + 1)
        if event.anchor:
            self._named[event.anchor] = items, self._values - before + 1
        return items

    def _alias(self, anchor: str) -> Any:
        if anchor not in self._named:
            raise ManifestError("yaml: unknown anchor")
        named = self._named[anchor]
        if named is None:
            raise ManifestError("yaml: anchor value contains itself")
        found, values = named
        self._values += values
        self._repeats += values
        if self._repeats > 100 and self._values > 1000 and self._repeats > self._values * _alias_share(self._values):
            raise ManifestError("yaml: document contains excessive aliasing")
        return _copied(found)

    def _sequence(self, depth: int) -> list[Any]:
        items = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self.value(event, depth))
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        at = len(self.repeated)
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
                merged.update(_merged(self.value(self._next(), depth)))
                continue
            name = _json_key(self.value(event, depth))
            if name in own:
                # A mapping's own repetitions stand before those of what is in it.
                told = f'line {event.start_mark.line + 1}: key "{name}" already set in map'
                self.repeated.insert(at, told)
                at += 1
            own[name] = self.value(self._next(), depth)
        return {**merged, **own} if merged else own


def _merged(given: Any) -> dict[str, Any]:
    """What a merge key adds: a mapping, or several of which the first to say something counts."""
    found: dict[str, Any] = {}
    for one in reversed(given if isinstance(given, list) else [given]):
        if not isinstance(one, dict):
            raise ManifestError("yaml: map merge requires map or sequence of maps as the value")
        found.update(one)
    return found


def _alias_share(values: int) -> float:
    """How much of a document may come from aliases: nearly all of a small one, a tenth of a large one, as upstream."""
    low, high = 400_000, 4_000_000
    return 0.99 - 0.89 * min(max(values - low, 0) / (high - low), 1.0)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


_RESOLVERS: Mapping[str, list[tuple[str, Any]]] = _Loader.yaml_implicit_resolvers


# Longer than any number, truth or nothing: a text.
_LONGEST_VALUE = 64
_DECIMAL = re.compile(r"(?:[-+]?(?:0|[1-9][0-9]{0,17}))\Z", re.ASCII)
_FRACTION = re.compile(r"[-+]?[0-9]+\.[0-9]+\Z", re.ASCII)


def _scalar(event: Any) -> Any:
    """A scalar's value; a tag decides before its looks do."""
    text, tag = event.value, event.tag
    if tag is None or tag == "!":
        if not event.implicit[0] or len(text) > _LONGEST_VALUE:
            return text
        found = _RESOLVERS.get(text[:1])
        if found is None:
            return text
        if _DECIMAL.match(text):
            return int(text)
        if _FRACTION.match(text):
            return float(text)
        tag = next((name for name, looks in found if looks.match(text)), None)
        if tag is None:
            return text
    elif len(text) > _LONGEST_VALUE and tag.endswith((":int", ":float")):
        raise ManifestError("yaml: cannot decode a text of this length as a number")
    try:
        return _CONSTRUCTOR.construct_object(yaml.ScalarNode(tag, text, event.start_mark, event.end_mark), deep=True)
    except ValueError as error:
        raise ManifestError(f"yaml: {error}") from error


# Remembers nothing between two scalars.
_CONSTRUCTOR = _Loader("")


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
    if isinstance(error, yaml.reader.ReaderError):
        return f"yaml: {error.reason}"
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
