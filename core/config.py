"""Typed configuration: dataclasses filled from plain mappings or YAML, unknown keys and wrong types refused."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from core.errors import ZoetropeError

T = TypeVar("T")


def load_yaml(cls: type[T], path: str | Path) -> T:
    """Read `path` as YAML into the dataclass `cls`. Raises ZoetropeError naming the file, the key and the expected type."""
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ZoetropeError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ZoetropeError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    return from_dict(cls, data if data is not None else {}, where=str(path))


def from_dict(cls: type[T], data: Any, where: str = "config") -> T:
    """Build the dataclass `cls` from a mapping, recursively. `where` prefixes every complaint."""
    if not isinstance(data, dict):
        raise ZoetropeError(f"{where}: expected a mapping of {cls.__name__} keys, found {type(data).__name__}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    unknown = sorted(str(key) for key in data if key not in fields)
    if unknown:
        raise ZoetropeError(f"{where}: unknown key '{unknown[0]}'; known keys: {', '.join(fields)}")
    missing = [
        n
        for n, f in fields.items()
        if n not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ZoetropeError(f"{where}: missing key '{missing[0]}'")
    return cls(**{key: _convert(hints[key], value, f"{where}: {key}") for key, value in data.items()})


def to_dict(config: Any) -> dict[str, Any]:
    """The inverse of `from_dict`: plain lists, mappings and scalars, ready for YAML or JSON."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return value

    return plain(config)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        kinds = [a for a in args if a is not type(None)]
        if len(kinds) > 1 and all(dataclasses.is_dataclass(a) for a in kinds):
            return _tagged(kinds, value, where)
        return _convert(next((a for a in kinds if type(value) is a), kinds[0]), value, where)
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if origin is typing.Literal:
        if value not in args:
            raise ZoetropeError(f"{where}: expected one of {', '.join(map(str, args))}, found {value!r}")
        return value
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise ZoetropeError(f"{where}: expected a list, found {value!r}")
        variadic = origin is list or (len(args) == 2 and args[1] is Ellipsis)
        if not variadic and len(value) != len(args):
            raise ZoetropeError(f"{where}: expected {len(args)} values, found {len(value)}")
        inner = [args[0]] * len(value) if variadic else args
        return origin(_convert(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(inner, value)))
    if hint is float and type(value) is int:
        return float(value)
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        try:
            return float(value)
        except ValueError:
            pass
    if type(value) is not hint:
        raise ZoetropeError(f"{where}: expected {hint.__name__}, found {value!r}")
    return value


def _tagged(kinds: list[Any], value: Any, where: str) -> Any:
    """One of several dataclasses, told apart by what their field `kind` may say."""
    named = {tag: cls for cls in kinds for tag in typing.get_args(typing.get_type_hints(cls)["kind"])}
    tag = value.get("kind") if isinstance(value, dict) else None
    if tag not in named:
        raise ZoetropeError(f"{where}: kind: expected one of {', '.join(named)}, found {tag!r}")
    return from_dict(named[tag], value, where)
