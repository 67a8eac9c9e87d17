"""`zoetrope evaluate`: a world against its real engine on levels it has never seen.

What is asked, of which episodes, with which settings for each game; `core.evaluation` knows how. Work is cut into tasks of a
few episodes, done by one process a core, and every result goes to a ledger at once: a run cut off goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from core.config import to_dict
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.evaluation import protocols
from core.evaluation.ledger import Ledger
from core.evaluation.places import Gallery, Nearness
from core.evaluation.probe import Probe, ProbeConfig, cached
from core.evaluation.protocols import Case, Clip, ProtocolConfig
from core.evaluation.provenance import provenance
from core.evaluation.stability import StabilityConfig
from core.evaluation.stability import run as run_stability
from core.evaluation.summary import summarize
from core.files import atomic_path, write_text
from core.hardware import cores
from core.heap import keep_freed_memory
from games.source import PROTOCOLS

POLICY = {"rollout": "explore", "tour": "lap", "return": "return"}
"""Which recorded walks each protocol is asked on."""
STABILITY_RECORDINGS = 16
"""Recorded walks whose keys the long run is made of."""
GALLERY_STRIDE = 2
"""Every so many frames of a level become reference views; neighbours differ by less than a place."""
LOSS_FRAMES, LOSS_EVERY = 48, 3
"""Frames over which the loss with true and with shuffled actions is compared, and on every how manieth episode."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GameScale:
    """What in a game counts as the same place, and which parts of its action can be seen."""

    near: Nearness
    components: tuple[int, ...] = ()
    """Components of a continuous action that the probe reads."""
    idle: int | None = None
    """The discrete action that does nothing; None for a continuous action, whose zeros do nothing."""


