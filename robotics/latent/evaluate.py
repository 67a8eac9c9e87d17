"""How often a planner reaches goals taken from held-out recordings, in the simulator, by two protocols.

`original`: the goal is the frame `offset` later in a recorded episode, and passing within the tolerance counts. Many such pairs
are solved from the start, so a random policy scores high. `strict`: only pairs that start unsolved and that neither standing
still nor random policies solve, and the goal must hold for HOLD frames. Both stand beside random and standing still.

A ledger keeps every pair that was looked at and every attempt, so that a run that was cut off goes on where it stopped.
What is measured is the task's own: how far the things that the hand moves are from where the goal has them, or the hand itself
where nothing can be moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.evaluation.intervals import Interval, figure, statistic
from core.evaluation.ledger import Ledger
from robotics import policies
from robotics.policies import RANDOM, Checked, Policy
from robotics.record import OBJECTS, PROPRIOCEPTION, SEED, TASK
from robotics.task import HOLD, Observation, Task
from robotics.trust.rates import wilson

STILL = "still"
"""The policy that does nothing."""
MARKERS = ("target", "goal")
"""Things that show where to go and never move, by the beginning of their names."""
AXES = ("x", "y", "z")
MOST_PER_EPISODE = 4
"""Pairs tried in an episode: more of them would resemble each other."""
_FILTERING, _PLAYING = 0, 1
"""Streams of policy seeds: a pair is not judged by the randomness that chose it."""

Contender = Callable[[Observation], Policy]
"""Makes a policy towards a goal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolConfig:
    """Which goals, and when they count as reached."""

    kind: Literal["original", "strict"] = "strict"
    pairs: int = 50
    offset: int = 25
    """Frames from start to goal in the recording."""
    budget: int = 50
    """Frames that a policy has."""
    tolerance: float = 0.025
    """Metres."""
    random: int = 3
    """Random policies that must fail, in the strict protocol."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.pairs, self.offset, self.budget) < 1 or self.random < 0 or self.tolerance <= 0:
            raise ZoetropeError("protocol: pairs, offset, budget and tolerance must be positive, and random not negative")
        if self.kind == "strict" and self.budget < HOLD:
            raise ZoetropeError(f"protocol: a strict budget is at least {HOLD} frames, for so long the goal must hold")

    @property
    def hold(self) -> int:
        """Frames in a row for which the goal must hold."""
        return HOLD if self.kind == "strict" else 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A start and a goal."""

    episode: int
    frame: int
    """Of the start."""
    start: Any
    """Snapshot of the task."""
    goal: Observation
    distance: float
    """Metres from start to goal, as the task measures them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What a policy made of a pair."""

    success: bool
    closest: float
    """Metres."""
    plan_seconds: tuple[float, ...]
    """Of each plan; none where the policy does not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Chosen pairs, and how many were looked at and refused, by the reason."""

    accepted: list[Pair]
    refused: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Attempts of every contender on the same pairs."""

    config: ProtocolConfig
    pairs: Pairs
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)

    def success(self, name: str) -> Interval:
        """Success rate with its 95 % interval."""
        return wilson(sum(a.success for a in self.attempts[name]), len(self.attempts[name]))

    def over(self, name: str, other: str) -> Interval | None:
        """Successes over those of another, pairs resampled together; one that has none is taken to have one."""
        both = np.array([[a.success, b.success] for a, b in zip(self.attempts[name], self.attempts[other])], float)
        return statistic(both, lambda total: total[..., 0] / np.maximum(total[..., 1], 1))

    def as_dict(self) -> dict[str, Any]:
        """Plain figures, ready for JSON."""
        accepted = self.pairs.accepted
        solved = sum(p.distance < self.config.tolerance for p in accepted)
        return {
            "protocol": self.config.kind,
            "pairs": len(accepted),
            "refused": self.pairs.refused,
            "start_solved": figure(wilson(solved, len(accepted))),
            "policies": {
                name: {
                    "success": figure(self.success(name)),
                    "closest_mean": float(np.mean([a.closest for a in attempts])),
                    "over_random": figure(self.over(name, RANDOM)),
                    "plan_seconds": _times([s for a in attempts for s in a.plan_seconds]),
                }
                for name, attempts in self.attempts.items()
            },
        }


def evaluate(
    task: Task,
    store: EpisodeStore,
    contenders: Mapping[str, Contender],
    config: ProtocolConfig,
    progress: bool = True,
    ledger: Ledger | None = None,
) -> Report:
    """Let every contender, random and standing still try the same held-out goals. Raises ZoetropeError when there are none."""
    pairs = find_pairs(task, store, config, progress, ledger)
    report = Report(config=config, pairs=pairs)
    everyone: dict[str, Contender] = {
        **contenders,
        RANDOM: lambda goal: policies.make(RANDOM, task),
        STILL: lambda goal: _still(task),
    }
    with tqdm(total=len(everyone) * len(pairs.accepted), desc=f"{config.kind} goals", unit="try", disable=not progress) as bar:
        for name, contender in everyone.items():
            report.attempts[name] = []
            for number, pair in enumerate(pairs.accepted):
                report.attempts[name].append(_kept(task, pair, name, contender, config, number, ledger))
                bar.update()
    return report


def _kept(
    task: Task, pair: Pair, name: str, contender: Contender, config: ProtocolConfig, number: int, ledger: Ledger | None
) -> Attempt:
    """What a contender makes of a pair, or what the ledger says that it made of it."""
    key = f"attempt {pair.episode} {pair.frame} {name}"
    if ledger is not None and key in ledger.rows:
        row = ledger.rows[key]
        return Attempt(**{**row, "plan_seconds": tuple(row["plan_seconds"])})
    made = attempt(task, pair, contender(pair.goal), config, play_seed(config, number), name)
    if ledger is not None:
        ledger.add(key, asdict(made))
    return made


def find_pairs(
    task: Task, store: EpisodeStore, config: ProtocolConfig, progress: bool = True, ledger: Ledger | None = None
) -> Pairs:
    """`config.pairs` pairs that the protocol takes, at most one an episode until all have been looked at, in a seeded order.

    Fewer where the recordings do not hold so many. Raises ZoetropeError when they hold none, or are of another task.
    """
    rng = np.random.default_rng(config.seed)
    held = [(i, n - config.offset) for i in store.indices() if (n := store.length(i)) > config.offset]
    orders = [rng.permutation(starts) for _, starts in held]
    accepted: list[Pair] = []
    refused: Counter[str] = Counter()
    with tqdm(total=config.pairs, desc=f"{config.kind} pairs", unit="pair", disable=not progress) as bar:
        for turn in range(MOST_PER_EPISODE):
            for number in rng.permutation(len(held)):
                if len(accepted) == config.pairs:
                    break
                if turn >= len(orders[number]):
                    continue
                pair, reason = _judged(task, store, held[number][0], int(orders[number][turn]), config, ledger)
                if pair is not None:
                    accepted.append(pair)
                    bar.update()
                elif reason is not None:
                    refused[reason] += 1
    if not accepted:
        told = ", ".join(f"{count} {reason}" for reason, count in refused.items()) or "no episode is long enough"
        raise ZoetropeError(f"{store.folder}: no pair for the {config.kind} protocol at offset {config.offset} ({told})")
    return Pairs(accepted=accepted, refused=dict(refused))


def _judged(
    task: Task, store: EpisodeStore, index: int, frame: int, config: ProtocolConfig, ledger: Ledger | None
) -> tuple[Pair | None, str | None]:
    """The pair, or why the protocol does not take it; what the ledger knows is not tried again."""
    key = f"pair {index} {frame}"
    if ledger is not None and key in ledger.rows:
        reason = ledger.rows[key]["refused"]
        return (None, reason) if reason else (make_pair(task, store, index, frame, config), None)
    pair = make_pair(task, store, index, frame, config)
    reason = refusal(task, pair, config) if config.kind == "strict" else None
    if ledger is not None:
        ledger.add(key, {"refused": reason})
    return (None, reason) if reason else (pair, None)


def make_pair(task: Task, store: EpisodeStore, index: int, frame: int, config: ProtocolConfig) -> Pair:
    """The pair that starts at `frame` of episode `index`: played again in the simulator up to there."""
    episode = store.read(index)
    recorded = episode.metadata.get(TASK)
    if recorded != task.name:
        raise ZoetropeError(f"{store.path(index)}: recorded in task '{recorded}', not '{task.name}'")
    seen = task.reset(int(episode.metadata[SEED]))
    for action in episode.action[:frame]:
        seen = task.step(action).observation
    last = frame + config.offset
    goal = Observation(
        frames=episode.frames[last],
        proprioception=episode.conditions[PROPRIOCEPTION][last],
        objects=episode.conditions[OBJECTS][last],
    )
    if not np.allclose(seen.known_objects, episode.conditions[OBJECTS][frame], atol=1e-4):
        raise ZoetropeError(
            f"{store.path(index)}: playing it again leads elsewhere; record it anew with this version of MuJoCo"
        )
    return Pair(episode=index, frame=frame, start=task.snapshot(), goal=goal, distance=distance(task, seen, goal))


def refusal(task: Task, pair: Pair, config: ProtocolConfig) -> str | None:
    """Why the strict protocol does not take a pair; None where it does."""
    if pair.distance < config.tolerance:
        return "start solved"
    if attempt(task, pair, _still(task), config, 0).success:
        return "solved by standing still"
    for number in range(config.random):
        seed = _seed(config, _FILTERING, number)
        if attempt(task, pair, policies.make(RANDOM, task), config, seed).success:
            return "solved by random actions"
    return None


def attempt(
    task: Task,
    pair: Pair,
    policy: Policy,
    config: ProtocolConfig,
    seed: int,
    name: str = "contender",
    watch: Callable[[Observation], None] | None = None,
) -> Attempt:
    """Let a policy try a pair for `budget` frames, or until it succeeds; `watch` is shown all of it, the start included."""
    checked = policy if isinstance(policy, Checked) else Checked(policy, name, task.action_size)
    checked.reset(seed)
    seen = task.restore(pair.start)
    if watch is not None:
        watch(seen)
    closest = distance(task, seen, pair.goal)
    held = int(closest < config.tolerance) if config.hold == 1 else 0  # a goal that must hold is not reached by starting there
    for _ in range(config.budget):
        if held >= config.hold:
            break
        seen = task.step(checked(seen)).observation
        if watch is not None:
            watch(seen)
        now = distance(task, seen, pair.goal)
        closest = min(closest, now)
        held = held + 1 if now < config.tolerance else 0
    return Attempt(success=held >= config.hold, closest=closest, plan_seconds=tuple(getattr(policy, "plan_seconds", ())))


def distance(task: Task, seen: Observation, goal: Observation) -> float:
    """Metres: the farthest of the movable things from its place in `goal`; the hand, where there are none."""
    things = places(task.object_names)
    if things:
        apart = seen.known_objects.astype(float) - goal.known_objects
    else:
        things = places(task.proprioception_names)
        apart = seen.proprioception.astype(float) - goal.proprioception
    if not things:
        raise ZoetropeError(f"task '{task.name}' names no place (NAME_x, NAME_y, NAME_z) by which to measure a goal")
    return max(float(np.linalg.norm(apart[list(axes)])) for axes in things)


def places(names: tuple[str, ...]) -> list[tuple[int, ...]]:
    """Where the coordinates of each thing that can move stand among `names`."""
    things: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        thing, _, axis = name.rpartition("_")
        if axis in AXES and not thing.startswith(MARKERS):
            things.setdefault(thing, []).append(number)
    return [tuple(axes) for axes in things.values()]


def _still(task: Task) -> Checked:
    return Checked(lambda observation: np.zeros(task.action_size), STILL, task.action_size)


def play_seed(config: ProtocolConfig, number: int) -> int:
    """The seed of every policy on the pair of this number."""
    return _seed(config, _PLAYING, number)


def _seed(config: ProtocolConfig, stream: int, number: int) -> int:
    return int(np.random.default_rng((config.seed, stream, number)).integers(2**31))


def _times(seconds: list[float]) -> dict[str, float] | None:
    """Mean, median and 95th percentile; None where nothing was planned."""
    if not seconds:
        return None
    p50, p95 = np.percentile(seconds, [50, 95])
    return {"mean": float(np.mean(seconds)), "p50": float(p50), "p95": float(p95)}
