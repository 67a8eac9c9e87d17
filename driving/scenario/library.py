"""Reading scenarios: the library's by name, a user's by path, a language model's as text; everything is checked first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from core.config import from_dict
from core.errors import ZoetropeError
from driving.rig import Rig
from driving.road.build import KINDS
from driving.scenario import ambience
from driving.scenario.description import (
    JUNCTION_LANES,
    ActorSpec,
    Description,
    DriveSpec,
    ManoeuvreSpec,
    ReplaySpec,
    RoadSpec,
    TrafficSpec,
    WalkSpec,
    When,
)
from driving.scenario.events import EVENTS, NOTHING
from driving.scenario.values import Range, spell_out
from driving.scene import CATEGORIES

LIBRARY = Path(__file__).parent / "library"
MOST_ALIKE = 40
"""Copies of one actor."""
MOST_ACTORS = 120
"""In a scenario, traffic not counted."""
MOST_TRAFFIC = {"vehicles": 4.0, "parked": 1.0, "pedestrians": 60.0, "cyclists": 20.0}
"""What `TrafficSpec` may ask for."""


def names() -> tuple[str, ...]:
    """The scenarios of the library."""
    return tuple(sorted(path.stem for path in LIBRARY.glob("*.yaml")))


def load(name_or_path: str | Path) -> Description:
    """A scenario of the library by its name, or a user's by its path. Raises ZoetropeError naming file and field."""
    if str(name_or_path) in names():
        path = LIBRARY / f"{name_or_path}.yaml"
    else:
        path = Path(name_or_path)
        if not path.suffix:
            raise ZoetropeError(f"scenario '{name_or_path}': unknown; known: {', '.join(names())}, or the path of a YAML file")
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ZoetropeError(f"{path}: not readable as a scenario: {error}") from None
    return parse_yaml(text, where=str(path), name=path.stem)


def parse_yaml(text: str, where: str, name: str = "") -> Description:
    """Read a scenario from YAML text, trusted or not. `where` prefixes every complaint."""
    return read(Description, text, where, name=name)


T = TypeVar("T")


def read(cls: type[T], text: str, where: str, **more: Any) -> T:
    """Read a dataclass of this folder from YAML text: shorthand spelled out, everything checked, one line on what is wrong."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ZoetropeError(f"{where}: YAML aliases are not read here; write the value out")
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ZoetropeError(f"{where}: not readable as YAML: {' '.join(str(error).split())}") from None
    if isinstance(data, dict):
        data = spell_out(cls, data, where) | more
    try:
        value = from_dict(cls, data, where)
    except ZoetropeError as error:
        raise error if str(error).startswith(where) else ZoetropeError(f"{where}: {error}") from None
    check(value, where)
    return value


def check(value: Any, where: str) -> None:
    """Refuse, anywhere inside `value`, what types cannot: unknown names, two behaviours at once, sizes that are none."""
    if isinstance(value, tuple):
        for i, item in enumerate(value):
            check(item, f"{where}[{i}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, (Range, Rig)):
        for f in dataclasses.fields(value):
            check(getattr(value, f.name), f"{where}: {f.name}")
    for field, known in (("weather", ambience.WEATHERS), ("time", ambience.TIMES)):
        if (names := getattr(value, field, None)) is not None:
            _known((names,) if isinstance(names, str) else names, known, f"{where}: {field}")
    for field in ("trajectory", "points"):
        if points := getattr(value, field, None):
            _check_points(points, f"{where}: {field}")
    if isinstance(value, Description):
        if sum(spec.count.high for spec in value.actors) > MOST_ACTORS:
            raise ZoetropeError(f"{where}: actors: expected at most {MOST_ACTORS} in all")
        if value.event is not None:
            _known((value.event,), (*EVENTS, NOTHING), f"{where}: event")
    if isinstance(value, ActorSpec):
        _check_actor(value, where)
    if isinstance(value, (When, ManoeuvreSpec)):
        _one_of(value, [f.name for f in dataclasses.fields(value)], where)
    if isinstance(value, RoadSpec):
        _known(value.kind, KINDS, f"{where}: kind")
    if isinstance(value, TrafficSpec):
        for f in dataclasses.fields(value):
            _within(getattr(value, f.name), 0, MOST_TRAFFIC[f.name], f"{where}: {f.name}")
    if isinstance(value, DriveSpec) and value.speed and value.pace:
        raise ZoetropeError(f"{where}: expected speed or pace, found both")
    if (isinstance(value, ReplaySpec) and not value.points) or (isinstance(value, WalkSpec) and not value.to):
        raise ZoetropeError(f"{where}: expected points to go through, found none")


def _check_points(points: tuple[tuple[float, float, float], ...], where: str) -> None:
    if not all(math.isfinite(number) for point in points for number in point):
        raise ZoetropeError(f"{where}: expected finite numbers")
    if len(points) < 2 or any(b[0] <= a[0] for a, b in zip(points, points[1:])):
        raise ZoetropeError(f"{where}: expected two points or more, later ones at later seconds")


def _check_actor(spec: ActorSpec, where: str) -> None:
    _known(spec.category, CATEGORIES, f"{where}: category")
    _one_of(spec, ["drive", "walk", "stand", "replay"], where)
    for side, name in zip(spec.size or (), ("width", "length", "height")):
        if side.low <= 0:
            raise ZoetropeError(f"{where}: size: {name} must be above 0 m, found {side.low}")
    if not all(0 <= c <= 255 for c in spec.colour or ()):
        raise ZoetropeError(f"{where}: colour: expected three numbers from 0 to 255, found {spec.colour}")
    _within(spec.count, 0, MOST_ALIKE, f"{where}: count")
    if (spec.lane in JUNCTION_LANES) != (spec.meets is not None):
        raise ZoetropeError(
            f"{where}: meets: belongs with a lane that is one of {', '.join(JUNCTION_LANES)}, and only with these"
        )
    if spec.meets and not spec.drive:
        raise ZoetropeError(f"{where}: meets: only for an actor that drives")


def _known(found: tuple[str, ...], known: Iterable[str], where: str) -> None:
    if not found:
        raise ZoetropeError(f"{where}: expected one or more of {', '.join(known)}, found none")
    if bad := [name for name in found if name not in known]:
        raise ZoetropeError(f"{where}: '{bad[0]}' is unknown; known: {', '.join(known)}")


def _within(span: Range, low: float, high: float, where: str) -> None:
    if not low <= span.low <= span.high <= high:
        raise ZoetropeError(f"{where}: expected {low:g} to {high:g}, found {span.low:g} to {span.high:g}")


def _one_of(value: Any, fields: list[str], where: str) -> None:
    given = [name for name in fields if getattr(value, name) is not None]
    if len(given) != 1:
        raise ZoetropeError(f"{where}: expected exactly one of {', '.join(fields)}, found {', '.join(given) or 'none'}")
