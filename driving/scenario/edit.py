"""Changes to a scene that exists: another way for the ego, other actors, weather, time or cameras."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from core.errors import ZoetropeError
from driving.rig import Rig
from driving.scenario import ambience, library
from driving.scenario.cast import entrants
from driving.scenario.description import ActorSpec
from driving.scenario.events import check
from driving.scenario.place import Setting, driven_path, track_through
from driving.scenario.possible import problem
from driving.scenario.sample import replayed
from driving.scene import EGO_CENTRE, RATE, Ambience, Scene, State
from driving.traffic.behaviours import Entrant, Replay
from driving.traffic.chauffeur import roll


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """Shifts the whole track of an actor, as that actor looks."""

    actor: int
    ahead: float = 0.0
    """Metres."""
    left: float = 0.0
    """Metres."""
    later: float = 0.0
    """Seconds; negative: earlier. It is not there before its track begins, and stays where it ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """What should be different; everything else stays as recorded. Actors keep their old numbers here."""

    trajectory: tuple[tuple[float, float, float], ...] = ()
    """The ego's: (seconds, metres ahead, metres left) from where it starts, as it looks then."""
    remove: tuple[int, ...] = ()
    move: tuple[Move, ...] = ()
    insert: tuple[ActorSpec, ...] = ()
    """Places are relative to the ego's start, as in scenarios."""
    weather: str | None = None
    """As `driving.scenario.ambience` names them; a new weather keeps the sun, a new time keeps the weather."""
    time: str | None = None
    rig: Rig | None = None
    collision: bool = False
    """Whether the ego may be hit."""
    text: str | None = None
    name: str | None = None
    """Of the changed scene; None: the old one's with '-edited'."""
    seed: int = 0
    """Picks within the ranges of what is inserted and of the weather."""


def load(path: str | Path) -> Edit:
    """Read an edit from YAML. Raises ZoetropeError naming file and field."""
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ZoetropeError(f"{path}: not readable as an edit: {error}") from None
    return library.read(Edit, text, str(path))


def apply(scene: Scene, edit: Edit) -> Scene:
    """The scene with the changes. Raises ZoetropeError for what cannot be: unknown actors, overlaps, a way off the road."""
    rng = np.random.default_rng([edit.seed, 0xED17])
    ego = _ego(scene, edit)
    kept = _kept(scene, edit)
    tracks = {i: scene.tracks[i] for i in kept} | {m.actor: _moved(scene.tracks[m.actor], m) for m in edit.move}
    actors = [replace(scene.actors[i], id=n) for n, i in enumerate(kept)]
    changed = replace(
        scene,
        name=edit.name or f"{scene.name}-edited",
        text=scene.text if edit.text is None else edit.text,
        rig=edit.rig or scene.rig,
        ambience=_ambience(scene, edit, rng),
        ego=ego,
        actors=tuple(actors),
        tracks=np.array([tracks[i] for i in kept]).reshape(len(kept), len(scene), 4),
    )
    if edit.insert:
        changed = _inserted(changed, edit, rng)
    if wrong := problem(changed, edit.collision):
        raise ZoetropeError(f"edit of scene {scene.name}: {wrong}")
    return replace(changed, events=check(changed))


def _kept(scene: Scene, edit: Edit) -> list[int]:
    moved = [m.actor for m in edit.move]
    for field, numbers in (("remove", list(edit.remove)), ("move", moved)):
        if bad := [n for n in numbers if not 0 <= n < len(scene.actors)]:
            raise ZoetropeError(
                f"edit of scene {scene.name}: {field}: no actor {bad[0]}; it has {len(scene.actors)}, numbered from 0"
            )
        if len(set(numbers)) < len(numbers):
            raise ZoetropeError(f"edit of scene {scene.name}: {field}: an actor is named twice in {numbers}")
    if both := set(edit.remove) & set(moved):
        raise ZoetropeError(f"edit of scene {scene.name}: actor {min(both)} is both removed and moved")
    return [i for i in range(len(scene.actors)) if i not in edit.remove]


def _moved(track: np.ndarray, move: Move) -> np.ndarray:
    """A track (T, 4), shifted."""
    out = track.copy()
    cos, sin = np.cos(track[:, 2]), np.sin(track[:, 2])
    out[:, 0] += move.ahead * cos - move.left * sin
    out[:, 1] += move.ahead * sin + move.left * cos
    at = np.arange(len(track)) - round(move.later * RATE)
    out = out[np.clip(at, 0, len(track) - 1)]
    out[at < 0] = np.nan
    out[at >= len(track), 3] = 0.0
    return out


def _ego(scene: Scene, edit: Edit) -> np.ndarray:
    if not edit.trajectory:
        return scene.ego
    x, y, yaw = map(float, scene.ego[0, :3])
    return track_through(edit.trajectory, (x, y, yaw), len(scene))


def _ambience(scene: Scene, edit: Edit, rng: np.random.Generator) -> Ambience:
    if edit.weather is None and edit.time is None:
        return scene.ambience
    new = ambience.draw(edit.weather or "clear", edit.time or "day", float(scene.ego[0, 2]), rng)
    sun = ("sun_elevation", "sun_azimuth")
    keep = (() if edit.weather else tuple(f.name for f in fields(new) if f.name not in sun)) + (() if edit.time else sun)
    return replace(new, **{name: getattr(scene.ambience, name) for name in keep})


def _inserted(scene: Scene, edit: Edit, rng: np.random.Generator) -> Scene:
    """With new actors that react to the recorded ones; those go on as recorded."""
    new = entrants(edit.insert, _setting(scene), len(scene), rng, first=len(scene.actors), where="insert")
    old = [Entrant(actor=actor, behaviour=Replay(track=track)) for actor, track in zip(scene.actors, scene.tracks)]
    start = State(*map(float, scene.ego[0]))
    _, actors, tracks = roll(scene.road, (*old, *new), start, replayed(scene.ego), len(scene), int(rng.integers(2**31)))
    return replace(scene, actors=actors, tracks=tracks)


def _setting(scene: Scene) -> Setting:
    """The ego's lane where the scene starts, and the way on that is nearest to what it drives."""
    x, y, _, speed = map(float, scene.ego[0])
    path = driven_path(scene)
    return Setting(road=scene.road, path=path, s=path.project(x, y)[0] + EGO_CENTRE, speed=speed)
