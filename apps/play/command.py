"""`zoetrope play`: load the world, then a window, or without a display a filmed tour; every session leaves its key log."""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

from apps.play.display import has_display, need_pygame
from core.errors import ZoetropeError
from core.hardware import halves, share_interpreter
from core.heap import keep_freed_memory
from games import loading

DEFAULT_WORLD = "maze"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("world", nargs="?", help=f"a world's name, or a folder with trained weights (default: {DEFAULT_WORLD})")
    parser.add_argument("--seed", type=int, default=0, help="decides where it begins and what chance brings (default: 0)")
    parser.add_argument("--steps", type=int, choices=(1, 2, 4), help="denoising steps a frame: more is finer and slower")
    parser.add_argument("--accelerate", metavar="NAMES", help="techniques or presets to put on, a,b,c (see zoetrope bench)")
    parser.add_argument("--replay", type=Path, metavar="LOG", help="play a key log again and compare every frame")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write the key log here (default: the state folder)")
    parser.add_argument("--headless", action="store_true", help="no window: film a scripted tour, or check a replay")
    parser.add_argument("--frames", type=int, metavar="N", help="without a window: how many frames (default: one tour)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="without a window: where the video goes (.mp4 or .gif)")


def run(args: argparse.Namespace) -> int:
    """Play. Returns the exit code: 0, or 1 for a replay that came out differently."""
    if args.frames is not None and args.frames < 1:
        raise ZoetropeError("--frames must be at least 1")
    if args.replay is not None and args.log is not None:
        raise ZoetropeError("--replay reads a key log and writes none: leave out --log")
    if args.replay is not None and args.accelerate is not None:
        raise ZoetropeError("--replay puts on what was on when the log was written: leave out --accelerate")
    need_pygame()
    return _replay(args) if args.replay is not None else _play(args)


def _play(args: argparse.Namespace) -> int:
    import torch

    from apps.play import headless, log
    from apps.play.dream import Dream
    from apps.play.loop import Player
    from core.acceleration.catalog import describe, parse

    name = args.world or DEFAULT_WORLD
    torch.set_num_threads(halves())
    keep_freed_memory()
    share_interpreter()
    loaded = loading.load(name, None if args.accelerate is None else parse(args.accelerate))
    window = not args.headless and has_display("filming a tour instead")
    start = args.seed % len(loaded.starts)
    state = log.state_folder()
    dream = Dream(loaded, start, args.seed, args.steps, ahead=True)
    header = log.Header(
        world=name if name == loaded.game.name else str(Path(name).resolve()),
        weights=loaded.world.fingerprint,
        seed=args.seed,
        start=start,
        steps=dream.branch.session.steps,
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        accelerations=tuple(describe(a) for a in loaded.world.stack.accelerations) if loaded.world.stack else (),
    )
    label = Path(name).name
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() // 1000 % 1_000_000:06d}"
    keys = log.KeyLog(args.log or state / "logs" / f"{label}-{stamp}.jsonl", header)
    dream.log = keys.write
    player = Player(dream, state / "saves" / label, state / "videos", patient=not window)
    try:
        if window:
            from apps.play.window import play

            play(player)
        else:
            out = args.out or Path(f"zoetrope-{label}-tour.mp4")
            frames = args.frames or headless.tour_length(loaded.game)
            headless.film(player, headless.tour(loaded.game), frames, out)
            print(out.resolve())
    finally:
        player.close()
        dream.settle()
        keys.close(dream.frames, dream.digest)
    if keys.path is not None:
        print(f"key log: {keys.path}")
    return 0


def _replay(args: argparse.Namespace) -> int:
    import torch

    from apps.play import headless, log
    from apps.play.controls import Keys
    from apps.play.dream import Dream
    from apps.play.loop import Player
    from apps.play.replay import Replay

    recorded = log.read(args.replay)
    header = recorded.header
    if args.world not in (None, header.world):
        raise ZoetropeError(f"{recorded.path}: was played in '{header.world}', not in '{args.world}'")
    loaded = loading.load(header.world, header.accelerations)
    if loaded.world.fingerprint != header.weights:
        raise ZoetropeError(f"{recorded.path}: was played with other weights of '{header.world}' than are here now")
    window = not args.headless and has_display("replaying without a window")
    torch.set_num_threads(header.threads)
    keep_freed_memory()
    share_interpreter()
    dream = Dream(loaded, header.start, header.seed, header.steps, writes=False)
    replay = Replay(dream, recorded)
    state = log.state_folder()
    player = Player(dream, state / "saves", state / "videos", replay=replay, patient=not window)
    try:
        if window:
            from apps.play.window import play

            play(player)
        else:
            headless.film(player, itertools.repeat(Keys()), args.frames or recorded.frames + 1, args.out)
            if args.out is not None:
                print(args.out.resolve())
    finally:
        player.close()
    verdict = replay.verdict()
    print(f"replay: {verdict.text}")
    return 1 if verdict.identical is False else 0
