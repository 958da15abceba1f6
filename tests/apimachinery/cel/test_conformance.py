"""CEL's conformance data, where google/cel-spec lies beside the checkout as `cel-spec`.

What needs protobuf messages is left out. Lists and maps of mixed types are refused here, as upstream refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.cel import door
from apimachinery.cel.types import kinds
from apimachinery.cel.types.environment import NAMED_TYPES
from apimachinery.cel.types.kinds import Type
from apimachinery.cel.values.kinds import as_key, equal
from apimachinery.cel.values.numbers import UInt
from apimachinery.cel.values.times import SECOND, Duration, Timestamp

PLACES = [parent / "cel-spec" / "tests/simple/testdata" for parent in Path(__file__).resolve().parents]
FOLDER = next((place for place in PLACES if place.is_dir()), None)
FILES = (
    *("basic", "comparisons", "conversions", "fields", "fp_math", "integer_math", "lists", "logic", "macros"),
    *("macros2", "optionals", "parse", "plumbing", "string", "string_ext", "timestamps", "type_deduction"),
)
# What upstream's server has not: names between back quotes, texts' reverse(), numbers formatted as others.
LEFT_OUT = re.compile(r"%s.\.format\(\[(dyn\()?(\[|\{|double)|\.`|reverse\(\)|%[.\d]*[efd]|ndexOf\('a', 30\)|^str_var")
STRICT = ("expected type", "no matching overload", "undeclared reference")

_TOKEN = re.compile(r"""\s+|\#[^\n]*|(?P<s>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<w>[\w.\-+/]+)|(?P<p>[{}:\[\],;])""")
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_LETTERS = dict(zip(b"ntrabfv", b"\n\t\r\a\b\f\v", strict=True))
Fields = list[tuple[str, Any]]


class Left(Exception):
    """A case that needs what is not here."""


def _words(text: str) -> Iterator[Any]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None, text[at : at + 40]
        at = match.end()
        if match["s"]:
            yield _ESCAPE.sub(_unescaped, match["s"][1:-1].encode())
        elif match.lastgroup:
            yield match.group()


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code.isdigit():
        return bytes((int(code, 8) & 255,))
    if len(code) > 1:
        number = int(code[1:], 16)
        return bytes((number,)) if code[:1] == b"x" else chr(number).encode()
    return bytes((_LETTERS.get(code[0], code[0]),))


def _fields(words: Iterator[Any]) -> Fields:
    found: Fields = []
    while (word := next(words, "}")) not in ("}", "]"):
        if word in (",", ";"):
            continue
        name = word
        if name == "[":
            name = "".join(iter(lambda: next(words), "]"))
        word = next(words)
        word = next(words) if word == ":" else word
        if word == "[":
            while (each := next(words)) != "]":
                if each != ",":
                    found.append((name, _fields(words) if each == "{" else each))
        else:
            found.append((name, _fields(words) if word == "{" else word))
    return found


def _value(fields: Fields) -> Any:
    ((name, given),) = fields
    match name:
        case "int64_value":
            return int(given, 0)
        case "uint64_value":
            return UInt(int(given, 0))
        case "double_value":
            return float(given.replace("infinity", "inf"))
        case "bool_value":
            return given == "true"
        case "null_value":
            return None
        case "string_value":
            return given.decode()
        case "bytes_value":
            return given
        case "list_value":
            return [_value(each) for _, each in given]
        case "map_value":
            return {as_key(_value(dict(each)["key"])): _value(dict(each)["value"]) for _, each in given}
        case "type_value" if given.decode() in NAMED_TYPES:
            return NAMED_TYPES[given.decode()]
        case "object_value":
            ((message, inner),) = given
            parts = dict(inner)
            nanos = int(parts.get("seconds", "0")) * SECOND + int(parts.get("nanos", "0"))
            if message.endswith("Duration"):
                return Duration(nanos)
            if message.endswith("Timestamp"):
                return Timestamp(nanos)
    raise Left


def _type(fields: Fields) -> Type:
    ((name, given),) = fields
    if name == "primitive":
        return {"INT64": kinds.INT, "UINT64": kinds.UINT}.get(given) or Type(given.lower())
    if name == "list_type":
        return kinds.list_of(_type(given[0][1]))
    if name == "map_type":
        return kinds.map_of(_type(dict(given)["key_type"]), _type(dict(given)["value_type"]))
    if name in ("null", "dyn"):
        return Type(name)
    raise Left


def _outcome(test: Fields) -> tuple[str, Any, Any]:
    """(expression, what is wanted, what came): a value, or None for an error, each as a tuple of one."""
    parts = dict(test)
    expression = parts["expr"].decode()
    if {"container", "disable_macros"} & set(parts) or re.search("google.protobuf|TestAllTypes", expression):
        raise Left
    bindings = {
        dict(each)["key"].decode(): _value(dict(dict(each)["value"])["value"])
        for name, each in test
        if name == "bindings"
    }
    types = {name: kinds.DYN for name in bindings}
    for name, each in test:
        if name == "type_env":
            if "ident" not in dict(each):
                raise Left
            types[dict(each)["name"].decode()] = _type(dict(dict(each)["ident"])["type"])
    if "typed_result" in parts:
        result = dict(parts["typed_result"])
        if "result" not in result:
            raise Left
        wanted: Any = (_value(result["result"]),)
    else:
        wanted = None if "eval_error" in parts else (_value(parts["value"]) if "value" in parts else True,)
    try:
        return expression, wanted, (door.compile(expression, door.environment(types)).evaluate(bindings),)
    except door.EvaluationError:
        return expression, wanted, None
    except door.Unfit as refused:
        if wanted is None or any(word in str(refused) for word in STRICT):
            raise Left from refused
        return expression, wanted, str(refused)


@pytest.mark.parametrize("name", FILES)
def test_conformance(name: str) -> None:
    if FOLDER is None:
        pytest.skip("no cel-spec beside the checkout")
    wrong: list[str] = []
    judged = 0
    for title, section in _fields(_words((FOLDER / f"{name}.textproto").read_text(encoding="utf-8"))):
        for kind, test in section if title == "section" else ():
            if kind != "test" or LEFT_OUT.search(dict(test)["expr"].decode()):
                continue
            try:
                expression, wanted, came = _outcome(test)
            except Left:
                continue
            judged += 1
            same = wanted == came if None in (wanted, came) else not isinstance(came, str)
            if same and wanted is not None:
                same = equal(door.Budget().work, wanted[0], came[0]) or came[0] != came[0]
            if not same:
                wrong.append(f"{expression!r}: wanted {wanted}, came {came}")
    assert judged
    assert not wrong, "\n".join(wrong)
