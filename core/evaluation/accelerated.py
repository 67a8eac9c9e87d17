"""Accelerations measured on the machine at hand: speed, memory and the quality kept, alone and in the best stacks.

Every stack has a world of its own, put on once. For speed all of them and their plain worlds take turns within one run, since a
machine's speed drifts; a round compares each with its plain world, and the median over rounds counts. `speedup_denoise` is of
the backbone's work on a frame (denoising and taking it into memory), `speedup_end_to_end` of a frame as it is played: the
next one is imagined while the last is decoded. `memory_ratio` is bytes of weights and of a session over those of the plain
world. Quality is that of `core.evaluation.rollouts`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch

from core.acceleration.catalog import TECHNIQUES, accelerate, describe, resolve
from core.acceleration.stack import Acceleration, check_stack
from core.acceleration.steps import Steps
from core.errors import ZoetropeError
from core.evaluation.intervals import Interval
from core.evaluation.provenance import provenance
from core.evaluation.rollouts import Cases, quality_kept, rollout_scores
from core.hardware import halves
from core.streaming.session import Session
from core.streaming.world import World

WARM = 2
"""Frames at the start of a turn that do not count: the caches are another world's."""
PAYS = 1.03
"""A technique whose frames are faster by less than this does not pay here."""
WARM_UP = 16
"""Frames of each session before anything counts: its memory fills, and what is compiled gets compiled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    cases: int = 48
    context: int = 16
    """Real frames before a rollout."""
    rounds: int = 8
    turn: int = 12
    """Frames of a turn."""
    slow_starts: bool = True
    stacks: int = 4
    """At most this many techniques in the stacks that are tried."""
    floor: float = 0.95
    """Quality that a technique must keep to be stacked."""


QUICK = BenchConfig(cases=6, context=6, rounds=3, turn=7, slow_starts=False, stacks=3)


@dataclass(slots=True)
class Row:
    """One stack, measured."""

    accelerations: tuple[Acceleration, ...]
    steps: int
    """Denoising steps a frame of the plain world that it is compared with."""
    speedup_denoise: float = 1.0
    speedup_end_to_end: float = 1.0
    frame_ms: float = 0.0
    memory_ratio: float = 1.0
    quality: float = 1.0
    quality_ci95: list[float] | None = None
    best: bool = False
    """Whether no other row of the same steps is faster at the same quality."""

    @property
    def pays(self) -> bool:
        return self.speedup_end_to_end >= PAYS or self.memory_ratio <= 1 / PAYS

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "stack": [a.name for a in self.accelerations],
            "settings": [describe(a) for a in self.accelerations],
            "steps": self.steps,
            "speedup_denoise": self.speedup_denoise,
            "speedup_end_to_end": self.speedup_end_to_end,
            "frame_ms": self.frame_ms,
            "memory_ratio": self.memory_ratio,
            "quality": self.quality,
            "quality_ci95": self.quality_ci95,
            "pays": self.pays,
            "pareto": self.best,
        }


@dataclass(slots=True)
class Bench:
    """Measures stacks of one world. `load` gives a fresh plain world each time."""

    load: Callable[[], World]
    cases: Cases
    config: BenchConfig
    say: Callable[[str], None] = lambda line: None
    left_out: dict[str, str] = field(default_factory=dict)
    """Stacks that could not be measured, and why."""
    own: int = field(init=False)
    """Denoising steps a frame that the plain world takes by itself."""
    _plain: dict[int, _Runner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.own = self.load().config.steps
        if not self.cases.episodes:
            raise ZoetropeError("bench: no held-out recording is long enough")

    def alone(self) -> list[Row]:
        """Every technique with its own settings."""
        stacks = []
        for name, technique in TECHNIQUES.items():
            if technique.slow_start and not self.config.slow_starts:
                self.left_out[name] = "takes minutes to start; measured in the full mode"
            else:
                stacks.append(resolve([name]))
        return self.measure(stacks)

    def stacked(self, rows: Sequence[Row]) -> list[Row]:
        """The fastest techniques that keep the quality put together, one more each time, at the world's own steps."""
        able = [r for r in rows if len(r.accelerations) == 1 and r.steps == self.own and r.quality >= self.config.floor]
        able = sorted((r for r in able if r.pays), key=lambda r: -r.speedup_end_to_end)
        stacks, growing = [], []
        for row in able:
            try:
                check_stack(candidate := [*growing, *row.accelerations])
            except ZoetropeError:
                continue
            growing = candidate
            if 1 < len(growing) <= self.config.stacks:
                stacks.append(growing)
        return self.measure(stacks)

    def measure(self, stacks: Sequence[Sequence[Acceleration]], steps: int | None = None) -> list[Row]:
        """A row for each stack that this world and machine can run; `steps` of the plain world, unless it says itself."""
        runners: list[_Runner] = []
        self._plain_at(self.own)  # a world without any quality to keep is not measured at all
        for stack in stacks:
            label = "+".join(a.name for a in stack)
            compared = steps or max((a.compared_at or 0 for a in stack), default=0) or self.own
            self.say(f"{label}: rollouts")
            try:
                plain = self._plain_at(compared)
                runners.append(_Runner(self.load(), stack, compared, self.cases, plain))
            except ZoetropeError as error:
                self.left_out[label] = str(error)
        self.say("speed, in turns")
        times = _take_turns([*self._plain.values(), *runners], self.config)
        return [self._row(runner, times) for runner in runners]

    def _row(self, runner: _Runner, times: dict[int, list[tuple[float, float]]]) -> Row:
        plain = runner.plain
        assert plain is not None
        mine, other = np.array(times[id(runner)]), np.array(times[id(plain)])
        kept: Interval = quality_kept(runner.scores, plain.scores, self.cases.groups)
        frame, denoise = np.median(other / mine, 0)
        bounds = kept.bounds if np.isfinite(kept.bounds).all() else None
        return Row(
            runner.stack,
            runner.compared,
            float(denoise),
            float(frame),
            float(np.median(mine[:, 0])),
            runner.bytes / plain.bytes,
            kept.value,
            bounds,
        )

    def _plain_at(self, steps: int) -> _Runner:
        if steps not in self._plain:
            self._plain[steps] = _Runner(self.load(), (), steps, self.cases, None)
        return self._plain[steps]


