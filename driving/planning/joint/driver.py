"""The joint model as a planner: it shows its world what the cameras see, and drives the trajectory that comes to it."""

from __future__ import annotations

import numpy as np

from driving.planning.joint.context import Witness
from driving.planning.joint.errand import Errand
from driving.planning.joint.imagine import Joint
from driving.planning.planner import Observation


class JointPlanner:
    """A Planner of one run, by the fast path."""

    privileged = False

    def __init__(self, joint: Joint, seed: int = 0):
        self.joint, self.seed = joint, seed
        self.witness: Witness | None = None

    def plan(self, observation: Observation) -> np.ndarray:
        if self.witness is None:
            self.witness = Witness(self.joint.world, observation.rig, self.seed)
        session = self.witness.see(observation.images, observation.ego, observation.time)
        return self.joint.trajectory(session, Errand.of(observation, self.witness.elapsed))


def shipped() -> JointPlanner:
    """With the world and the weights that come with the program. Raises ZoetropeError where they do not fit each other."""
    from driving.worlds import load_world

    return JointPlanner(Joint.load(load_world()))
