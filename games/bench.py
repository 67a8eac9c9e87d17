"""`zoetrope bench play`: what a played frame costs, where the time goes, and whether frame 10,000 costs what frame 200 did.

The session is driven as play drives it: the next frame is imagined while the last one is decoded, on half of the cores each. A
frame's cost is the time from one picture to the next; `latency` is the time from a key to its picture.

A frame's figures are those of every frame from 200 on of one session that is played through, as a player has it. What is
compared is measured in turns, since a machine's speed drifts: our session and the yardstick (a pixel U-Net in the shape of
DIAMOND's, see `core.evaluation.yardstick`) take turns, and so do a session at frame 200 and the same one at frame 10,000.
Figures are medians and percentiles of single frames.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from core.errors import ZoetropeError
from core.evaluation.provenance import provenance
from core.files import write_text
from core.hardware import cores, halves, share_interpreter
from core.heap import keep_freed_memory

EARLY = 200
"""The frame number that the last one's cost is compared with."""
ROUND = 20
"""Frames a session takes before it is the other's turn; no multiple of what a session does every so many frames."""
WARM = 4
"""Frames at the start of a turn that do not count: the caches are the other's."""
_FIRST_FRAME = "from games.bench import first_frame; first_frame({weights!r})"


def bench_play(
    world_name: str,
    *,
    weights: Path,
    frames: int = 10_000,
    seconds: float | None = None,
    json_path: Path | None = None,
    quick: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Measure the world in `weights` up to frame number `frames`, or for about `seconds`; `quick` goes to frame 600."""
    import torch

    frames = min(frames, 600) if quick else frames
    if frames <= EARLY + 2 * ROUND:
        raise ZoetropeError(f"bench: --frames must be more than {EARLY + 2 * ROUND}, to compare with frame {EARLY}")
    start_seconds = measure_start(weights.resolve())
    keep_freed_memory()
    share_interpreter()
    all_threads = torch.get_num_threads()
    torch.set_num_threads(halves())
    session, keys = open_session(weights)
    rounds = 6 if quick else 40
    # The long way first: the session goes on to its last frame, and is forked at frame 200 on the way.
    timed = _Timed(session, keys, warm=0)
    early: Any = None
    bar = tqdm(total=frames, unit="frame", desc="bench", disable=not progress)
    deadline = time.monotonic() + seconds if seconds else np.inf
    while session.number < frames and (session.number <= EARLY or time.monotonic() < deadline):
        timed.step()
        if session.number == EARLY:
            timed.rest()
            early, timed = session.fork(), _Timed(session, keys, warm=0)
        bar.update(session.number - bar.n)
    bar.close()
    timed.rest()
    late_memory, early_memory = session.held["bytes"], early.held["bytes"]
    growth = compare(early, session, keys, rounds)
    # Then ours and the yardstick in turns.
    mine = _Timed(session.fork(), keys)
    torch.set_num_threads(all_threads)
    unet = yardstick_step()
    unet_ms: list[float] = []
    for _ in range(rounds):
        torch.set_num_threads(halves())
        for _ in range(ROUND):
            mine.step()
        mine.rest()
        torch.set_num_threads(all_threads)
        unet_ms += [_milliseconds(unet) for _ in range(2)]
    result = {
        "world": world_name,
        "quick": quick,
        "frames": session.number,
        "threads": all_threads,
        "cores": cores(),
        **timed.figures(),
        "unet_frame_ms_p50": float(np.median(unet_ms)),
        "unet_ratio": float(np.median(unet_ms)) / mine.percentile("frame", 50),
        "frame_ms_p50_in_turns": mine.percentile("frame", 50),
        "time_growth": growth,
        "memory_growth": late_memory / early_memory,
        "memory_bytes_early": early_memory,
        "memory_bytes_late": late_memory,
        "held": dict(session.held),
        "start_seconds": start_seconds,
        "by_frame_number": timed.by_number(),
        **provenance(),
    }
    if json_path is not None:
        write_text(json_path, json.dumps(result, indent=1) + "\n")
    return result


def open_session(weights: Path) -> tuple[Any, Callable[[int], Any]]:
    """A session from the world's first start, and the keys to play it with: those that were recorded there, over and over."""
    from games.loading import load

    loaded = load(str(weights))
    recorded = np.concatenate([episode.action for episode in loaded.starts])
    return loaded.world.open(loaded.starts[0], seed=0), lambda number: recorded[number % len(recorded)]


def first_frame(weights: str) -> None:
    """Load, open and imagine one frame; say so when it is there. Runs in a process of its own."""
    session, keys = open_session(Path(weights))
    session.step(keys(0))
    print("first frame", flush=True)


def measure_start(weights: Path, times: int = 2) -> float | None:
    """Seconds from starting Python to the first imagined frame, the better of `times`; None when that failed."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        command = [sys.executable, "-c", _FIRST_FRAME.format(weights=str(weights))]
        with subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = process.stdout.readline()
            if said.strip() == "first frame":
                taken.append(time.perf_counter() - begun)
    return min(taken) if taken else None


def compare(early: Any, late: Any, keys: Callable[[int], Any], rounds: int) -> float:
    """Cost of a late frame over an early one: the median over rounds of what their medians are in turns next to each other.

    Both are forked for every round, so that the early one stays early; each goes first in every other round.
    """
    ratios = []
    for number in range(rounds):
        medians = {}
        for which in ("early", "late") if number % 2 else ("late", "early"):
            timed = _Timed((early if which == "early" else late).fork(), keys)
            for _ in range(ROUND):
                timed.step()
            timed.rest()
            medians[which] = timed.percentile("frame", 50)
        ratios.append(medians["late"] / medians["early"])
    return float(np.median(ratios))


def yardstick_step() -> Callable[[], Any]:
    """One frame of the yardstick: three denoising steps, nothing else."""
    import torch

    from core.evaluation.yardstick import Yardstick

    candidates = []
    for layout in (torch.contiguous_format, torch.channels_last):  # whichever suits this machine: the peer gets its best
        model = Yardstick().eval().to(memory_format=layout)  # type: ignore[call-overload]
        past = torch.zeros(1, 3 * model.config.past, model.config.size, model.config.size)
        actions = torch.zeros(1, model.config.past, dtype=torch.long)
        step = functools.partial(model.imagine, past, actions)
        step()
        candidates.append((min(_milliseconds(step) for _ in range(3)), step))
    return min(candidates, key=lambda c: c[0])[1]


class _Timed:
    """Steps a session, a frame ahead of what is shown, and keeps what each frame cost."""

    def __init__(self, session: Any, keys: Callable[[int], Any], warm: int = WARM):
        """`warm` of every ROUND frames do not count."""
        self.session, self.keys, self.warm = session, keys, warm
        self.numbers: list[int] = []
        self.milliseconds: dict[str, list[float]] = {"frame": [], "latency": []}
        self._coming: Any = None
        self._since = time.perf_counter()
        self._taken = 0

    def step(self) -> None:
        asked = time.perf_counter()
        following = self.session.submit(self.keys(self.session.number))
        counts = self._taken % ROUND >= self.warm
        self._taken += 1
        if counts:
            following.add_done_callback(lambda _: self._note("latency", asked))
        if self._coming is not None:
            self._coming.result()
        self._coming = following
        if counts:
            self.numbers.append(self.session.number)
            self._note("frame", self._since)
            for stage, value in self.session.timings.items():
                self.milliseconds.setdefault(stage, []).append(value)
        self._since = time.perf_counter()

    def rest(self) -> None:
        """Wait for the frame that is on its way."""
        if self._coming is not None:
            self._coming.result()
            self._coming = None

    def _note(self, what: str, since: float) -> None:
        self.milliseconds[what].append((time.perf_counter() - since) * 1e3)

    def percentile(self, stage: str, percent: float) -> float:
        return float(np.percentile(self.milliseconds[stage], percent))

    def figures(self) -> dict[str, Any]:
        """The issue's keys, and every stage's p50 and p95."""
        stages = {stage: {"p50": self.percentile(stage, 50), "p95": self.percentile(stage, 95)} for stage in self.milliseconds}
        return {
            "fps_p50": 1000 / stages["frame"]["p50"],
            "fps_p95": 1000 / stages["frame"]["p95"],
            "frame_ms_p50": stages["frame"]["p50"],
            "frame_ms_p95": stages["frame"]["p95"],
            "latency_ms_p50": stages["latency"]["p50"],
            "latency_ms_p95": stages["latency"]["p95"],
            "denoise_ms_p50": stages.get("imagine", {}).get("p50"),
            "denoise_ms_p95": stages.get("imagine", {}).get("p95"),
            "decode_ms_p50": stages.get("decode", {}).get("p50"),
            "memory_ms_p50": stages.get("memory", {}).get("p50"),
            "stages_ms": stages,
        }

    def by_number(self, points: int = 50) -> list[dict[str, float]]:
        """Median cost against frame number, for the curve."""
        numbers, cost = np.array(self.numbers), np.array(self.milliseconds["frame"])
        groups = [g for g in np.array_split(np.arange(len(numbers)), points) if len(g)]
        return [{"frame": float(numbers[g].mean()), "ms": float(np.median(cost[g]))} for g in groups]


def _milliseconds(function: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    function()
    return (time.perf_counter() - begun) * 1e3