def mark_best(rows: Sequence[Row]) -> None:
    """Find the Pareto front of each number of steps: speed end to end against quality."""
    for row in rows:
        rivals = [r for r in rows if r.steps == row.steps and r is not row]
        row.best = row.speedup_end_to_end > 1 and not any(
            r.speedup_end_to_end >= row.speedup_end_to_end
            and r.quality >= row.quality
            and (r.speedup_end_to_end, r.quality) != (row.speedup_end_to_end, row.quality)
            for r in rivals
        )


def report(bench: Bench, rows: Sequence[Row], world: str) -> dict[str, Any]:
    """All that was found, ready for JSON: `machine`, `baseline`, `rows`, and where it comes from."""
    plain = {steps: bench._plain[steps].summary() for steps in sorted(bench._plain)}
    return {
        "world": world,
        "baseline": {"steps": bench.own, "at_steps": {str(s): p for s, p in plain.items()}},
        "rows": [row.plain() for row in rows],
        "left_out": bench.left_out,
        "cases": len(bench.cases.episodes),
        "context": bench.cases.context,
        "rounds": bench.config.rounds,
        "threads": halves(),
        **provenance(),
    }


class _Runner:
    """One world with its stack on, and a session of it that is played."""

    def __init__(self, world: World, stack: Sequence[Acceleration], compared: int, cases: Cases, plain: _Runner | None):
        self.world, self.stack, self.compared, self.plain = world, tuple(stack), compared, plain
        if stack:
            accelerate(world, stack)
        own = any(isinstance(a, Steps) for a in stack)
        self.steps = world.config.steps if own else compared
        self.scores = rollout_scores(world, cases, self.steps)
        if plain is None and not (self.scores.mean(0) > 0).all():
            raise ZoetropeError(
                f"bench: at {compared} steps the plain world '{world.config.name}' is no better than its last real frame: "
                "there is no quality to keep"
            )
        episode = cases.episodes[0]
        self._actions, self._conditions = episode.action, {n: episode.conditions[n] for n in world.config.conditions}
        self.session: Session = world.open(episode.window(0, cases.context), seed=0)
        self.session.steps = self.steps
        self.frame_ms = self.denoise_ms = float("nan")
        self.turn(WARM_UP)
        self.bytes = _weight_bytes(world) + self.session.held["bytes"]

    def turn(self, frames: int) -> tuple[float, float]:
        """Play so many frames; median milliseconds of a frame and of the backbone's share."""
        session, coming, whole, denoise = self.session, None, [], []
        since = time.perf_counter()
        for i in range(frames):
            at = session.number % len(self._actions)
            known = {name: values[at] for name, values in self._conditions.items()}
            following = session.submit(self._actions[at], conditions=known or None)
            if coming is not None:
                coming.result()
            coming = following
            if i >= WARM:
                whole.append((time.perf_counter() - since) * 1e3)
                denoise.append(session.timings["imagine"])
            since = time.perf_counter()
        if coming is not None:
            coming.result()
        self.frame_ms, self.denoise_ms = float(np.median(whole)), float(np.median(denoise))
        return self.frame_ms, self.denoise_ms

    def summary(self) -> dict[str, float]:
        psnr, structure = self.scores.mean(0)
        return {
            "frame_ms": self.frame_ms,
            "denoise_ms": self.denoise_ms,
            "bytes": self.bytes,
            "psnr_over_repeat_db": float(psnr),
            "perceptual_under_repeat": float(structure),
        }


def _take_turns(runners: Sequence[_Runner], config: BenchConfig) -> dict[int, list[tuple[float, float]]]:
    """Milliseconds of each round by the runner's identity; every other round goes the other way round."""
    times: dict[int, list[tuple[float, float]]] = {id(r): [] for r in runners}
    threads = torch.get_num_threads()
    torch.set_num_threads(halves())
    try:
        for number in range(config.rounds):
            for runner in runners if number % 2 else reversed(runners):
                times[id(runner)].append(runner.turn(config.turn))
    finally:
        torch.set_num_threads(threads)
    return times


def _weight_bytes(world: World) -> int:
    return sum(t.nbytes for t in chain(world.model.parameters(), world.model.buffers()))
