"""The data engine: attempts from few demonstrations, each judged, and those that hold up written as a LeRobot v3.0 dataset.

Every attempt's verdict is kept as it comes, so that a run that was cut off goes on where it stopped and writes nothing twice.
An attempt is decided by the plan, its way and its number.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from core.config import to_dict
from core.episodes.episode import Episode
from core.episodes.recording import check_plan
from core.errors import ZoetropeError
from core.evaluation.ledger import Ledger
from core.evaluation.provenance import provenance
from core.streaming.world import World
from robotics import tasks
from robotics.engine import few, strips, verdict
from robotics.engine.actors import Actor, Casting, casting
from robotics.engine.labels import labelled
from robotics.engine.measure import seed_of
from robotics.engine.plan import Plan, Way
from robotics.engine.readers import ActionReader, Reading
from robotics.engine.verdict import REASONS, Reason, Story
from robotics.lerobot.demonstration import SIMULATED, Demonstration
from robotics.lerobot.layout import Layout
from robotics.lerobot.write import DatasetWriter
from robotics.loop import CONTEXT, Judge, Recorded, Rollout, judge, observe, play
from robotics.policies import Checked
from robotics.record import OBJECTS, POLICY, PROPRIOCEPTION, SEED, SUCCESS, TASK, record_episode
from robotics.task import RATE, Task

DATASET = "dataset"
"""Folder of the LeRobot dataset within the engine's."""
DEMONSTRATION = "demonstration"
"""Episodes of the dataset that nothing was done to begin with so."""
WAY = "way"
"""Name in `Episode.metadata` of how a generated episode was made."""
FIRST_LOOK = 2
"""Looks before this one are the recordings' own."""
EXACT = 1e-4
"""Metres by which a demonstration that is played again in MuJoCo may differ from its recording."""


def generate(
    world: World | None,
    name: str,
    plan: Plan,
    demonstrations: Sequence[Episode],
    readers: Sequence[ActionReader],
    out: Path,
    progress: bool = True,
) -> dict[str, Any]:
    """Make, judge and keep; returns all figures, ready for JSON. The dataset lies in `out`/DATASET.

    `name` is the task's, which is shown in the demonstrations' size. The first of `readers` gives pseudo-actions; all of them
    must find in an episode the actions that were sent. `world` and readers are not needed by a plan that imagines nothing.
    Raises ZoetropeError for what does not fit together, before anything is made.
    """
    long_enough = [d for d in demonstrations if len(d) > CONTEXT]
    if not long_enough:
        raise ZoetropeError(f"demonstrations: none of more than {CONTEXT} frames")
    height, width = long_enough[0].frames.shape[2:4]
    task = tasks.make(name, (height, width), pictures=False)
    if plan.imagines and world is None:
        raise ZoetropeError("imagining needs a generated world; ask for --way relook alone, or name one with --world")
    if plan.imagines and not readers:
        raise ZoetropeError("imagined episodes are checked by the actions read back from them: at least one reader is needed")
    few.check(long_enough, world, task)
    cast = casting(plan.policy, plan.noise, long_enough, task)
    fingerprint = None if world is None else world.fingerprint
    settings = plan.settings() | {
        "task": task.name,
        "world": fingerprint,
        "demonstrated": [d.metadata for d in long_enough],
        "variation": to_dict(plan.variation),
    }
    check_plan(out, json.loads(json.dumps(settings)) | {"attempts": plan.attempts}, grows="attempts")
    run = _Run(
        world=world,
        task=task,
        plan=plan,
        demonstrations=long_enough,
        cast=cast,
        judge=_never if world is None else judge(plan.judge, task, world),
        readers=readers,
        out=out,
        writer=DatasetWriter(out / DATASET, _layout(task, long_enough, world)),
        ledger=Ledger(out, "attempts", settings),
        fastest=verdict.fastest(long_enough, task),
    )
    try:
        for number, episode in enumerate(long_enough if plan.include else ()):
            run.add(f"{DEMONSTRATION}-{number:05d}", few.demonstration(episode, SIMULATED))
        with tqdm(total=len(plan.ways) * plan.attempts, desc="generate", unit="episode", disable=not progress) as bar:
            for way in plan.ways:
                missing = [i for i in range(plan.attempts) if key(way, i) not in run.ledger.rows]
                bar.update(plan.attempts - len(missing))
                for start in range(0, len(missing), plan.batch):
                    batch = missing[start : start + plan.batch]
                    run.make(way, batch)
                    bar.update(len(batch))
    finally:
        run.ledger.close()
    episodes = run.writer.finish() if run.writer.names() else 0
    return {
        "task": task.name,
        "world": None if world is None else world.config.name,
        "fingerprint": fingerprint,
        "policy": plan.policy,
        "labels": plan.labels,
        "seed": plan.seed,
        "demonstrations": len(long_enough),
        "episodes": episodes,
        "ways": {way: _figures(way, plan, run.ledger, out) for way in plan.ways},
        **provenance(),
    }


