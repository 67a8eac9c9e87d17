"""Measures parallel techniques on this machine: how exact, how much is sent, how fast, beside one process with all threads."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist

from core.acceleration.parallel import (
    GuidanceParallel,
    Parallel,
    PatchesInPipeline,
    PatchParallel,
    Ring,
    StepsInPipeline,
    Ulysses,
)
from core.acceleration.stack import Stack
from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.files import write_text
from core.parallel.group import SENT, first, join, processes
from core.streaming.session import Session
from core.streaming.world import World

WARM = 2
"""Frames that are not timed."""
GUIDANCE = 1.5
"""At which guidance parallelism is measured."""
ROWS = "rows.json"
"""Where the first of the processes that were started leaves what it has found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    technique: str
    processes: int
    steps: int
    difference: float | None = None
    """Greatest of a latent from one process's; techniques with stale features differ by design after a frame's first step."""
    bytes: int | None = None
    """Sent for a frame by all processes together."""
    milliseconds: float | None = None
    """Median of a frame, end to end."""
    alone: float | None = None
    """The same in one process with all threads, in turns with it."""
    note: str = ""
    """Why it was not measured."""


def _silent(line: str) -> None:
    """Say nothing."""


def techniques() -> list[Parallel]:
    """All that is measured unless asked otherwise."""
    context = [Ulysses(), Ulysses(cache="sharded"), Ring(), Ring(cache="sharded")]
    return [*context, PatchParallel(), PatchesInPipeline(), StepsInPipeline(), GuidanceParallel()]


def measure(
    folder: Path,
    episode: Episode,
    count: int,
    context: int = 8,
    frames: int = 8,
    steps: int = 4,
    asked: Sequence[Parallel] = (),
    say: Callable[[str], None] = _silent,
) -> list[Row]:
    """Rows of the world in `folder`, in `count` processes on this machine: started here, unless torchrun started some.

    Sessions begin with `context` frames of the episode and go on by its actions. `say` hears what is measured next; it is a
    function of a module, since the first of the processes calls it.
    """
    join()
    chosen = list(asked) or techniques()
    if processes() > 1:
        return rows(World.load(folder, accelerations=()), episode, chosen, context, frames, steps, say)
    if count < 2:
        raise ZoetropeError(f"bench: parallel: needs at least 2 processes, found {count}")
    from torch.multiprocessing.spawn import spawn

    with tempfile.TemporaryDirectory() as place:
        spawn(_work, (count, place, folder, episode, chosen, context, frames, steps, say), count)
        return [Row(**row) for row in json.loads((Path(place) / ROWS).read_text())]


def rows(
    world: World,
    episode: Episode,
    chosen: Sequence[Parallel],
    context: int,
    frames: int,
    steps: int,
    say: Callable[[str], None] = _silent,
) -> list[Row]:
    """The same in processes that are running; complete in the first one, without single-process figures in the others."""
    if len(episode) < context + frames + WARM:
        raise ZoetropeError(f"bench: parallel: the episode must have {context + frames + WARM} frames, it has {len(episode)}")
    found = []
    for technique in chosen:
        if first():
            say(f"{technique.name}: {frames} frames in {processes()} processes")
        found.append(_row(world, episode, technique, context, frames, steps))
    return found


def _row(world: World, episode: Episode, technique: Parallel, context: int, frames: int, steps: int) -> Row:
    guided = isinstance(technique, GuidanceParallel)
    steps = processes() if isinstance(technique, StepsInPipeline) else steps
    settings = [f"{name}={getattr(technique, name)}" for name in ("cache",) if hasattr(technique, name)]
    row = Row(technique=" ".join([technique.name, *settings]), processes=processes(), steps=steps)
    if guided and not world.config.conditions:
        return replace(row, note=f"world '{world.config.name}' is told nothing, so guidance changes nothing")

    def opened() -> Session:
        session = world.open(episode.window(0, context))
        session.steps, session.guidance = steps, GUIDANCE if guided else 1.0
        return session

    def timed(session: Session, t: int) -> float:
        started = time.perf_counter()
        conditions = {name: episode.conditions[name][t + 1] for name in world.config.conditions}
        session.step(episode.action[t], conditions=conditions)
        _ = session.ring
        return time.perf_counter() - started

    alone = opened()
    try:
        stack = Stack(world, [technique])
    except ZoetropeError as error:
        return replace(row, note=str(error))
    try:
        session, threads = opened(), torch.get_num_threads()
        late = processes() - 1 if isinstance(technique, StepsInPipeline) else 0
        took, took_alone, found, wanted, sent = [], [], [], [], 0
        for t in range(context - 1, context - 1 + WARM + frames):
            dist.barrier()
            if first():
                torch.set_num_threads(threads * processes())
                took_alone.append(timed(alone, t))
                torch.set_num_threads(threads)
                wanted.append(_latents(alone))
            dist.barrier()
            SENT.clear()
            took.append(timed(session, t))
            found.append(_latents(session))
            sent = SENT.bytes
    finally:
        stack.remove()
    total = torch.tensor([sent], device=found[0].device)
    dist.all_reduce(total)
    row = replace(row, bytes=int(total), milliseconds=1000 * median(took[WARM:]))
    if not first():
        return row
    difference = max(float((a - b).abs().max()) for a, b in zip(found[late:], wanted))
    return replace(row, difference=difference, alone=1000 * median(took_alone[WARM:]))


def _latents(session: Session) -> torch.Tensor:
    assert session.newest is not None
    return session.newest.latents


def _work(
    rank: int,
    count: int,
    place: str,
    folder: Path,
    episode: Episode,
    chosen: Sequence[Parallel],
    context: int,
    frames: int,
    steps: int,
    say: Callable[[str], None],
) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    dist.init_process_group("gloo", init_method=f"file://{Path(place) / 'meeting'}", rank=rank, world_size=count)
    found = rows(World.load(folder, accelerations=()), episode, chosen, context, frames, steps, say)
    if rank == 0:
        write_text(Path(place) / ROWS, json.dumps([asdict(row) for row in found]))
    dist.destroy_process_group()
