"""`zoetrope`: the one command. Each subcommand is a thin door; what it opens is imported only when it is used."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import NoReturn

from apps import commands
from apps.bench import command as bench
from apps.drive import command as drive
from apps.play import command as play
from apps.robot import command as robot
from core.errors import ZoetropeError

USER_ERROR, INTERRUPTED = 2, 130
EXTRAS = {
    "shapely": "driving",
    "panda3d": "driving",
    "mapbox_earcut": "driving",
    "matplotlib": "driving",
    "nuscenes": "nuscenes",
    "mujoco": "robotics",
    "pyarrow": "lerobot",
}
"""Which extra brings a package that not everybody needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code: 0, 2 with one line for the user, 130 when interrupted."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        code = args.door(args)
        sys.stdout.flush()
        return code
    except ZoetropeError as error:
        print(f"zoetrope: {error}", file=sys.stderr)
        return USER_ERROR
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(f"zoetrope: needs '{error.name}', which is not installed: pip install \"zoetrope[{extra}]\"", file=sys.stderr)
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
    doors = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        command = doors.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(door=run)  # not "run": commands have an option --run
        return command

    play.add_arguments(add("play", "play a world from the keyboard; without a display, film a tour of it", play.run))
    commands.record_arguments(add("record", "record episodes from a world's real engine", commands.record))
    commands.train_arguments(add("train", "train a world from its recordings; goes on where it was cut off", commands.train))
    commands.prune_arguments(add("prune", "make a trained world smaller and win its quality back", commands.prune))
    commands.distil_decoder_arguments(
        add("distil-decoder", "give a trained world a lighter decoder that shows the same", commands.distil_decoder)
    )
    commands.evaluate_arguments(add("evaluate", "score a world against its real engine on unseen levels", commands.evaluate))
    bench.add_arguments(add("bench", "measure speed, and what accelerations are worth on this machine", bench.run))
    commands.card_arguments(add("card", "write a world's model card from its training and its scores", commands.card))
    add("worlds", "list the worlds", commands.worlds)
    drive.add_arguments(doors.add_parser("drive", help="synthesize, edit, drive and plan road scenes seen by several cameras"))
    robot.add_arguments(doors.add_parser("robot", help="evaluate robot policies in the generated world and in MuJoCo"))
    return parser


def _version() -> str:
    try:
        return metadata.version("zoetrope")
    except metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
