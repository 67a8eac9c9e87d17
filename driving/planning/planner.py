"""What a planner is: it sees the pictures of the ego's cameras and says where the ego should be in the next seconds."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import numpy as np

from core.errors import ZoetropeError
from driving.geometry import wrapped
from driving.planning.lines import place
from driving.rig import Rig
from driving.scene import RATE, Images, Moment, State

Command = Literal["left", "straight", "right"]
SHORTEST, LONGEST = 2 * RATE, 4 * RATE
"""Frames that a plan may have."""
FARTHEST = 500.0
"""No plan goes further than this, metres: beyond, it is not a plan but a mistake of units."""
TURN = np.radians(25)
"""A route that turns by more than this within `COMMAND_AHEAD` metres is a turn."""
COMMAND_AHEAD = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What a planner knows. Places are in the ego's axes now, unless said otherwise."""

    images: Images
    """What the rig's V cameras show."""
    rig: Rig
    history: tuple[State, ...]
    """The ego's states in the scene's coordinates, a frame apart, the present one last."""
    route: np.ndarray
    """float64 (M, 2): the centre of the lanes to take, from beside the ego on, a point a metre."""
    command: Command
    limit: float
    """Speed limit, m/s."""
    stop: float | None
    """Metres along the route to the line of a signal that is yellow or red, from the map and the signal itself; None: go."""
    time: float
    """Seconds since the scene began."""
    moment: Moment | None = None
    """The truth about all actors, in the scene's coordinates; for planners that declare themselves `privileged` alone."""

    @property
    def ego(self) -> State:
        return self.history[-1]


class Planner(Protocol):
    """Anything with these. A factory makes a new one for each run, so it may remember what it saw."""

    privileged: bool
    """Whether it is given the true state of all actors."""

    def plan(self, observation: Observation) -> np.ndarray:
        """float (N, 3): x, y, yaw of the rear axle in the ego's axes at the next N frames (10 a second, 2 to 4 s)."""
        ...


Factory = Callable[[], Planner]


def load(spec: str) -> Factory:
    """The factory named `package.module:name`. Raises ZoetropeError when there is none or it makes no planner."""
    module, _, name = spec.partition(":")
    if not module or not name:
        raise ZoetropeError(f"planner '{spec}': expected package.module:factory")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # whatever a user's module does while it is imported
        raise ZoetropeError(f"planner '{spec}': {module} cannot be imported: {_line(error)}") from None
    if not callable(found):
        raise ZoetropeError(f"planner '{spec}': {module} has no factory '{name}'")

    def make() -> Planner:
        try:
            planner = found()
        except Exception as error:
            raise ZoetropeError(f"planner '{spec}': {name}() failed: {_line(error)}") from None
        if not callable(getattr(planner, "plan", None)):
            raise ZoetropeError(f"planner '{spec}': {name}() gave a {type(planner).__name__} without plan(observation)")
        return cast(Planner, planner)

    return make


def checked(plan: Any, name: str) -> np.ndarray:
    """`plan` as float64 (N, 3), or ZoetropeError saying what planner `name` did wrong."""
    if plan is None:
        raise ZoetropeError(f"planner '{name}': plan: returned nothing; expected (N, 3) x, y, yaw")
    try:
        out = np.asarray(plan, dtype=float)
    except (TypeError, ValueError):
        raise ZoetropeError(f"planner '{name}': plan: expected numbers (N, 3), found {type(plan).__name__}") from None
    if out.ndim != 2 or out.shape[1] != 3 or not SHORTEST <= len(out) <= LONGEST:
        raise ZoetropeError(f"planner '{name}': plan: expected ({SHORTEST} to {LONGEST}, 3), found {out.shape}")
    if not np.isfinite(out).all():
        frame = int(np.flatnonzero(~np.isfinite(out).all(1))[0])
        raise ZoetropeError(f"planner '{name}': plan: not a finite number at frame {frame}")
    if np.abs(out[:, :2]).max() > FARTHEST:
        raise ZoetropeError(
            f"planner '{name}': plan: goes {np.abs(out[:, :2]).max():.0f} m away; expected metres, at most {FARTHEST:g}"
        )
    return out


def ask(planner: Planner, observation: Observation, name: str, patience: float) -> np.ndarray:
    """The planner's plan, checked. Raises ZoetropeError when it fails or takes longer than `patience` seconds.

    It runs in a thread of its own, for a thread that hangs can be left behind.
    """
    answer: list[np.ndarray] = []
    failure: list[Exception] = []

    def work() -> None:
        try:
            answer.append(planner.plan(observation))
        except Exception as error:  # whatever a user's planner raises
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True, name=f"planner {name}")
    thread.start()
    thread.join(patience)
    if thread.is_alive():
        raise ZoetropeError(f"planner '{name}': no plan within {patience:g} s at {observation.time:.1f} s of the scene")
    if failure:
        raise ZoetropeError(f"planner '{name}': failed at {observation.time:.1f} s of the scene: {_line(failure[0])}")
    return checked(answer[0], name)


def command(route: np.ndarray) -> Command:
    """What a navigator would say of a route (M, 2) ahead."""
    yaw = place(route, np.array([0.0, COMMAND_AHEAD]))[:, 2]
    turn = float(wrapped(yaw[1] - yaw[0]))
    return "left" if turn > TURN else "right" if turn < -TURN else "straight"


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
