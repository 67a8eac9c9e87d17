"""`zoetrope drive`: its commands and their options. What a command does is imported only when it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

Door = Callable[[argparse.Namespace], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    doors = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = doors.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(door=_lazily(name))
        return command

    _synthesize(add("synthesize", "make a nuScenes dataset of a rare scenario; goes on where it was cut off"))
    _edit(add("edit", "imagine a recorded scene again, with changes"))
    _loop(add("loop", "let a planner drive in the generated world, and beside it in the source world"))
    _plan(add("plan", "imagine what each of several trajectories leads to, and pick the best"))
    _play(add("play", "drive by keyboard, with six cameras and a view from above; without a display, film a drive"))
    _view(add("view", "look through a nuScenes dataset, boxes drawn; without a display, write a scene's video"))


def _lazily(name: str) -> Door:
    """`run` of this folder's module of that name, imported when called."""
    return lambda args: import_module(f"apps.drive.{name}").run(args)


def _synthesize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scenario", action="append", default=[], metavar="NAME", help="of the library, or a YAML file; may be repeated"
    )
    parser.add_argument("--text", metavar="WORDS", help="say what happens instead, in a sentence")
    parser.add_argument("--weather", metavar="NAME", help="instead of the scenario's own: clear, rain, dense_fog, snow, ...")
    parser.add_argument("--time", metavar="NAME", help="instead of the scenario's own: day, dawn, dusk, night, low_sun")
    parser.add_argument("--scenes", type=int, default=20, metavar="N", help="scenes of each scenario (default: %(default)s)")
    _frames(parser, 200, "frames of a scene, 10 a second")
    _seed(parser, "the first scene's; the same seeds give the same scenes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the dataset's folder; more can be added to it")
    _world(parser)
    _first(parser, ("source", "none"), "source")
    _gate(parser)


def _edit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="dataset", type=Path, required=True, metavar="DIR", help="a nuScenes dataset")
    parser.add_argument("--scene", required=True, metavar="NAME", help="which of its scenes")
    parser.add_argument(
        "--edit", type=Path, metavar="FILE", help="YAML: trajectory, insert, remove, move, weather, time, rig, name, ..."
    )
    parser.add_argument("--weather", metavar="NAME", help="another weather: clear, rain, dense_fog, snow, ...")
    parser.add_argument("--time", metavar="NAME", help="another time of day: day, dawn, dusk, night, low_sun")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the dataset that the scene goes to")
    _world(parser)
    _first(parser, ("recorded", "source", "none"), "recorded")
    _gate(parser)


def _loop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--planner", required=True, metavar="NAME", help="one of ours (idm, sight, ...), or yours as package.module:factory"
    )
    _scenario(parser)
    _frames(parser, 150, "frames to drive, 10 a second")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where report and videos go (default: runs/drive/loop/...)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores as one JSON object")
    _world(parser)
    _first(parser, ("source", "none"), "source")


def _plan(parser: argparse.ArgumentParser) -> None:
    _scenario(parser)
    parser.add_argument(
        "--samples", type=int, default=1, help="futures imagined of each; from two on their disagreement counts (default: 1)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where picture and JSON go (default: runs/drive/plan/...)")
    _world(parser)
    _first(parser, ("source", "none"), "source")


def _play(parser: argparse.ArgumentParser) -> None:
    _scenario(parser, default="ordinary")
    _world(parser)
    _first(parser, ("source", "none"), "source")
    parser.add_argument("--headless", action="store_true", help="no window: film the car driving itself")
    parser.add_argument(
        "--frames", type=int, default=80, metavar="N", help="without a window: how many frames (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="without a window: where the video goes (.mp4 or .gif)")


def _view(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, metavar="DIR", help="a nuScenes dataset")
    parser.add_argument("--scene", metavar="NAME", help="the scene to begin with (default: the first)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the scene's video here and open no window")


def _scenario(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    more = "" if default is None else f" (default: {default})"
    parser.add_argument(
        "--scenario", required=default is None, default=default, metavar="NAME", help=f"of the library, or a YAML file{more}"
    )
    _seed(parser, "decides road, traffic and weather")


def _seed(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--seed", type=int, default=0, help=f"{what} (default: %(default)s)")


def _frames(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    parser.add_argument("--frames", type=int, default=default, metavar="N", help=f"{what} (default: %(default)s)")


def _world(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--world", default="driving", metavar="NAME", help="driving, source (no network), or a folder with trained weights"
    )


def _first(parser: argparse.ArgumentParser, choices: tuple[str, ...], default: str) -> None:
    parser.add_argument(
        "--first",
        choices=choices,
        default=default,
        help="who shows the first frames; none: imagined too (default: %(default)s)",
    )


def _gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ungated", action="store_true", help="keep every scene, without judging it")
