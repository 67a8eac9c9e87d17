"""`zoetrope bench`: what it measures and its options. What a measurement needs is imported only when it is asked for."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from apps.device import add_device
from core.errors import ZoetropeError

WHAT = {
    "accelerations": "what each is worth here (default)",
    "play": "frames a second and milliseconds a stage",
    "attention": "sparse attention against dense where the context is long; of one layer, takes no world",
    "parallel": "parallel techniques against one process",
    "positions": "rollouts eight times as long as training windows, with more context and ways to place it",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    asked = "; ".join(f"{name}: {about}" for name, about in WHAT.items())
    parser.add_argument("what", nargs="?", default="accelerations", help=f"{asked}; or a world")
    parser.add_argument("world", nargs="?", help="a world's name, or a folder with trained weights (default: maze)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one JSON object")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page")
    parser.add_argument("--quick", action="store_true", help="less of everything, wide intervals; play: up to frame 600")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="held-out recordings (default: the world's starts); play takes none"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of attention's weights and positions' noise (default: %(default)s)"
    )
    play = parser.add_argument_group("play")
    play.add_argument("--frames", type=int, default=10_000, help="up to which frame number (default: %(default)s)")
    worth = parser.add_argument_group("accelerations")
    worth.add_argument("--accelerate", metavar="NAMES", help="measure this stack alone: techniques or presets, a,b,c")
    worth.add_argument("--check", action="store_true", help="measure the presets; fail where one keeps less than it states")
    worth.add_argument("--tune", type=float, metavar="QUALITY", help="write the fastest stack that keeps this as a preset")
    worth.add_argument("--out", type=Path, metavar="FILE", help="where --tune writes (default: runs/WORLD/tuned.yaml)")
    attention = parser.add_argument_group("attention")
    attention.add_argument("--tokens", type=int, metavar="N", help="keys that a frame can see (default: 16384; --quick: 8192)")
    add_device(attention)
    parallel = parser.add_argument_group("parallel")
    parallel.add_argument(
        "--processes", type=int, default=2, metavar="N", help="on this machine, unless torchrun started some (default: 2)"
    )
    parallel.add_argument("--steps", type=int, default=4, metavar="N", help="denoising steps a frame (default: %(default)s)")
    positions = parser.add_argument_group("positions")
    positions.add_argument(
        "--window", type=int, metavar="N", help="frames of a training window (default: of the recipe of that name)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure what is asked for. Returns the exit code."""
    if args.what not in WHAT:
        if args.world is not None:
            raise ZoetropeError(f"bench: expected one of {', '.join(WHAT)} before '{args.world}', found '{args.what}'")
        args.what, args.world = "accelerations", args.what
    if args.what == "attention" and args.world is not None:
        raise ZoetropeError(f"bench: attention: measures a layer of its own and takes no world, found '{args.world}'")
    args.world = args.world or "maze"
    return import_module(f"apps.bench.{args.what}").run(args)
