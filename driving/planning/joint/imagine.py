"""A trajectory of the next three seconds alone, or with the frames along it: both from the same context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.errors import ZoetropeError
from core.streaming.frames import Conditions, Frame
from core.streaming.session import Session
from core.streaming.world import World
from driving import SHIPPED
from driving.geometry import to_world
from driving.planning.candidates import HORIZON
from driving.planning.joint.context import motion, remembered
from driving.planning.joint.errand import Errand
from driving.planning.joint.head import COMPONENTS, Head
from driving.rig import Rig
from driving.scene import RATE, State

WEIGHTS = SHIPPED / "joint.safetensors"
STEPS = 2
"""Euler steps of a trajectory; one gives the mean of what may be, more give one of them."""
Tell = Callable[[int, State], Conditions]
"""What is known of an imagined frame, given its number from 1 on and where the ego is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Imagined:
    """A drive of T frames that did not happen."""

    trajectory: np.ndarray
    """float64 (HORIZON, 3) x, y, yaw in the ego's axes at its beginning: the first that was imagined."""
    states: tuple[State, ...]
    """T + 1, in the scene's coordinates, the first being now."""
    frames: tuple[Frame, ...]
    """T."""
    session: Session
    """To go on from."""


class Joint:
    """A world and the head that reads its memory."""

    def __init__(self, world: World, head: Head, steps: int = STEPS):
        """Raises ZoetropeError for a head that was trained on another world."""
        if head.config.world != world.fingerprint:
            raise ZoetropeError(
                f"trajectory head: was trained on world {head.config.world}, this one is {world.fingerprint}; train it again"
            )
        self.world, self.head, self.steps = world, head.eval(), steps

    @staticmethod
    def load(world: World, path: Path = WEIGHTS) -> Joint:
        """With the weights at `path`. Raises ZoetropeError where there are none for this world."""
        return Joint(world, Head.load(path))

    @torch.inference_mode()
    def trajectory(self, session: Session, errand: Errand) -> np.ndarray:
        """The fast path: float64 (HORIZON, 3) x, y, yaw in the ego's axes. No frame is denoised or decoded for it.

        The session's seed and the number of its frames decide which of those that may be; `session.fork(seed)` has others.
        """
        context = self.head.context(remembered(session)[None], torch.from_numpy(errand.told)[None])
        generator = torch.Generator().manual_seed((session.seeds[0] * SPREAD + session.number) & (2**63 - 1))
        noise = torch.randn(1, COMPONENTS, generator=generator)
        return errand.trajectory(self.head.imagine(context, noise, self.steps)[0].double().numpy())

    def imagine(
        self, session: Session, errand: Errand, rig: Rig, frames: int = HORIZON, chunk: int = HORIZON, tell: Tell | None = None
    ) -> Imagined:
        """The trajectory and the frames along it, on a branch of the session.

        After every `chunk` frames the next trajectory is imagined from what the world then remembers, so a drive may be as
        long as one likes. What is not told of the frames (`tell`) is unknown, and so are actors that come into view.
        """
        if frames < 1 or not 1 <= chunk <= HORIZON:
            raise ZoetropeError(f"imagine: expected 1 frame or more in chunks of 1 to {HORIZON}, found {frames} and {chunk}")
        branch, states, shown = session.fork(), [errand.ego], []
        first = plan = self.trajectory(branch, errand)
        while len(shown) < frames:
            if shown:
                errand = errand.moved(states[-1])
                plan = self.trajectory(branch, errand)
            asked = []
            for state in along(plan, errand.ego)[: min(chunk, frames - len(shown))]:
                known = None if tell is None else tell(len(states), state)
                pose = rig.poses(state.x, state.y, state.yaw)
                asked.append(branch.submit(motion(states[-1], state, 1 / RATE), pose, known))
                states.append(state)
            shown += [frame.result() for frame in asked]
        return Imagined(trajectory=first, states=tuple(states), frames=tuple(shown), session=branch)


SPREAD = 0x2545F491
"""Parts the noise of seeds that follow each other."""


def along(trajectory: np.ndarray, ego: State) -> list[State]:
    """The states, in the scene's coordinates, of an ego that takes a trajectory (N, 3)."""
    poses = to_world(trajectory, ego)
    gone = np.linalg.norm(np.diff(poses[:, :2], axis=0, prepend=[[ego.x, ego.y]]), axis=1)
    return [State(x, y, yaw, metres * RATE) for (x, y, yaw), metres in zip(poses.tolist(), gone.tolist())]
