"""Recording into a store: several processes, resumable, a progress bar, every finished episode kept.

A folder holds one plan: another one would give its episodes another meaning.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.files import write_text

Recorder = Callable[[int], Episode]
"""Makes the episode of an index; the same index, the same episode."""


def record_missing(folder: Path, count: int, make_recorder: Callable[[], Recorder], processes: int, what: str) -> int:
    """Record those of `count` episodes that `folder` does not hold yet. Returns how many were made.

    `make_recorder` is called once in every process and must be picklable.
    """
    store = EpisodeStore(folder)
    missing = [index for index in range(count) if not store.has(index)]
    if not missing:
        return 0
    pool = ProcessPoolExecutor(min(processes, len(missing)), get_context("spawn"), _start, (make_recorder, store))
    try:
        with tqdm(total=len(missing), unit="episode", desc=what) as bar:
            for done in as_completed([pool.submit(_run, index) for index in missing]):
                done.result()
                bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
    return len(missing)


def check_plan(folder: Path, plan: dict[str, Any], grows: str) -> None:
    """Write `plan` into an empty folder, or compare it with what the folder holds; more of `grows` only adds to it."""
    path = folder / "plan.json"
    if path.exists():
        held = json.loads(path.read_text())
        if held == plan:
            return
        if held | {grows: plan[grows]} == plan and held[grows] < plan[grows]:
            write_text(path, json.dumps(plan, indent=2) + "\n")
        else:
            raise ZoetropeError(f"{folder}: holds a recording of another plan; record into another folder or delete this one")
    elif EpisodeStore(folder).indices():
        raise ZoetropeError(f"{folder}: holds episodes of no known plan; record into another folder")
    else:
        write_text(path, json.dumps(plan, indent=2) + "\n")


_worker: tuple[Recorder, EpisodeStore]


def _start(make_recorder: Callable[[], Recorder], store: EpisodeStore) -> None:
    global _worker  # one engine a process, reused for all its episodes
    _worker = (make_recorder(), store)


def _run(index: int) -> None:
    recorder, store = _worker
    store.write(index, recorder(index))
