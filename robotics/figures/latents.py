"""Planning in latents against random actions and against itself amortized, and actions read back from pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.evaluation.intervals import figure
from core.evaluation.ledger import Ledger
from robotics import tasks
from robotics.engine.measure import pseudo_action_error, pseudo_action_replay
from robotics.engine.readers import ActionReader, Pictures, train_sensors
from robotics.latent.evaluate import evaluate
from robotics.latent.shipped import AMORTIZED, Latent
from robotics.policies import EXPERT
from robotics.record import POLICY, SUCCESS, RecordConfig
from robotics.task import Task

SEARCH = "cem"
"""The planner that the amortized one is held against."""
TAUGHT = 100
"""Recordings that the reader of sensors learns from."""


def planning(
    latent: Latent, task: Task, store: EpisodeStore, out: Path, episodes: int, seed: int, progress: bool = True
) -> dict[str, Any]:
    """The strict protocol: the model's own planner, CEM, and the amortized one, on the same `episodes` held-out goals."""
    own = latent.config.planner.kind
    protocol = replace(latent.config.protocol, kind="strict", pairs=episodes, seed=seed)
    ledger = Ledger(out, "planning", latent.settings)
    try:
        report = evaluate(task, store, latent.contenders(dict.fromkeys((own, SEARCH, AMORTIZED))), protocol, progress, ledger)
    finally:
        ledger.close()
    middle = {
        name: float(np.median([s for a in report.attempts[name] for s in a.plan_seconds])) for name in (SEARCH, AMORTIZED)
    }
    return {
        "planner": own,
        "planning": report.as_dict(),
        "planning_over_random": figure(report.over(own, "random")),
        "plan_seconds": report.as_dict()["policies"][own]["plan_seconds"],
        "amortized_over_search": figure(report.over(AMORTIZED, SEARCH)),
        "amortized_cost_ratio": middle[AMORTIZED] / middle[SEARCH],
    }


def pseudo_actions(
    latent: Latent, record: RecordConfig, data: Path, out: Path, episodes: int, progress: bool = True
) -> dict[str, Any]:
    """Error of actions read back from held-out recordings, by pictures and by sensors, and what comes of doing them in MuJoCo.

    Those that are done are the expert's where it succeeded.
    """
    store, train = EpisodeStore(data / "test"), EpisodeStore(data / "train")
    taught = [train.read(i) for i in train.indices()[:TAUGHT]]
    if not taught:
        raise ZoetropeError(f"{train.folder}: no recordings to learn from; make them with 'zoetrope record {record.task}'")
    held = [store.read(i) for i in store.indices()]
    mixed = held[:: max(1, len(held) // episodes)][:episodes]
    won = [e for e in held if e.metadata[POLICY] == EXPERT and e.metadata[SUCCESS] == "true"][:episodes]
    task = tasks.make(record.task, (record.height, record.width), record.variation, pictures=False)
    readers: tuple[ActionReader, ...] = (
        Pictures(latent.model, latent.inverse),
        train_sensors(taught, out / "sensors", progress=progress),
    )
    return {
        "pseudo_actions": {
            reader.name: {
                "error": pseudo_action_error(reader, mixed),
                "replay": pseudo_action_replay(reader, won, task),
            }
            for reader in readers
        }
    }
