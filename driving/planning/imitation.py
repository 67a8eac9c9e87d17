"""A planner that learned: a small network that reads one front picture and chooses speeds as the driver by the rules would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core import weights
from core.files import atomic_path
from driving.geometry import to_world
from driving.planning.idm import along_route
from driving.planning.lines import place
from driving.planning.loop import EVERY, Course, observe
from driving.planning.planner import Observation
from driving.planning.planners import Follow, Rules
from driving.planning.vehicle import follow
from driving.planning.way import Way
from driving.rig import Rig
from driving.scene import RATE, Images, State
from driving.source.imager import Imager
from driving.traffic.simulation import Simulation

WEIGHTS = Path(__file__).parents[1] / "weights" / "imitation.safetensors"
WIDTH, HEIGHT = 96, 54
"""The picture that the network sees, pixels."""
STEPS, SPAN = 8, 0.5
"""Speeds that it gives, and the seconds between them."""
BENDS = (10.0, 20.0, 40.0)
"""The route's turn is told at these many metres."""
FAST = 20.0
"""Speeds are told in shares of this, m/s."""
FACTS = 4 + len(BENDS)
DARE = 0.3
"""Share of the time for which the road is followed blindly while gathering, to see what is close and how to get out of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lessons:
    """What the rules did on N occasions."""

    pictures: np.ndarray
    """uint8 (N, HEIGHT, WIDTH, 3)."""
    facts: np.ndarray
    """float32 (N, FACTS): speed, limit, whether a light says stop, how near, turns of the route."""
    speeds: np.ndarray
    """float32 (N, STEPS), m/s."""


class Driver(nn.Module):
    """Picture and facts to speeds."""

    def __init__(self, width: int = 24):
        super().__init__()
        sizes = (3, width, 2 * width, 2 * width, 3 * width)
        self.eye = nn.Sequential(
            *(part for a, b in zip(sizes, sizes[1:]) for part in (nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(4, b), nn.SiLU()))
        )
        self.head = nn.Sequential(
            nn.Linear(sizes[-1] * (-(-HEIGHT // 16)) * (-(-WIDTH // 16)) + FACTS, 96), nn.SiLU(), nn.Linear(96, STEPS)
        )

    def forward(self, pictures: Tensor, facts: Tensor) -> Tensor:
        """Speeds (B, STEPS) in shares of `FAST`, from pictures (B, 3, HEIGHT, WIDTH) in 0 to 1 and facts (B, FACTS)."""
        seen = self.eye(pictures - 0.5).flatten(1)
        return facts[:, :1] + self.head(torch.cat([seen, facts], 1))


class Imitation:
    """The planner around the network."""

    privileged = False

    def __init__(self, driver: Driver):
        self.driver = driver.eval()

    @classmethod
    def shipped(cls, path: Path = WEIGHTS) -> Imitation:
        """With the weights at `path`. Raises ZoetropeError where there are none."""
        driver = Driver()
        weights.fill(
            driver, weights.read(path, "no weights of planner 'imitation'; train it with driving.planning.imitation")[0], path
        )
        return cls(driver)

    def plan(self, observation: Observation) -> np.ndarray:
        picture = torch.from_numpy(front(observation.images, observation.rig)).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            told = self.driver(picture, torch.from_numpy(facts(observation))[None])[0].double().numpy() * FAST
        knots = np.concatenate([[observation.ego.speed], np.maximum(told, 0.0)])
        knots[1:][knots[1:] < STILL] = 0.0
        time = np.arange(STEPS * SPAN * RATE + 1) / RATE
        speed = np.interp(time, SPAN * np.arange(STEPS + 1), knots)
        return along_route(observation.route, np.cumsum((speed[1:] + speed[:-1]) / 2 / RATE))


STILL = 0.3
"""Slower than this it stands, m/s."""


def front(images: Images, rig: Rig) -> np.ndarray:
    """uint8 (HEIGHT, WIDTH, 3): the picture of the camera that looks ahead."""
    ahead = int(np.argmin([abs((c.yaw + 180) % 360 - 180) for c in rig.cameras]))
    return cv2.resize(images.colour[ahead], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def facts(observation: Observation) -> np.ndarray:
    """float32 (FACTS,): what the network is told beside the picture."""
    turns = place(observation.route, np.array([0.0, *BENDS]))[:, 2]
    light = 0.0 if observation.stop is None else 1.0
    near = 0.0 if observation.stop is None else 1 / (1 + observation.stop / 10)
    known = (observation.ego.speed / FAST, observation.limit / FAST, light, near)
    return np.array([*known, *np.unwrap(turns)[1:] - turns[0]], np.float32)


def gather(
    courses: Sequence[Course], imager: Imager, frames: int, seed: int = 0, report: Callable[[int], None] | None = None
) -> Lessons:
    """Drive each course by the rules, and now and then not, noting at each plan what the rules would do."""
    rng = np.random.default_rng(seed)
    pictures, told, speeds = [], [], []
    for number, course in enumerate(courses):
        way, rules = Way(road=course.road, path=course.route), Rules()
        simulation = Simulation(course.road, course.entrants, course.ego, course.seed)
        imager.begin(course.road, course.rig, course.ambience, course.seed)
        states, moment, wheel = [course.ego], simulation.moment, 0.0
        while len(states) <= frames and way.along(states[-1]) < way.path.length - 2 * EVERY:
            seen = observe(course, way, imager.show(moment), moment, states, rules)
            plan = rules.plan(seen)
            pictures.append(front(seen.images, course.rig))
            told.append(facts(seen))
            speeds.append(_speeds(plan))
            if rng.random() < DARE:
                plan = Follow(pace=float(rng.uniform(0.6, 1.2))).plan(seen)
            driven, wheels = (out[0] for out in follow(states[-1], to_world(plan, states[-1])[None], EVERY, wheel))
            wheel = float(wheels[-1])
            for state in driven[1:]:
                states.append(State(*map(float, state)))
                moment = simulation.step(states[-1])
        if report is not None:
            report(number + 1)
    return Lessons(pictures=np.stack(pictures), facts=np.stack(told), speeds=np.stack(speeds).astype(np.float32))


def _speeds(plan: np.ndarray) -> np.ndarray:
    """m/s (STEPS,) of a plan (N, 3) at the times of the network's."""
    moved = np.linalg.norm(np.diff(np.concatenate([np.zeros((1, 2)), plan[:, :2]]), axis=0), axis=1) * RATE
    return moved[np.round(SPAN * RATE * np.arange(1, STEPS + 1)).astype(int) - 1]


