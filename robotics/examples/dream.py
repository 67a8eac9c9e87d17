"""Reinforcement learning in the generated world: a policy is bred in the dream, and then tested in MuJoCo.

    python -m robotics.examples.dream --generations 8 --out dreamt.npy

The environment is an ordinary Gymnasium one, so any library's learner would do as well. This one is the cross-entropy method,
which needs nothing but returns, over the few weights of a policy that can do three things: go behind the block, go around it,
and push it on. From what sensors say (here: what the world predicts of them) a softmax decides how much of each.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from tqdm import tqdm

from core.files import atomic_path
from robotics import tasks
from robotics.cloning.measure import rate, successes
from robotics.policies import Checked
from robotics.scene import arm
from robotics.task import RATE, Observation

SKILLS, INPUTS = 3, 3
SIZE = SKILLS * INPUTS
"""Weights of the policy."""
STAND = 0.06
"""Metres behind the block from where it is pushed."""
STEP = arm.SPEED / RATE
"""Metres that the hand goes in a frame at full action."""
SCALE = 0.1
"""Metres that count as one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Breeding:
    """How the cross-entropy method searches."""

    generations: int = 8
    population: int = 24
    elites: int = 5
    starts: int = 3
    """Episodes that every candidate plays, the same for all of a generation."""
    frames: int = 60
    """Of an episode, at most."""
    spread: float = 4.0
    """Standard deviation of the first generation's weights."""
    least_spread: float = 0.1
    seed: int = 0


class Progress(gymnasium.Wrapper[Any, np.ndarray, Any, np.ndarray]):
    """Adds to the reward what was won of the way: of the hand to behind the block, and of the block to the disc.

    Potential-based shaping (Ng et al., 1999): it says nothing about which policy is best, only earlier which is better.
    """

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        seen, info = self.env.reset(**options)
        self._potential = potential(seen)
        return seen, info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, reward, ended, cut, info = self.env.step(action)
        before, self._potential = self._potential, potential(seen)
        return seen, float(reward) + self._potential - before, ended, cut, info


def potential(seen: dict[str, np.ndarray]) -> float:
    """Higher is nearer to the goal; one is SCALE metres of the block's way."""
    hand, block, target = _places(seen)
    ahead = _unit(target - block)
    return float(-np.linalg.norm(target - block) - 0.5 * np.linalg.norm(block - STAND * ahead - hand)) / SCALE


def act(weights: np.ndarray, seen: dict[str, np.ndarray]) -> np.ndarray:
    """What the policy does, float32 (2,) in [-1, 1], seeing `proprioception` and `objects`."""
    hand, block, target = _places(seen)
    ahead, out = _unit(target - block), _unit(hand - block)
    turn = float(np.arctan2(ahead[0] * out[1] - ahead[1] * out[0], -(ahead @ out)))  # 0 where the hand is behind the block
    aside = np.array([-out[1], out[0]]) * np.sign(turn)  # around the block the shorter way
    skills = np.stack([_within(block - STAND * ahead - hand), aside, _within(target - block)])
    told = weights.reshape(SKILLS, INPUTS) @ [abs(turn), np.linalg.norm(hand - block) / SCALE, 1.0]
    share = np.exp(told - told.max())
    return (share / share.sum() @ skills).clip(-1, 1).astype(np.float32)


def episode(env: gymnasium.Env[Any, np.ndarray], weights: np.ndarray, start: int, frames: int) -> float:
    """What the policy earns from a start."""
    seen, _ = env.reset(seed=start, options={"start": start})
    earned = 0.0
    for _ in range(frames):
        seen, reward, ended, cut, _ = env.step(act(weights, seen))
        earned += float(reward)
        if ended or cut:
            break
    return earned


def breed(env: gymnasium.Env[Any, np.ndarray], how: Breeding, progress: bool = True) -> tuple[np.ndarray, list[float]]:
    """Weights (SIZE,) after the last generation, and the elites' mean return in each."""
    rng = np.random.default_rng(how.seed)
    mean, spread = np.zeros(SIZE), np.full(SIZE, how.spread)
    returns: list[float] = []
    with tqdm(total=how.generations, desc="breed", unit="generation", disable=not progress) as bar:
        for generation in range(how.generations):
            candidates = mean + spread * rng.standard_normal((how.population, SIZE))
            candidates[0] = mean
            starts = range(generation * how.starts, (generation + 1) * how.starts)
            earned = np.array(
                [np.mean([episode(env, weights, start, how.frames) for start in starts]) for weights in candidates]
            )
            best = candidates[np.argsort(earned)[-how.elites :]]
            mean, spread = best.mean(0), np.maximum(best.std(0), how.least_spread)
            returns.append(float(np.sort(earned)[-how.elites :].mean()))
            bar.update()
            bar.set_postfix({"return": f"{returns[-1]:.2f}"}, refresh=False)
    return mean, returns


def policy(weights: np.ndarray) -> Checked:
    """The weights as a policy of this program, which plays in MuJoCo too."""

    def play(observation: Observation) -> np.ndarray:
        return act(weights, {"proprioception": observation.proprioception, "objects": observation.known_objects})

    return Checked(play, "dreamt", 2, privileged=True)


def _places(seen: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hand, block and disc from above, metres."""
    things = seen["objects"].astype(float)
    return seen["proprioception"][:2].astype(float), things[:2], things[5:7]


def _within(way: np.ndarray) -> np.ndarray:
    """The action that goes a way, or as far along it as a frame allows."""
    return way / max(STEP, float(np.linalg.norm(way)))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a policy in the generated world and test it in MuJoCo.")
    parser.add_argument("--generations", type=int, default=Breeding().generations)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=50, help="starts in MuJoCo")
    parser.add_argument("--world", default="push", help="a robot world's name, or a folder with trained weights")
    parser.add_argument("--out", type=Path, help="write the weights as .npy")
    args = parser.parse_args()
    env = Progress(gymnasium.make("robotics.env:zoetrope/Push-v0", world=args.world))
    weights, _ = breed(env, Breeding(generations=args.generations, seed=args.seed))
    if args.out is not None:
        with atomic_path(args.out) as temporary:
            np.save(temporary, weights)
    measured = rate(successes(policy(weights), tasks.make("push", pictures=False), args.episodes))
    print(
        f"success in MuJoCo: {measured.value:.2f} (95 %: {measured.low:.2f} to {measured.high:.2f}) of {measured.count} starts"
    )


if __name__ == "__main__":
    main()
