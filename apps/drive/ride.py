"""A ride: the ego among reactive traffic, moved by keys or by itself, shown by a world. Knows no window and draws nothing."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apps.drive.wheel import BY_KEY, Command, steering
from apps.drive.worlds import SOURCE, Shown, first_imager
from apps.play.controls import Keys
from core.errors import ZoetropeError
from driving.geometry import actor_boxes, ego_boxes, overlap
from driving.planning.loop import Course
from driving.planning.report import bird, mosaic
from driving.planning.staged import staged
from driving.planning.vehicle import EGO
from driving.planning.way import Way
from driving.road.query import on_drivable
from driving.scene import Images, State
from driving.source.imager import Imager
from driving.traffic.chauffeur import Chauffeur
from driving.traffic.simulation import Simulation

SCENE = 150
"""Frames of the scenario that is staged; the ride goes on after them."""
BIRD = 288
"""Pixels of the view from above."""
MESSAGE_SECONDS = 4.0
VIDEOS = Path("runs") / "drive" / "videos"


@dataclass(frozen=True, slots=True)
class View:
    """Everything there is to draw."""

    cameras: np.ndarray
    """uint8 (H, W, 3): the rig's pictures, side by side."""
    source: np.ndarray | None
    """The same of the source world, where it is asked for."""
    above: np.ndarray
    """uint8 (BIRD, BIRD, 3)."""
    figures: tuple[str, ...]
    label: str
    message: str
    help: bool
    video: Path | None
    """Where frames are being recorded to."""
    moved: bool


class Ride:
    """One driver. `automatic`: the car drives itself."""

    def __init__(self, shown: Shown, scenario: str, seed: int, first: str, automatic: bool = False):
        self.shown, self.automatic, self.leaving = shown, automatic, False
        self._description, self._seed = shown.load(scenario), seed
        self._imager = shown.imager(first_imager(first) if shown.world else None)
        self._source: Imager | None = None
        self._beside = self._help = self._paused = False
        self._video: Path | None = None
        self._message, self._until = "", 0.0
        self._milliseconds: deque[float] = deque(maxlen=10)
        self._begin()

    def tick(self, keys: Keys) -> View:
        """One frame: obey the keys, move and show what is seen."""
        for key in keys.struck:
            if (command := BY_KEY.get(key)) is not None:
                try:
                    self._obey(command)
                except ZoetropeError as error:
                    self._say(str(error))
        moved = not self._paused
        if moved:
            self._move(keys)
        return self._view(moved)

    @property
    def resting(self) -> bool:
        """Whether nothing will change before a key is pressed."""
        return self._paused

    def close(self) -> None:
        self._imager.close()
        if self._source is not None:
            self._source.close()

    def _begin(self) -> None:
        self._course: Course = staged(self._description, self._seed, SCENE)
        course = self._course
        self._way = Way(road=course.road, path=course.route)
        self._chauffeur = Chauffeur(path=course.route)
        self._simulation = Simulation(course.road, course.entrants, course.ego, course.seed)
        self._wheel, self._frame = 0.0, 0
        self._imager.begin(course.road, course.rig, course.ambience, course.seed)
        self._images = self._show()
        if self._source is not None:
            self._source.begin(course.road, course.rig, course.ambience, course.seed)

    def _move(self, keys: Keys) -> None:
        ego = self._simulation.moment.ego
        if self.automatic:
            after = self._chauffeur(self._simulation.moment, self._course.road)
        else:
            steer, pedal = (np.array([value]) for value in steering(keys))
            row = np.array([[ego.x, ego.y, ego.yaw, ego.speed]])
            states, wheels = EGO.step(row, steer, pedal, np.array([self._wheel]))
            after, self._wheel = State(*map(float, states[0])), float(wheels[0])
        moment = self._simulation.step(after)
        self._frame += 1
        self._images = self._show()
        own = ego_boxes(np.array([after.x, after.y, after.yaw]))
        touched = [actor.category for (actor, _), hit in zip(moment.actors, overlap(own, actor_boxes(moment))) if hit]
        if touched:
            self._say(f"touched: {touched[0]}; R for a new scene")
        elif not on_drivable(self._course.road, own[None, :2])[0]:
            self._say("off the road; R for a new scene")

    def _show(self) -> Images:
        begun = time.perf_counter()
        images = self._imager.show(self._simulation.moment)
        self._milliseconds.append((time.perf_counter() - begun) * 1000)
        return images

    def _obey(self, command: Command) -> None:
        match command:
            case Command.PAUSE:
                self._paused = not self._paused
            case Command.HELP:
                self._help = not self._help
            case Command.LEAVE:
                self.leaving = True
            case Command.NEW:
                self._seed += 1
                self._begin()
            case Command.VIDEO:
                if self._video is not None:
                    self._say(f"video: {self._video}")
                stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() // 1_000_000 % 1000:03d}"
                self._video = None if self._video is not None else VIDEOS / f"{self._description.name}-{stamp}.mp4"
            case Command.SOURCE:
                self._toggle_source()

    def _toggle_source(self) -> None:
        if self.shown.world is None:
            raise ZoetropeError("this is the source world already")
        self._beside = not self._beside
        if self._beside and self._source is None:
            self._source = Shown(SOURCE).imager()
            course = self._course
            self._source.begin(course.road, course.rig, course.ambience, course.seed)

    def _say(self, text: str) -> None:
        self._message, self._until = text, time.monotonic() + MESSAGE_SECONDS

    def _view(self, moved: bool) -> View:
        course, moment = self._course, self._simulation.moment
        along = self._way.along(moment.ego)
        figures = (
            f"{moment.ego.speed * 3.6:.0f} km/h of {self._way.limit(along) * 3.6:.0f}",
            f"{np.mean(self._milliseconds):.0f} ms a frame",
            f"{course.name}, {moment.time:.1f} s",
            f"{Command.HELP.key.upper()} help",
        )
        source = self._source.show(moment).colour if self._source is not None and self._beside else None
        return View(
            cameras=mosaic(self._images.colour, course.rig),
            source=None if source is None else mosaic(source, course.rig),
            above=bird(course, moment, self._way.ahead(along), BIRD),
            figures=figures,
            label="paused" if self._paused else "",
            message=self._message if time.monotonic() < self._until else "",
            help=self._help,
            video=self._video,
            moved=moved,
        )