def key(way: Way, index: int) -> str:
    """The name of an attempt: in the ledger, among the strips, and of its episode in the dataset."""
    return f"{way}-{index:05d}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """One generation while it runs."""

    world: World | None
    task: Task
    plan: Plan
    demonstrations: Sequence[Episode]
    cast: Casting
    judge: Judge
    readers: Sequence[ActionReader]
    out: Path
    writer: DatasetWriter
    ledger: Ledger
    fastest: float

    def make(self, way: Way, indices: Sequence[int]) -> None:
        """Attempts of one way, in one batch."""
        if way == "relook":
            for index in indices:
                self._relook(index)
        else:
            self._imagine(way, indices)

    def add(self, name: str, demonstration: Demonstration) -> None:
        """Write an episode of the dataset, with what all of them have."""
        known = demonstration.environment_state if self.writer.layout.environment_state else None
        self.writer.add(name, replace(demonstration, environment_state=known))

    def _demonstration(self, index: int) -> Episode:
        return self.demonstrations[index % len(self.demonstrations)]

    def _relook(self, index: int) -> None:
        begun = time.perf_counter()
        demonstration = self._demonstration(index)
        looks = FIRST_LOOK + self.plan.seed + index // len(self.demonstrations)
        task = tasks.make(self.task.name, self.task.size, self.plan.variation, looks=looks)
        again = Checked(Recorded(demonstration.action), demonstration.metadata.get(POLICY, "?"), task.action_size)
        episode = record_episode(task, again, seed_of(demonstration), policy_seed=0, frames=len(demonstration))
        told, found = (e.conditions[PROPRIOCEPTION] for e in (demonstration, episode))
        same = told.shape == found.shape and float(np.abs(told - found).max()) < EXACT
        reason = None if same else "differs"
        row = {"success": episode.metadata[SUCCESS] == "true", "seconds": time.perf_counter() - begun}
        episode = replace(episode, metadata=episode.metadata | {WAY: "relook"})
        self._settle(key("relook", index), few.demonstration(episode, SIMULATED), reason, row)

    def _imagine(self, way: Way, indices: Sequence[int]) -> None:
        assert self.world is not None
        begun = time.perf_counter()
        seeds = [self.plan.start(i) for i in indices]
        starts = [self._demonstration(i) if way == "redo" else None for i in indices]
        actors = [self.cast(start) for start in starts]
        players = [Checked(actor, self.plan.policy, self.task.action_size, privileged=True) for actor in actors]
        contexts = [
            self._scene(player, seed) if start is None else start.window(0, CONTEXT)
            for start, player, seed in zip(starts, players, seeds)
        ]
        rollouts = play(self.world, self.task, players, contexts, seeds, self.judge)
        seconds = (time.perf_counter() - begun) / len(indices)
        for index, seed, context, actor, rollout in zip(indices, seeds, contexts, actors, rollouts):
            episode = self._episode(way, seed, context, actor, rollout)
            readings = [reader.read(episode.frames, episode.conditions[PROPRIOCEPTION]) for reader in self.readers]
            story = self._story(episode, rollout, readings)
            made = labelled(episode, readings[0], CONTEXT - 1, self.plan.labels)
            row = asdict(story) | {"pseudo": float(made.action_is_pseudo[:-1].mean()), "seconds": seconds}
            self._settle(key(way, index), made, story.reason(self.plan.limits, self.fastest), row)

    def _scene(self, player: Checked, seed: int) -> Episode:
        """The first frames of a new scene, in a look of its own."""
        task = tasks.make(self.task.name, self.task.size, self.plan.variation)
        return record_episode(task, player, seed, policy_seed=seed, frames=CONTEXT)

    def _episode(self, way: Way, seed: int, context: Episode, actor: Actor, rollout: Rollout) -> Episode:
        """What was imagined, with the actions that were sent; of the last frame none was."""
        assert self.world is not None
        parts = self.world.config.state
        ends = np.cumsum([part.size for part in parts])
        states = {part.name: rollout.state[:, end - part.size : end] for part, end in zip(parts, ends)}
        rewards = [self.judge(observe(f, s, self.task), float(r)) for f, s, r in zip(*_columns(rollout))]
        terminated = np.zeros(len(rollout), bool)
        terminated[-2] = rollout.success
        sent = [*context.action[: CONTEXT - 1], *actor.sent[CONTEXT - 1 :], np.zeros(self.task.action_size)]
        said = {TASK: self.task.name, POLICY: self.plan.policy, SEED: str(seed), SUCCESS: str(rollout.success).lower()}
        return Episode(
            frames=rollout.frames,
            action=np.stack(sent).astype(np.float32),
            reward=np.array([*rewards[1:], False], np.float32),
            terminated=terminated,
            conditions=states,
            text=context.text or self.task.instruction,
            metadata=said | {WAY: way},
        )

    def _story(self, episode: Episode, rollout: Rollout, readings: Sequence[Reading]) -> Story:
        imagined = slice(CONTEXT - 1, None)
        sent = episode.action[:-1][imagined]
        return Story(
            success=rollout.success,
            disagreement=max(float(np.abs(r.action[imagined] - sent).mean()) for r in readings),
            confidence=min(float(r.confidence[imagined].mean()) for r in readings),
            detail=verdict.detail(episode.frames),
            leap=verdict.leap(episode, self.task),
        )

    def _settle(self, name: str, made: Demonstration, reason: Reason | None, row: dict[str, Any]) -> None:
        """Keep an episode or not, show some of each kind, and write down why; the ledger last, so that nothing is half done."""
        if reason is None:
            self.add(name, made)
        way = made.episode.metadata[WAY]
        alike = [r for k, r in self.ledger.rows.items() if k.startswith(f"{way}-") and r["reason"] == reason]
        if len(alike) < strips.SHOWN:
            strips.write(strips.path(self.out, name), made.episode.frames)
        self.ledger.add(name, {"reason": reason, "frames": len(made.episode), **row})


def _figures(way: Way, plan: Plan, ledger: Ledger, out: Path) -> dict[str, Any]:
    """Of all attempts of one way; `shown` are those with a strip, and why they were rejected."""
    names = [key(way, i) for i in range(plan.attempts)]
    rows = [ledger.rows[name] for name in names]
    reasons = Counter(row["reason"] for row in rows)
    kept = [row for row in rows if row["reason"] is None]
    average = lambda name: float(np.mean([r[name] for r in kept])) if kept and name in kept[0] else None  # noqa: E731
    return {
        "attempts": len(rows),
        "kept": len(kept),
        "rejected": {reason: reasons[reason] for reason in REASONS if reasons[reason]},
        "frames": sum(row["frames"] for row in kept),
        "success": float(np.mean([row["success"] for row in rows])),
        "disagreement": average("disagreement"),
        "confidence": average("confidence"),
        "pseudo": average("pseudo"),
        "shown": {n: r["reason"] for n, r in zip(names, rows) if strips.path(out, n).exists()},
        "frames_per_second": sum(row["frames"] for row in rows) / max(sum(row["seconds"] for row in rows), 1e-9),
    }


def _columns(rollout: Rollout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rollout.frames, rollout.state, rollout.reward


def _layout(task: Task, demonstrations: Sequence[Episode], world: World | None) -> Layout:
    """What all episodes have: objects only where demonstrations and the world both tell them."""
    told = all(OBJECTS in d.conditions for d in demonstrations) and (world is None or OBJECTS in world.config.measured)
    return Layout(
        rate=RATE,
        robot="tabletop",
        cameras=task.cameras,
        height=task.size[0],
        width=task.size[1],
        state=task.proprioception_names,
        action=tasks.signature(task.name).action,
        environment_state=task.object_names if told else (),
    )


def _never(observation: Any, reward: float) -> bool:
    return False
