"""Settings of a daemon: one frozen dataclass, filled from a YAML file, refusing what it does not know.

Field types understood: str, int, float, bool, Path, Enum (by value), Optional, `tuple[X, ...]`,
`Mapping[str, X]` / `dict[str, X]` and nested dataclasses. Of a certificate and its key, fields called NAME_cert_file
and NAME_key_file, both are given or neither is.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")

_SCALARS: dict[type, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float), bool: (bool,)}


class SettingsError(Exception):
    """A settings file or override cannot be used; the message names the field and the fix."""


def load(cls: type[T], path: Path | None, **overrides: Any) -> T:
    """Read `cls` from the YAML mapping in `path` (keys are the field names); `overrides` win.

    An override of None is ignored, so that absent command-line flags can be passed as they are.
    Raises SettingsError for a missing file, bad YAML, an unknown key, a wrong type or a missing field.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = read_mapping(path)
        # A program's settings may understand another program's file.
        if translate := getattr(cls, "translated", None):
            try:
                values = translate(values)
            except (ValueError, TypeError, AttributeError) as error:
                raise SettingsError(f"{path}: {error}") from error
    values.update({key: value for key, value in overrides.items() if value is not None})
    return typing.cast(T, _dataclass(cls, values, where="", source=str(path or "the command line")))


def of(cls: type[T], values: object, source: str = "it") -> T:
    """`cls` from a value already read (JSON, YAML), held to the same rules; `source` begins what is told."""
    return typing.cast(T, _dataclass(cls, values, where="", source=source))


def read_mapping(path: Path) -> dict[str, Any]:
    """What a YAML file says, nothing of it judged. Raises SettingsError for one that is missing, or no mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read settings file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"settings file {path} is not text in UTF-8: {error.reason}") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"settings file {path} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"settings file {path} must hold a mapping of field: value")
    return values


def _dataclass(cls: Any, values: Any, where: str, source: str) -> Any:
    if not isinstance(values, dict):
        raise SettingsError(f"{source}: {where or 'settings'} must be a mapping, not {type(values).__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            known = ", ".join(sorted(fields))
            raise SettingsError(f"{source}: unknown field {_join(where, str(key))}; known fields: {known}")
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name, field in fields.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], _join(where, name), source)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SettingsError(f"{source}: field {_join(where, name)} is required; add it")
    try:
        found = cls(**arguments)
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from error
    _pairs(found, fields, where, source)
    return found


def _pairs(found: Any, fields: collections.abc.Iterable[str], where: str, source: str) -> None:
    """Half a pair would be taken for none, and nobody told: of a listener's, that is plain HTTP."""
    for certificate in (name for name in fields if name.endswith("cert_file")):
        key = f"{certificate.removesuffix('cert_file')}key_file"
        if hasattr(found, key) and _is_given(found, certificate) != _is_given(found, key):
            given, missing = (certificate, key) if _is_given(found, certificate) else (key, certificate)
            text = f"{_join(where, given)} is given without {_join(where, missing)}; give both or neither"
            raise SettingsError(f"{source}: {text}")


def _is_given(found: Any, file: str) -> bool:
    """By the name of a file, or by what it holds where the settings have a field for that."""
    return bool(getattr(found, file) or getattr(found, f"{file.removesuffix('file')}data", None))


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _convert(hint: Any, value: Any, where: str, source: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _optional(hint, value, where, source)
    if origin is tuple:
        return _tuple(hint, value, where, source)
    if origin in (dict, collections.abc.Mapping):
        _expect(isinstance(value, dict), "a mapping", value, where, source)
        inner = typing.get_args(hint)[1]
        return {str(k): _convert(inner, v, f"{where}.{k}", source) for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else _dataclass(hint, value, where, source)  # type: ignore[arg-type]
    return _scalar(hint, value, where, source)


def _optional(hint: Any, value: Any, where: str, source: str) -> Any:
    if value is None:
        return None
    (inner,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
    return _convert(inner, value, where, source)


def _tuple(hint: Any, value: Any, where: str, source: str) -> Any:
    _expect(isinstance(value, (list, tuple)), "a list", value, where, source)
    inner = typing.get_args(hint)[0]
    return tuple(_convert(inner, item, f"{where}[{i}]", source) for i, item in enumerate(value))


def _scalar(hint: Any, value: Any, where: str, source: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return value if isinstance(value, hint) else hint(value)
        except ValueError:
            allowed = ", ".join(str(member.value) for member in hint)
            raise SettingsError(f"{source}: {where} is {value!r}; use one of {allowed}") from None
    if hint is Path:
        _expect(isinstance(value, (str, Path)), "a path", value, where, source)
        return Path(value)
    accepted = _SCALARS.get(hint)
    if accepted is None:
        raise TypeError(f"settings field {where} has a type this loader does not know: {hint}")
    # bool is an int in Python; a port of `true` is a mistake.
    right = isinstance(value, accepted) and (hint is bool or not isinstance(value, bool))
    _expect(right, f"a {hint.__name__}", value, where, source)
    return hint(value)


def _expect(right: bool, what: str, value: Any, where: str, source: str) -> None:
    if not right:
        raise SettingsError(f"{source}: {where} must be {what}, not {value!r}")
