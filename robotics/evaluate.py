"""The same policies from the same starts in MuJoCo and in the generated world, and how far the world's verdict can be trusted.

Every episode's result is kept as it comes, so that a run that was cut off goes on where it stopped and counts nothing twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tqdm import tqdm

from core.config import to_dict
from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.evaluation.ledger import Ledger
from core.evaluation.provenance import provenance
from core.files import atomic_path
from core.streaming.world import World
from robotics import policies
from robotics.loop import CONTEXT, PARTED, JudgeName, Recorded, Rollout, judge, parted, play
from robotics.policies import RANDOM, Checked
from robotics.record import OBJECTS, SUCCESS, record_episode, reset_seed
from robotics.task import HOLD, Task
from robotics.trust.judge import agreement
from robotics.trust.outcomes import Outcomes
from robotics.trust.trust import measure
from robotics.worlds import RobotConfig

BATCH = 16
"""Episodes that are imagined as one batch."""
TRUE, WORLD = "MuJoCo", "world"
"""Names of the two strips of a clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is asked."""

    policies: tuple[str, ...]
    episodes: int = 50
    """Starts of the test split, each played by every policy in both worlds."""
    first: int = 0
    """The first start."""
    generated: int = 0
    """Further starts that only the generated world plays; they narrow the interval of the true success rate."""
    replay: bool = False
    """Whether the world also replays MuJoCo's actions: tells errors of its dynamics from those of closing the loop."""
    judge: JudgeName = "objects"
    batch: int = BATCH

    def __post_init__(self) -> None:
        if not self.policies:
            raise ZoetropeError("name at least one policy with --policy")
        if twice := [name for name in self.policies if self.policies.count(name) > 1]:
            raise ZoetropeError(f"--policy: '{twice[0]}' is named twice")
        for name, least in (("episodes", 1), ("batch", 1), ("first", 0), ("generated", 0)):
            if getattr(self, name) < least:
                raise ZoetropeError(f"--{name} must be at least {least}, found {getattr(self, name)}")

    @property
    def paired(self) -> list[int]:
        """Seeds of the starts that both worlds play."""
        return [reset_seed("test", self.first + i) for i in range(self.episodes)]

    @property
    def further(self) -> list[int]:
        """Seeds of those that the generated world alone plays."""
        return [reset_seed("test", self.first + self.episodes + i) for i in range(self.generated)]


def evaluate(world: World, config: RobotConfig, plan: Plan, out: Path, progress: bool = True) -> dict[str, Any]:
    """All figures, ready for JSON. Results of single episodes and the first episode's clip of every policy go to `out`."""
    task = config.record.make_task()
    players = {name: [policies.make(name, task) for _ in range(plan.batch)] for name in plan.policies}
    if OBJECTS not in world.config.measured:
        for name, (player, *_) in players.items():
            if player.privileged:
                raise ZoetropeError(f"policy '{name}' must know where the objects are, and this world does not predict it")
    runs = {name: played[0].training_run for name, played in players.items()}
    run = _Run(world, task, plan, out, Ledger(out, "episodes", _settings(world, config, plan)), runs)
    kinds = ["paired", *(["replay"] if plan.replay else []), *(["generated"] if plan.generated else [])]
    total = len(plan.policies) * sum(plan.generated if kind == "generated" else plan.episodes for kind in kinds)
    try:
        with tqdm(total=total, desc="evaluate", unit="episode", disable=not progress) as bar:
            for name, played in players.items():
                for kind in kinds:
                    for seeds in _chunks(plan.further if kind == "generated" else plan.paired, plan.batch):
                        missing = [seed for seed in seeds if run.key(name, seed, kind) not in run.ledger.rows]
                        if missing:
                            getattr(run, kind)(name, played, missing)
                        bar.update(len(seeds))
    finally:
        run.ledger.close()
    return _figures(run)