SCALES = {
    "maze": GameScale(near=Nearness(distance=192.0, degrees=30.0), components=(0, 1, 2)),
    "crafter": GameScale(near=Nearness(distance=1.0, degrees=None), idle=0),
    "minigrid": GameScale(near=Nearness(distance=1.0, degrees=30.0), idle=6),
}
_ANY = GameScale(near=Nearness(distance=1.0, degrees=30.0), idle=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """All that decides the figures, so all that the ledger's name depends on."""

    world: str
    weights: str
    """Fingerprint of the weights."""
    data: str
    """Folder of the recordings."""
    episodes: int
    seed: int
    batch: int
    """Episodes imagined side by side."""
    protocol: ProtocolConfig
    stability: StabilityConfig
    stability_seeds: int = 2
    clips: int = 3
    """Episodes of each protocol whose pictures are kept for the page."""
    probe: ProbeConfig | None = None
    steps: int | None = None
    """Denoising steps a frame; None for the world's own."""


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work: some episodes under one protocol (for stability, one seed)."""

    protocol: str
    episodes: tuple[int, ...]
    spans: tuple[tuple[int, int], ...] = ()
    """For tours (frames of the first lap, level), for returns (first frame away, frame of return)."""


def evaluate(
    world_name: str,
    *,
    data: Path,
    weights: Path,
    episodes: int = 50,
    seed: int = 0,
    horizons: tuple[int, ...] = (1, 4, 16, 64, 256),
    out: Path,
    json_path: Path | None = None,
    quick: bool = False,
    asked: Sequence[str] = PROTOCOLS,
    progress: bool = True,
    processes: int = 0,
    batch: int = 4,
) -> dict[str, Any]:
    """Score the world in `weights` on the test recordings in `data`; returns the figures, and writes them to `json_path`.

    `out` keeps the ledger and the clips for the page. `processes` 0: one a core. `quick` asks a few episodes for a minute or
    two; its figures have wide intervals and are marked `quick`. `asked` leaves out protocols; what was not measured is null.
    """
    started = time.monotonic()
    store = EpisodeStore(data / "test")
    policies = _policies(store)
    config = _configure(world_name, data, weights, episodes, seed, horizons, batch, quick)
    ledger = Ledger(out, f"{Path(world_name).name}-episodes", to_dict(config))
    probe = _train_probe(config, store, data, progress)
    try:
        tasks = [task for task in _plan(config, store, policies, ledger) if task.protocol in asked]
        count = min(processes or cores(), max(1, len(tasks)))
        job = _Job(config=config, data=data, weights=weights, out=out, probe=None if probe is None else probe.state_dict())
        with tqdm(total=sum(len(t.episodes) for t in tasks), unit="episode", desc="evaluate", disable=not progress) as bar:
            for task, rows in _work(job, tasks, count):
                for index, row in zip(task.episodes, rows):
                    ledger.add(f"{task.protocol}:{index}", row)
                bar.update(len(rows))
        result = _result(config, ledger, quick, round(time.monotonic() - started, 1))
    finally:
        ledger.close()
    if json_path is not None:
        write_text(json_path, json.dumps(result, indent=1) + "\n")
    return result


def load_world(folder: Path) -> Any:
    """The trained world in `folder`."""
    from core.streaming.world import World

    return World.load(folder)


# -- planning ----------------------------------------------------------------------------------------------------------


def _configure(
    name: str, data: Path, weights: Path, episodes: int, seed: int, horizons: tuple[int, ...], batch: int, quick: bool
) -> EvaluationConfig:
    world = load_world(weights)
    scale = SCALES.get(world.config.name, SCALES.get(Path(name).name, _ANY))
    action = world.config.action
    if action.kind == "discrete":
        probe = ProbeConfig(classes=(action.size,), cameras=world.config.cameras)
    else:
        parts = scale.components or tuple(range(action.size))
        probe = ProbeConfig(classes=(3,) * len(parts), components=parts, cameras=world.config.cameras)
    # A probe needs no more pixels than the world has.
    probe = replace(probe, height=min(probe.height, world.config.height), width=min(probe.width, world.config.width))
    config = EvaluationConfig(
        world=name,
        weights=world.fingerprint,
        data=str(data.resolve()),
        episodes=episodes,
        seed=seed,
        batch=batch,
        protocol=ProtocolConfig(horizons=tuple(sorted(horizons)), near=scale.near),
        stability=StabilityConfig(),
        probe=probe,
        steps=getattr(world.config, "steps", None),
    )
    if not quick:
        return config
    near = tuple(h for h in config.protocol.horizons if h <= 64) or config.protocol.horizons[:1]
    return replace(
        config,
        episodes=min(episodes, 6),
        protocol=replace(config.protocol, horizons=near, tour=64, no_memory=16),
        stability=StabilityConfig(frames=600, segment=300, stretch=96),
        stability_seeds=1,
        clips=1,
        probe=replace(probe, steps=200, episodes=24),
    )


def _policies(store: EpisodeStore) -> dict[int, tuple[str, str]]:
    """(policy, level) of every test episode."""
    found = {i: store.read(i, 0, 1).metadata for i in store.indices()}
    if not found:
        raise ZoetropeError(f"{store.folder}: no test episodes; record them with 'zoetrope record'")
    return {i: (m.get("policy", ""), m.get("level", str(i))) for i, m in found.items()}


def _plan(
    config: EvaluationConfig, store: EpisodeStore, policies: dict[int, tuple[str, str]], ledger: Ledger
) -> Iterator[Task]:
    """The tasks still to do, longest first."""
    for number in range(config.stability_seeds):
        if f"stability:{number}" not in ledger.rows:
            yield Task("stability", (number,))
    for protocol, policy in POLICY.items():
        chosen = [i for i, (name, _) in policies.items() if name == policy]
        if protocol == "rollout" and not chosen:
            chosen = list(policies)
        spans = {i: span for i in chosen if (span := _span(protocol, store, i, policies[i][1], config.protocol)) is not None}
        picked = [list(spans)[k] for k in np.linspace(0, len(spans) - 1, min(config.episodes, len(spans))).round().astype(int)]
        waiting = sorted((i for i in picked if f"{protocol}:{i}" not in ledger.rows), key=lambda i: (spans[i][1], i))
        for group in _groups(waiting, config.batch, lambda i: spans[i][1] if protocol == "tour" else 0):  # noqa: B023
            yield Task(protocol, tuple(group), tuple(spans[i] for i in group))


def _span(protocol: str, store: EpisodeStore, index: int, level: str, config: ProtocolConfig) -> tuple[int, int] | None:
    """What `Task.spans` holds of an episode, the second number to order batches by; None when it cannot be asked."""
    if protocol == "rollout":
        length = store.length(index)
        return (0, length) if length >= config.context + 16 else None
    episode = store.read(index)
    if protocol == "return":
        return protocols.return_span(episode, config)
    start = protocols.tour_start(episode, config)
    return None if start is None else (start, int(level) if level.isdigit() else index)


def _groups(items: list[int], size: int, key: Callable[[int], Any]) -> Iterator[list[int]]:
    """Runs of at most `size` neighbours that share a key."""
    group: list[int] = []
    for item in items:
        if group and (len(group) == size or key(item) != key(group[0])):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _train_probe(config: EvaluationConfig, test: EpisodeStore, data: Path, progress: bool) -> Probe | None:
    """The action probe from the train recordings; None when there are none."""
    train = EpisodeStore(data / "train")
    if config.probe is None or not train.indices():
        return None
    return cached(train, config.probe, data, Path(config.world).name, progress=progress)


# -- doing -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """What a worker process needs."""

    config: EvaluationConfig
    data: Path
    weights: Path
    out: Path
    probe: dict[str, Any] | None
    """Weights of the action probe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Worker:
    """What a process has loaded."""

    job: _Job
    store: EpisodeStore
    world: Any
    reader: Probe | None
    gallery: Callable[[str], Gallery]


def _work(job: _Job, tasks: list[Task], processes: int) -> Iterator[tuple[Task, list[dict[str, Any]]]]:
    if processes <= 1 or not tasks:
        _start(job, 0)
        for task in tasks:
            yield task, _run(task)
        return
    threads = max(1, cores() // processes)
    with ProcessPoolExecutor(processes, get_context("spawn"), _start, (job, threads)) as pool:
        futures = {pool.submit(_run, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()


_worker: _Worker


def _start(job: _Job, threads: int) -> None:
    global _worker  # one world a process, loaded once
    import cv2
    import torch

    if threads:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    keep_freed_memory()
    reader = None
    if job.probe is not None and job.config.probe is not None:
        reader = Probe(job.config.probe)
        reader.load_state_dict(job.probe)
    store = EpisodeStore(job.data / "test")
    levels: dict[str, list[int]] = {}
    for index, (_, level) in _policies(store).items():
        levels.setdefault(level, []).append(index)

    @lru_cache(maxsize=2)
    def gallery(level: str) -> Gallery:
        views = Gallery()
        for index in levels[level]:
            episode = store.read(index)
            if episode.pose is not None:
                views.add(index, episode.frames, episode.pose[:, 0], GALLERY_STRIDE)
        return views

    _worker = _Worker(job=job, store=store, world=load_world(job.weights), reader=reader, gallery=gallery)


def _run(task: Task) -> list[dict[str, Any]]:
    world, store, config = _worker.world, _worker.store, _worker.job.config
    if task.protocol == "stability":
        return [_run_stability(number) for number in task.episodes]
    cases = [Case(index=i, episode=store.read(i), seed=config.seed + i) for i in task.episodes]
    if task.protocol == "rollout":
        rows, clips = protocols.rollout(world, cases, config.protocol, _worker.reader)
        for row, case in zip(rows, cases):
            row |= _losses(world, case)
    elif task.protocol == "tour":
        galleries = [_worker.gallery(case.episode.metadata.get("level", str(case.index))) for case in cases]
        rows, clips = protocols.tour(world, cases, [start for start, _ in task.spans], config.protocol, galleries)
    else:
        rows, clips = protocols.come_back(world, cases, task.spans, config.protocol)
    for case, clip in zip(cases, clips):
        _keep_clip(_worker.job, task.protocol, case.index, clip)
    return rows


def _run_stability(number: int) -> dict[str, Any]:
    store, world, config = _worker.store, _worker.world, _worker.job.config
    usable = [i for i, (name, _) in _policies(store).items() if name == POLICY["rollout"]] or store.indices()
    usable = [i for i in usable if store.length(i) > config.stability.context]
    picked = np.linspace(0, len(usable) - 1, min(STABILITY_RECORDINGS, len(usable))).round().astype(int)
    recordings = [store.read(usable[k]) for k in picked]
    action, scale = world.config.action, SCALES.get(world.config.name, _ANY)
    idle = np.zeros(action.size, np.float32) if action.kind == "continuous" else scale.idle or 0
    return run_stability(world, recordings, idle, config.stability, config.seed + number)


def _losses(world: Any, case: Case) -> dict[str, float]:
    """Training loss on an episode's start, with its actions and with the same ones shuffled, where the world offers it."""
    if not hasattr(world, "loss") or case.index % LOSS_EVERY or len(case.episode) < LOSS_FRAMES:
        return {}
    window = case.episode.window(0, LOSS_FRAMES)
    return {"loss": float(world.loss(window, shuffled=False)), "loss_shuffled": float(world.loss(window, shuffled=True))}


def _keep_clip(job: _Job, protocol: str, index: int, clip: Clip) -> None:
    """Keep the pictures of the first few episodes of each protocol, for the page."""
    folder = job.out / "clips"
    if len(list(folder.glob(f"{protocol}-*.safetensors"))) >= job.config.clips:
        return
    from safetensors.numpy import save_file

    with atomic_path(folder / f"{protocol}-{index:06d}.safetensors") as temporary:
        save_file({name: np.ascontiguousarray(frames) for name, frames in clip.strips.items()}, temporary)


# -- summing up --------------------------------------------------------------------------------------------------------


def _result(config: EvaluationConfig, ledger: Ledger, quick: bool, seconds: float) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in PROTOCOLS}
    for key in sorted(ledger.rows):
        rows[key.split(":")[0]].append(ledger.rows[key])
    figures, bounds = summarize(rows, config.protocol.horizons, config.seed)
    about = {"world": config.world, "seed": config.seed, "quick": quick, "weights": config.weights, "seconds": seconds}
    settings = {k: v for k, v in to_dict(config).items() if k not in ("world", "weights", "seed")}
    return _finite({**about, **figures, "intervals": bounds, "settings": settings, **provenance()})


def _finite(value: Any) -> Any:
    """JSON knows no NaN: what is not a number is null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
