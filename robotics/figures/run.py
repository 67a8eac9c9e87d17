"""All figures, kept part by part, so that a run that was cut off goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.evaluation.provenance import provenance
from core.files import write_text
from core.streaming.world import World
from robotics.figures import PARTS, dreams, export, latents
from robotics.latent.shipped import Latent
from robotics.record import RecordConfig


def evaluate(
    record: RecordConfig,
    world: World | None,
    latent: Latent,
    data: Path,
    out: Path,
    episodes: int,
    parts: Sequence[str] = PARTS,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """The figures of these parts on recordings in `data`/test; written to `out` as they come. Ready for JSON.

    Raises ZoetropeError for too few recordings, and where a part needs a `world` and there is none.
    """
    test = EpisodeStore(data / "test")
    if len(test.indices()) < 2:
        raise ZoetropeError(f"{test.folder}: fewer than two episodes; make them with 'zoetrope record push'")
    identity = {"latent": latent.fingerprint, "world": None if world is None else world.fingerprint}
    made_of = json.dumps([identity, latent.settings, str(test.folder.resolve()), episodes, seed], sort_keys=True, default=str)
    out = out / hashlib.sha256(made_of.encode()).hexdigest()[:12]

    def imagined() -> World:
        if world is None:
            raise ZoetropeError("parts replay and speed need a generated world; train one with: zoetrope train push")
        return world

    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "planning": lambda: latents.planning(latent, record.make_task(), test, out, episodes, seed, progress),
        "pseudo": lambda: latents.pseudo_actions(latent, record, data, out, episodes, progress),
        "export": lambda: export.read_back(record.make_task(), test, out / "lerobot", episodes),
        "replay": lambda: dreams.state_probe(imagined(), latent, record.make_task(), test, episodes, progress),
        "speed": lambda: dreams.speed(imagined(), record.make_task(), test, progress),
    }
    figures: dict[str, Any] = {"task": record.task, "episodes": episodes, "seed": seed, **identity, **provenance()}
    for name in parts:
        done = out / f"{name}.json"
        if not done.exists():
            write_text(done, json.dumps(steps[name](), indent=2) + "\n")
        figures |= json.loads(done.read_text())
    return figures
