"""Numbers that a scenario's YAML may leave open, and shorthand: `3` for `{low: 3, high: 3}`, `x` for `[x]`, `red` for RGB."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import ZoetropeError

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (235, 235, 232),
    "black": (28, 28, 32),
    "grey": (125, 128, 132),
    "silver": (186, 190, 194),
    "red": (178, 34, 38),
    "blue": (38, 74, 150),
    "green": (40, 110, 62),
    "yellow": (226, 184, 40),
    "orange": (222, 110, 32),
    "brown": (104, 70, 44),
}
"""Paints and clothes that may be named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """A number that the seed picks, evenly between both ends."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """Always takes one draw."""
        return float(rng.uniform(self.low, self.high))

    def draw_int(self, rng: np.random.Generator) -> int:
        """The same for counts: both ends are as likely as what lies between."""
        return int(rng.integers(round(self.low), round(self.high), endpoint=True))


def spell_out(hint: Any, value: Any, where: str) -> Any:
    """Replace shorthand in plain data meant for the type `hint`, so that `core.config.from_dict` reads it.

    Raises ZoetropeError for a range whose ends are not finite numbers in order; leaves other mistakes to `from_dict`.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else spell_out(next(a for a in args if a is not type(None)), value, where)
    if hint is Range:
        return _range(value, where)
    if origin is tuple:
        if isinstance(value, str) and args == (int, int, int) and value in COLOURS:
            return list(COLOURS[value])
        variadic = len(args) == 2 and args[1] is Ellipsis
        if variadic and value is not None and not isinstance(value, (list, tuple)):
            value = [value]
        if isinstance(value, (list, tuple)):
            inner = [args[0]] * len(value) if variadic else args
            return [spell_out(h, v, f"{where}[{i}]") for i, (h, v) in enumerate(zip(inner, value))] + list(value[len(inner) :])
        return value
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        return {k: spell_out(hints[k], v, f"{where}: {k}") if k in hints else v for k, v in value.items()}
    return value


def _range(value: Any, where: str) -> Any:
    if type(value) in (int, float):
        value = {"low": value, "high": value}
    if not isinstance(value, dict):
        raise ZoetropeError(f"{where}: expected a number or {{low, high}}, found {value!r}")
    low, high = value.get("low", 0), value.get("high", 0)
    numbers = all(type(end) in (int, float) and math.isfinite(end) for end in (low, high))
    if set(value) == {"low", "high"} and not (numbers and low <= high):
        raise ZoetropeError(f"{where}: expected finite numbers with low <= high, found {value}")
    return value
