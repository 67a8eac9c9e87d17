"""`zoetrope bench attention`: what token mixers cost and keep where the context is long."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from apps.bench.common import say
from apps.report.listing import Listing, deliver
from core.errors import ZoetropeError

TOKENS, QUICK_TOKENS = 16384, 8192
REPEATS, QUICK_REPEATS = 7, 3


def run(args: Namespace) -> int:
    import torch

    from core.acceleration.attention_bench import attention_figures
    from core.device import device
    from core.evaluation.provenance import provenance

    tokens = args.tokens if args.tokens is not None else QUICK_TOKENS if args.quick else TOKENS
    if tokens < 1:
        raise ZoetropeError(f"--tokens must be at least 1, found {tokens}")
    repeats, where = QUICK_REPEATS if args.quick else REPEATS, device(args.device)
    rows = attention_figures(tokens, repeats=repeats, device=where, seed=args.seed, say=say)
    result = {
        "rows": [asdict(row) for row in rows],
        "repeats": repeats,
        "seed": args.seed,
        "device": str(where),
        "threads": torch.get_num_threads(),
        **provenance(),
    }
    listing = Listing(
        title="Sparse attention where the context is long",
        about=(
            f"One layer, one new frame against {rows[0].tokens} keys of a smooth random picture that moves; medians of "
            f"{repeats} turns with dense attention, on {where} with {torch.get_num_threads()} thread(s).",
            "Errors are of the layer's output, in units of its spread: they compare mixers; what a world keeps of its "
            "quality is what 'zoetrope bench WORLD --accelerate sparse' measures.",
        ),
        head=("mixer", "settings", "pairs looked at", "ms", "dense, ms", "speed-up", "error"),
        rows=[
            [
                row.mixer,
                ", ".join(f"{name} {value}" for name, value in row.settings.items() if value is not None),
                f"{row.density:.1%}",
                f"{row.ms:.1f}",
                f"{row.dense_ms:.1f}",
                f"{row.speedup:.2f}x",
                f"{row.error:.3f}",
            ]
            for row in rows
        ],
    )
    deliver(listing, result, args.json, args.html)
    return 0