def train(
    lessons: Lessons, steps: int = 2000, batch: int = 64, seed: int = 0, report: Callable[[int, float], None] | None = None
) -> Driver:
    """A driver that learned the lessons. Pictures change in brightness and contrast, so that it does not lean on those."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    driver = Driver()
    optimizer = torch.optim.AdamW(driver.parameters(), 1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        rows = rng.integers(len(lessons.facts), size=batch)
        pictures = torch.from_numpy(lessons.pictures[rows]).permute(0, 3, 1, 2).float() / 255
        contrast = torch.from_numpy(rng.uniform(0.7, 1.3, (batch, 1, 1, 1)).astype(np.float32))
        light = torch.from_numpy(rng.uniform(-0.1, 0.1, (batch, 1, 1, 1)).astype(np.float32))
        told = driver((pictures - 0.5) * contrast + 0.5 + light, torch.from_numpy(lessons.facts[rows]))
        loss = nn.functional.smooth_l1_loss(told * FAST, torch.from_numpy(lessons.speeds[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if report is not None:
            report(step + 1, loss.item())
    return driver


def save(driver: Driver, path: Path = WEIGHTS) -> None:
    """Write its weights, atomically."""
    with atomic_path(path) as temporary:
        save_file(driver.state_dict(), temporary)


def main() -> None:
    """Gather lessons in the source world, train, and write the weights: `python -m driving.planning.imitation --courses 60`."""
    import argparse

    from tqdm import trange

    from driving.planning.courses import ordinary
    from driving.rig import nuscenes_rig
    from driving.source.panda import PandaSource

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--courses", type=int, default=60, help="how many to drive")
    parser.add_argument("--frames", type=int, default=100, help="of each, at 10 a second")
    parser.add_argument("--steps", type=int, default=2000, help="of training")
    parser.add_argument("--seed", type=int, default=10_000, help="of the first course")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    asked = parser.parse_args()
    whole = nuscenes_rig()
    rig = Rig(cameras=whole.cameras[:1], width=whole.width, height=whole.height)
    courses = [ordinary(asked.seed + i, rig) for i in range(asked.courses)]
    imager = PandaSource()
    with trange(asked.courses, desc="gathering") as bar:

        def driven(done: int) -> None:
            bar.update()

        lessons = gather(courses, imager, asked.frames, asked.seed, driven)
    imager.close()
    with trange(asked.steps, desc="training") as bar:

        def report(step: int, loss: float) -> None:
            bar.set_postfix(metres_a_second=f"{loss:.3f}", refresh=False)
            bar.update()

        driver = train(lessons, asked.steps, seed=asked.seed, report=report)
    save(driver, asked.out)


if __name__ == "__main__":
    main()