@dataclass(frozen=True, slots=True)
class _Run:
    """One evaluation while it runs."""

    world: World
    task: Task
    plan: Plan
    out: Path
    ledger: Ledger
    training_runs: dict[str, str | None]
    """Of each policy that was trained: one that is trained anew is another."""

    def key(self, policy: str, seed: int, kind: str) -> str:
        """Of an episode's row in the ledger."""
        return " ".join(filter(None, [kind, str(seed), policy, self.training_runs[policy]]))

    def paired(self, name: str, players: Sequence[Checked], seeds: list[int]) -> None:
        """Both worlds from the same starts."""
        begun = time.perf_counter()
        truths = [record_episode(self.task, players[0], seed, policy_seed=seed) for seed in seeds]
        between = time.perf_counter()
        rollouts = self._play(players, [truth.window(0, CONTEXT) for truth in truths], seeds)
        seconds = between - begun, time.perf_counter() - between
        for seed, truth, rollout in zip(seeds, truths, rollouts):
            if seed == self.plan.paired[0]:
                write_clip(clip_path(self.out, name), truth, rollout)
            row = {
                "true": truth.metadata[SUCCESS] == "true",
                "world": rollout.success,
                "true_frames": len(truth),
                "world_frames": len(rollout),
                "parted": parted(truth, rollout, self.task),
                "true_seconds": seconds[0] / len(seeds),
                "world_seconds": seconds[1] / len(seeds),
            }
            self.ledger.add(self.key(name, seed, "paired"), row)

    def replay(self, name: str, players: Sequence[Checked], seeds: list[int]) -> None:
        """The generated world along MuJoCo's own actions, and HOLD frames further."""
        truths = [record_episode(self.task, players[0], seed, policy_seed=seed) for seed in seeds]
        recorded = [Checked(Recorded(truth.action), f"{name}, recorded", self.task.action_size) for truth in truths]
        most = [min(len(truth) + HOLD, self.task.horizon) for truth in truths]
        for seed, rollout in zip(seeds, self._play(recorded, [t.window(0, CONTEXT) for t in truths], seeds, most)):
            self.ledger.add(self.key(name, seed, "replay"), {"world": rollout.success})

    def generated(self, name: str, players: Sequence[Checked], seeds: list[int]) -> None:
        """The generated world alone; MuJoCo shows no more than the first frames."""
        contexts = [record_episode(self.task, players[0], seed, policy_seed=seed, frames=CONTEXT) for seed in seeds]
        for seed, rollout in zip(seeds, self._play(players, contexts, seeds)):
            self.ledger.add(self.key(name, seed, "generated"), {"world": rollout.success})

    def _play(
        self, players: Sequence[Checked], contexts: list[Episode], seeds: list[int], most: list[int] | None = None
    ) -> list[Rollout]:
        verdict = judge(self.plan.judge, self.task, self.world)
        return play(self.world, self.task, players[: len(seeds)], contexts, seeds, verdict, most)


def clip_path(out: Path, policy: str) -> Path:
    """Where the clip of a policy's first episode lies."""
    return out / "clips" / f"{re.sub(r'[^A-Za-z0-9.]+', '_', policy)}.safetensors"


def write_clip(path: Path, truth: Episode, rollout: Rollout) -> None:
    """Keep both worlds' frames of one episode, uint8 (T, V, H, W, 3) each."""
    with atomic_path(path) as temporary:
        save_file({TRUE: np.ascontiguousarray(truth.frames), WORLD: rollout.frames}, temporary)


def _settings(world: World, config: RobotConfig, plan: Plan) -> dict[str, Any]:
    """Everything that decides an episode's result, but for its policy and its seed, which are its key."""
    looks = {"task": config.record.task, "variation": to_dict(config.record.variation)}
    rules = {"context": CONTEXT, "judge": plan.judge, "parted": PARTED}
    return {"world": world.fingerprint, "steps": world.config.steps, **looks, **rules}


def _chunks(seeds: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size]


def _figures(run: _Run) -> dict[str, Any]:
    world, task, plan, rows = run.world, run.task, run.plan, run.ledger.rows

    def table(kind: str, column: str, seeds: list[int]) -> np.ndarray:
        return np.array([[rows[run.key(name, seed, kind)][column] for seed in seeds] for name in plan.policies])

    true, imagined = table("paired", "true", plan.paired), table("paired", "world", plan.paired)
    outcomes = Outcomes(
        policies=plan.policies,
        true=true,
        world=imagined,
        extra=table("generated", "world", plan.further) if plan.generated else None,
        training_runs=tuple(run.training_runs.values()),
        random=RANDOM if RANDOM in plan.policies else None,
    )
    replay = agreement(table("replay", "world", plan.paired), true) if plan.replay else None
    trust = measure(outcomes, replay=replay)
    frames = {side: float(table("paired", f"{side}_frames", plan.paired).sum()) for side in ("true", "world")}
    frames["world"] -= CONTEXT * true.size
    speed = {side: frames[side] / float(table("paired", f"{side}_seconds", plan.paired).sum()) for side in frames}
    return {
        "world": world.config.name,
        "fingerprint": world.fingerprint,
        "task": task.name,
        "judge_by": plan.judge,
        "seed": plan.first,
        **trust.as_dict(),
        "parted": {
            name: _parting([rows[run.key(name, seed, "paired")]["parted"] for seed in plan.paired]) for name in plan.policies
        },
        "frames_per_second": speed | {"ratio": speed["world"] / speed["true"], "batch": plan.batch},
        **provenance(),
    }


def _parting(found: list[int | None]) -> dict[str, Any]:
    """How many episodes part, at which frame in the middle of those that do, and where the first episode does."""
    frames = [frame for frame in found if frame is not None]
    return {
        "share": len(frames) / len(found),
        "median_frame": float(np.median(frames)) if frames else None,
        "first_frame": found[0],
    }
