"""`zoetrope`: the one command. Each subcommand is a thin door; what it opens is imported only when it is used."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from apps.play import command as play
from core.errors import ZoetropeError

USER_ERROR, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code: 0, 2 with one line for the user, 130 when interrupted."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        code = args.run(args)
        sys.stdout.flush()
        return code
    except ZoetropeError as error:
        print(f"zoetrope: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _Parser(argparse.ArgumentParser):
    """Complains in one line, like everything else here."""

    def error(self, message: str) -> NoReturn:
        self.exit(USER_ERROR, f"zoetrope: {message}; see: {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="zoetrope", description="Play, record, train and measure worlds that are imagined frame by frame.")
    parser.add_argument("--version", action="version", version=f"zoetrope {_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(run=run)
        return command

    play.add_arguments(add("play", "play a world from the keyboard; without a display, film a tour of it", play.run))
    _record_arguments(add("record", "record episodes from a world's real engine", _record))
    _train_arguments(add("train", "train a world from its recordings", _train))
    _evaluate_arguments(add("evaluate", "score a world against its real engine on levels it has never seen", _evaluate))
    bench = add("bench", "measure speed", _bench)
    _bench_arguments(bench)
    add("worlds", "list the worlds", _worlds)
    return parser


def _version() -> str:
    try:
        return metadata.version("zoetrope")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _record_arguments(parser: argparse.ArgumentParser) -> None:
    from games.source import SPLITS

    parser.add_argument("world", help="a world's name, or its YAML file")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where episodes go (default: data/WORLD)")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="which splits (default: all)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="engines at once (default: one a core)")


def _record(args: argparse.Namespace) -> int:
    from functools import partial

    from games import registry
    from games.record import record

    config = registry.read_config(args.world)
    game = registry.GAMES[config.name]
    folder = args.out or Path("data") / game.name
    for split in args.splits:
        made = record(partial(game.make_source, config), game.make_policy, config.record, split, folder / split, args.processes)
        print(f"{folder / split}: {made} new episodes")
    return 0


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("world", help="a world's name, or its YAML file")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="recordings (default: data/WORLD; made when missing)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the world goes (default: runs/WORLD)")
    parser.add_argument("--fresh", action="store_true", help="begin anew instead of going on from the last checkpoint")
    parser.add_argument("--device", help="cpu, cuda or mps (default: the fastest one there is)")


def _train(args: argparse.Namespace) -> int:
    from games.train import train

    train(args.world, out=args.out, data=args.data, resume=not args.fresh, device=args.device)
    return 0


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("world", help="a world's name, or a folder with trained weights")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one JSON object")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with videos and curves")
    parser.add_argument("--episodes", type=int, default=50, help="episodes a score is the mean of (default: 50)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="recordings (default: data/WORLD)")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="what is kept to go on from (default: runs/WORLD/evaluation)"
    )
    parser.add_argument("--quick", action="store_true", help="a few episodes, a minute or two, wide intervals")


def _evaluate(args: argparse.Namespace) -> int:
    from games import loading
    from games.evaluate import evaluate

    weights = loading.find(args.world)
    name = loading.game_of(weights).name
    out = args.out or Path("runs") / name / "evaluation"
    result = evaluate(
        name,
        data=args.data or Path("data") / name,
        weights=weights,
        episodes=args.episodes,
        seed=args.seed,
        out=out,
        json_path=args.json,
        quick=args.quick,
    )
    if args.html is not None:
        from apps.report import write_page

        write_page(args.html, result, out)
    return 0


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("play",), help="play: frames a second and milliseconds a stage of a played world")
    parser.add_argument("world", nargs="?", default=play.DEFAULT_WORLD, help="which world (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=10_000, help="up to which frame number (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one JSON object")


def _bench(args: argparse.Namespace) -> int:
    from games.bench import bench_play

    bench_play(args.world, frames=args.frames, json=args.json)
    return 0


def _worlds(args: argparse.Namespace) -> int:
    from games import loading
    from games.registry import GAMES

    for game in GAMES.values():
        here = (game.weights / loading.WEIGHTS_FILE).exists()
        print(f"{game.name:10} {game.about}{'' if here else '  (no weights here; zoetrope train makes them)'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
