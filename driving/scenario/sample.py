"""From a scenario and a seed to a scene in which it really happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.errors import ZoetropeError
from driving.rig import nuscenes_rig
from driving.road.network import Road
from driving.scenario import ambience
from driving.scenario.cast import entrants
from driving.scenario.description import Description, TrafficSpec
from driving.scenario.events import COMMON, NOTHING, check
from driving.scenario.place import CannotBeError, Setting, lay, rear_axle, track_through
from driving.scenario.possible import problem
from driving.scene import RATE, Ambience, Event, Moment, Scene, State
from driving.traffic.background import background
from driving.traffic.behaviours import Entrant
from driving.traffic.chauffeur import Chauffeur, EgoDriver, roll
from driving.traffic.idm import Style

ATTEMPTS = 40
"""Draws before a scenario counts as one that cannot happen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What a scene is rolled out from."""

    setting: Setting
    sky: Ambience
    cast: tuple[Entrant, ...]
    start: State
    """The ego's."""
    driver: EgoDriver
    seed: int
    """Of the traffic."""


def sample(description: Description, seed: int, frames: int = 200, name: str | None = None) -> Scene:
    """Draw a scene of `frames` at `driving.scene.RATE`: the same description, seed and frames give the same scene bit for bit.

    Draws again, deterministically, until the scenario's event happens and nothing impossible does. Raises ZoetropeError
    saying what went wrong most often if none of `ATTEMPTS` draws is good, or at once for what no draw can mend.
    """
    return sample_staged(description, seed, frames, name)[0]


def sample_staged(description: Description, seed: int, frames: int, name: str | None = None) -> tuple[Scene, Stage]:
    """The same, and the stage it was rolled out from, for whoever wants another ego on it."""
    if seed < 0 or frames < 2:
        raise ZoetropeError(f"scenario {description.name}: expected a seed of 0 or more and at least 2 frames")
    wrong: Counter[str] = Counter()
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, attempt])
        try:
            scene, stage = _draw(description, frames, rng)
        except CannotBeError as error:
            wrong[str(error)] += 1
            continue
        except ZoetropeError as error:
            raise ZoetropeError(f"scenario {description.name}: {error}") from None
        reason = problem(scene, description.collision)
        if reason is None:
            events = check(scene)
            reason = _missing(description.event, events)
            if reason is None:
                return replace(scene, name=name or f"{description.name}-{seed}", seed=seed, events=events), stage
        wrong[reason] += 1
    reason, times = wrong.most_common(1)[0]
    raise ZoetropeError(
        f"scenario {description.name}: cannot happen in {frames} frames: {reason} (in {times} of {ATTEMPTS} draws)"
    )


def replayed(track: np.ndarray) -> EgoDriver:
    """An ego that moves as the rows (T, 4) say, whatever happens."""

    def drive(moment: Moment, road: Road) -> State:
        return State(*map(float, track[min(round(moment.time * RATE) + 1, len(track) - 1)]))

    return drive


def _draw(description: Description, frames: int, rng: np.random.Generator) -> tuple[Scene, Stage]:
    setting = lay(description, frames, rng)
    sky = ambience.draw(_any(description.weather, rng), _any(description.time, rng), setting.pose[2], rng)
    cast = entrants(description.actors, setting, frames, rng)
    start, driver = _ego(description, setting, frames, rng)
    cast += _others(description.traffic, setting.road, start, cast, rng)
    stage = Stage(setting=setting, sky=sky, cast=cast, start=start, driver=driver, seed=int(rng.integers(2**31)))
    ego, actors, tracks = roll(setting.road, cast, start, driver, frames, stage.seed)
    scene = Scene(
        name=description.name,
        road=setting.road,
        rig=description.rig or nuscenes_rig(),
        ambience=sky,
        ego=ego,
        actors=actors,
        tracks=tracks,
        text=description.text,
        scenario=description.name,
    )
    return scene, stage


def _ego(description: Description, setting: Setting, frames: int, rng: np.random.Generator) -> tuple[State, EgoDriver]:
    x, y, yaw = setting.pose
    back = rear_axle(x, y, yaw)
    style = Style.of(description.ego.aggressiveness.draw(rng))
    if description.ego.trajectory:
        track = track_through(description.ego.trajectory, (*back, yaw), frames)
        return State(*map(float, track[0])), replayed(track)
    wish = setting.speed if description.ego.speed else None
    return State(*back, yaw, setting.speed), Chauffeur(path=setting.path, speed=wish, style=style)


def _others(
    traffic: TrafficSpec, road: Road, ego: State, cast: Sequence[Entrant], rng: np.random.Generator
) -> tuple[Entrant, ...]:
    return background(
        road,
        ego,
        int(rng.integers(2**31)),
        density=traffic.vehicles.draw(rng),
        pedestrians=traffic.pedestrians.draw_int(rng),
        cyclists=traffic.cyclists.draw_int(rng),
        parked=traffic.parked.draw(rng),
        others=cast,
    )


def _missing(event: str | None, events: Sequence[Event]) -> str | None:
    """What the scenario promises and the scene lacks."""
    if event == NOTHING:
        rare = [e.name for e in events if e.name not in COMMON]
        return f"'{rare[0]}' happens in what should be ordinary" if rare else None
    if event is None or any(e.name == event for e in events):
        return None
    return f"the event '{event}' does not happen"


def _any(names: tuple[str, ...], rng: np.random.Generator) -> str:
    return names[int(rng.integers(len(names)))]
