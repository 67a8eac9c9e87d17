"""`zoetrope bench positions`: do rollouts hold out far beyond training windows, and what more context does for them."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from apps.bench.common import find, say
from apps.report.listing import Listing, deliver
from core.errors import ZoetropeError

if TYPE_CHECKING:
    from core.acceleration.catalog import Entry
    from core.evaluation.intervals import Interval
    from core.memory.context import ContextConfig

CONTEXT = 16
"""Real frames before a rollout."""
CASES, QUICK_CASES = 24, 4
WIDER = 4
"""Times the remembered frames that the world was trained with."""


def stacks(context: ContextConfig) -> list[list[Entry]]:
    """The plain world; one that sees more of the past; that with each way to place it, and with all of them."""
    wide: Entry = {"name": "context", "packed": WIDER} if context.packed else {"name": "context", "recent": WIDER}
    ways: list[Entry] = ["frequency_shift", "age_decay", "block_positions"]
    return [[], [wide], *([wide, way] for way in ways), [wide, *ways]]


def run(args: Namespace) -> int:
    from core.evaluation.extrapolation import MULTIPLES, extrapolate
    from core.evaluation.provenance import provenance
    from core.evaluation.rollouts import Cases

    found = find(args.world, args.data)
    window = _window(found.name) if args.window is None else args.window
    if window < 1:
        raise ZoetropeError(f"--window must be at least 1, found {window}")
    horizon, count = window * max(MULTIPLES), QUICK_CASES if args.quick else CASES
    cases = Cases.cut(found.recordings(count, CONTEXT + horizon), count, CONTEXT, horizon)
    world = found.load()
    rows = extrapolate(found.load, cases, stacks(world.config.backbone.context), window, args.seed, say)
    recordings = len(set(cases.groups))
    result = {
        "world": found.name,
        "weights": world.fingerprint,
        "rows": [row.plain() for row in rows],
        "window": window,
        "context": CONTEXT,
        "cases": count,
        "recordings": recordings,
        "seed": args.seed,
        **provenance(),
    }
    listing = Listing(
        title=f"{found.name}: rollouts up to {max(MULTIPLES)} training windows long",
        about=(
            f"{count} rollouts from {recordings} recording(s) after {CONTEXT} real frames, against what really happened; each "
            f"horizon is the mean of the {window} frames before it. Intervals of 95 %, recordings drawn together.",
            f"'gain' is over the plain world at frame {horizon}, 'fall' from frame {window} to there, episode by episode. "
            "A row holds where its last window is within the first one's interval or above it, in PSNR and in structure.",
        ),
        head=("stack", *(f"PSNR at {h}, dB" for h in rows[0].psnr), f"structure at {horizon}", "gain, dB", "fall, dB", "holds"),
        rows=[
            [
                " + ".join(row.stack) or "plain",
                *(f"{interval.value:.2f}" for interval in row.psnr.values()),
                f"{row.structure[horizon].value:.3f}",
                _shown(row.gain[horizon]),
                _shown(row.fall),
                "yes" if row.holds else "no",
            ]
            for row in rows
        ],
    )
    deliver(listing, result, args.json, args.html)
    return 0


def _window(world: str) -> int:
    """Frames of a training window, by the recipe of that name."""
    from apps.commands import read_config
    from core.training.recipe import RecipeConfig

    try:
        recipe = getattr(read_config(world), "train", None)
    except ZoetropeError as error:
        raise ZoetropeError(f"bench: positions: name the training window with --window ({error})") from None
    if not isinstance(recipe, RecipeConfig):
        raise ZoetropeError(f"bench: positions: the recipe of '{world}' has no window; name it with --window")
    return recipe.window


def _shown(interval: Interval) -> str:
    return f"{interval.value:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"
