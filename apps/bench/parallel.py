"""`zoetrope bench parallel`: how exact and how fast parallel techniques are here, and what they send."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from apps.bench.common import find, say
from apps.report.listing import Listing, deliver
from core.errors import ZoetropeError

CONTEXT = 8
"""Real frames before those that are timed."""
FRAMES, QUICK_FRAMES = 8, 3


def run(args: Namespace) -> int:
    from core.acceleration.parallel_bench import WARM, Row, measure
    from core.evaluation.provenance import provenance
    from core.parallel.group import first

    if args.steps < 1:
        raise ZoetropeError(f"--steps must be at least 1, found {args.steps}")
    frames = QUICK_FRAMES if args.quick else FRAMES
    found = find(args.world, args.data)
    episode = found.recordings(1, CONTEXT + frames + WARM)[0]
    rows = measure(found.folder, episode, args.processes, CONTEXT, frames, args.steps, say=say)
    if not first():
        return 0
    result = {
        "world": found.name,
        "weights": found.load().fingerprint,
        "rows": [asdict(row) for row in rows],
        "frames": frames,
        "context": CONTEXT,
        **provenance(),
    }

    def cells(row: Row) -> list[str]:
        name = [row.technique, str(row.steps)]
        if row.milliseconds is None or row.alone is None or row.bytes is None or row.difference is None:
            return [*name, "", "", "", "", "", row.note]
        times = [f"{row.milliseconds:.1f}", f"{row.alone:.1f}", f"{row.alone / row.milliseconds:.2f}x"]
        return [*name, f"{row.difference:.1e}", f"{row.bytes / 1024:.0f}", *times, row.note]

    listing = Listing(
        title=f"{found.name}: parallel techniques in {rows[0].processes} processes",
        about=(
            f"Medians of {frames} frames of one recording, in turns with one process that has the threads of all. "
            "The difference is the greatest of a latent; patches and pipelines differ by design beyond a frame's first step.",
        ),
        head=("technique", "steps", "difference", "KiB sent a frame", "ms", "alone, ms", "speed-up", ""),
        rows=[cells(row) for row in rows],
    )
    deliver(listing, result, args.json, args.html)
    return 0
