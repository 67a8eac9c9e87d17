"""What turns a suite's MuJoCo environment into a `Task`: a description that needs no suite, and a simulator that is one.

Pictures come from `SurfelPainter`, so that no suite needs an OpenGL library.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from core.errors import ZoetropeError
from robotics.scene.cameras import Camera
from robotics.suites.surfels import SurfelPainter
from robotics.task import HOLD, Observation, Outcome, clipped

Act = Callable[[Observation], np.ndarray]
_PLACEMENTS = ("body_pos", "site_pos", "geom_pos")
"""Fields of a MuJoCo model that a suite may change at a reset."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteTask:
    """One task of a suite: what is known of it without the suite."""

    name: str
    """SUITE/TASK."""
    instruction: str
    action_names: tuple[str, ...]
    proprioception_names: tuple[str, ...]
    object_names: tuple[str, ...]
    cameras: tuple[Camera, ...]
    horizon: int
    """Frames of the longest episode, the first included."""
    reached: Callable[[np.ndarray, np.ndarray], bool]
    """Whether the goal holds, from proprioception (P,) and objects (O,)."""
    expert: Callable[[], Act]
    """Makes its scripted expert; may need the suite."""
    simulator: Callable[[], Simulator]
    """Starts the suite. Raises ZoetropeError where it is not installed."""


class Simulator(Protocol):
    """A suite's environment: one compiled model and what moves it."""

    model: Any
    """MuJoCo's MjModel."""
    data: Any
    """MuJoCo's MjData: with the placements of the model, all that decides what comes next."""
    placed: tuple[int, ...]
    """Geoms on no joint that a reset may put elsewhere."""
    marks: tuple[int, ...]
    """Sites that show a goal."""
    colours: Mapping[int, tuple[float, float, float]]
    """RGB in [0, 1] of geoms that would be hard to see as the suite paints them."""

    def reset(self, seed: int) -> None:
        """Start afresh from the model as it was compiled."""
        ...

    def advance(self, action: np.ndarray) -> None:
        """Apply one action (A,) in [-1, 1] for one frame."""
        ...

    def measure(self) -> tuple[np.ndarray, np.ndarray]:
        """Proprioception (P,) and objects (O,) now, after kinematics."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state of a suite's episode."""

    physics: np.ndarray
    """MuJoCo's integration state, float64."""
    placements: tuple[np.ndarray, ...]
    """The model's fields of _PLACEMENTS."""
    frame: int
    held: int


class Suite:
    """A `Task` that a suite's simulator plays. Raises ZoetropeError where the suite is not installed."""

    def __init__(self, task: SuiteTask, size: tuple[int, int] = (64, 64), pictures: bool = True):
        """`size` is height and width; without `pictures` frames stay black and only physics costs time."""
        self._task, self._pictures = task, pictures
        self._simulator = task.simulator()
        self._mujoco = importlib.import_module("mujoco")  # every simulator has loaded it
        self._model, self._data = self._simulator.model, self._simulator.data
        self._compiled = self._placements()
        self._painter: SurfelPainter | None = None
        self._started = False
        self.name, self.instruction, self.horizon, self.size = task.name, task.instruction, task.horizon, size
        self.action_size = len(task.action_names)
        self.proprioception_names, self.object_names = task.proprioception_names, task.object_names
        self.cameras = tuple(camera.name for camera in task.cameras)

    @property
    def intrinsics(self) -> np.ndarray:
        return np.stack([camera.intrinsics(*self.size) for camera in self._task.cameras]).astype(np.float32)

    @property
    def poses(self) -> np.ndarray:
        return np.stack([camera.pose() for camera in self._task.cameras]).astype(np.float32)

    def reset(self, seed: int) -> Observation:
        self._place(self._compiled)
        self._simulator.reset(seed)
        self._started = True
        self._frame = self._held = 0
        return self._observe()

    def step(self, action: np.ndarray) -> Outcome:
        moved = clipped(action, self.action_size)
        self._check_started("the first step")
        self._simulator.advance(moved)
        self._frame += 1
        observation = self._observe()
        reached = self._task.reached(*self._simulator.measure())
        self._held = self._held + 1 if reached else 0
        success = self._held >= HOLD
        return Outcome(observation, float(reached), success, success or self._frame + 1 >= self.horizon)

    def reached(self, observation: Observation) -> bool:
        return self._task.reached(observation.proprioception, observation.known_objects)

    def snapshot(self) -> Snapshot:
        self._check_started("taking a snapshot")
        kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.empty(self._mujoco.mj_stateSize(self._model, kind))
        self._mujoco.mj_getState(self._model, self._data, physics, kind)
        return Snapshot(physics, self._placements(), self._frame, self._held)

    def restore(self, snapshot: Snapshot) -> Observation:
        if not self._started:
            self.reset(0)  # what a suite sets once, at its first reset, is set
        self._place(snapshot.placements)
        self._mujoco.mj_setState(self._model, self._data, snapshot.physics, self._mujoco.mjtState.mjSTATE_INTEGRATION)
        self._frame, self._held = snapshot.frame, snapshot.held
        return self._observe()

    def _check_started(self, before: str) -> None:
        if not self._started:
            raise ZoetropeError(f"task '{self.name}': reset it before {before}")

    def _placements(self) -> tuple[np.ndarray, ...]:
        return tuple(getattr(self._model, field).copy() for field in _PLACEMENTS)

    def _place(self, placements: tuple[np.ndarray, ...]) -> None:
        for field, values in zip(_PLACEMENTS, placements):
            getattr(self._model, field)[:] = values

    def _observe(self) -> Observation:
        self._mujoco.mj_kinematics(self._model, self._data)  # a step leaves positions of before it
        proprioception, objects = self._simulator.measure()
        return Observation(
            frames=self._paint(),
            proprioception=proprioception.astype(np.float32),
            objects=objects.astype(np.float32),
        )

    def _paint(self) -> np.ndarray:
        if not self._pictures:
            return np.zeros((len(self.cameras), *self.size, 3), np.uint8)
        if self._painter is None:
            things = self._simulator
            cameras = self._task.cameras
            self._painter = SurfelPainter(
                self._model, self._data, cameras, self.size, things.placed, things.marks, things.colours
            )
        return self._painter.paint(self._data)


def load(module: str, suite: str, extra: str) -> ModuleType:
    """A suite's module. Raises ZoetropeError, in one line, when it or an OpenGL library it was told to use is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a display that is missing, among others: no picture here needs one
            return importlib.import_module(module)
    except ImportError as error:
        raise ZoetropeError(f"{suite} is not installed ({error}); run: pip install 'zoetrope[{extra}]'") from None
    except Exception as error:  # MuJoCo loads what MUJOCO_GL names, and whatever that raises comes here
        said = " ".join(str(error).split())
        raise ZoetropeError(
            f"{suite} does not load: {type(error).__name__}: {said}; unset MUJOCO_GL, as no picture here needs OpenGL, "
            "or install what it names (osmesa: libosmesa6, egl: libegl1 and libgl1-mesa-dri)"
        ) from None
