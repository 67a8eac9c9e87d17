"""`zoetrope robot`: its commands and their options. What a command does is imported only when it is asked for."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from apps.device import add_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    doors = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = doors.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(door=lambda args: import_module(f"apps.robot.{name}").run(args))
        return command

    _clone(add("clone", "train a policy that sees pictures on demonstrations, and measure it in MuJoCo"))
    _evaluate(add("evaluate", "run policies in the generated world and in MuJoCo, and say how far the world can be trusted"))
    _generate(add("generate", "grow a few demonstrations into a LeRobot dataset, imagined and in other looks, and judge it"))
    _plan(add("plan", "reach pictures of goals by planning in latents, in MuJoCo, beside random actions"))


def _clone(parser: argparse.ArgumentParser) -> None:
    data = {"type": Path, "action": "append", "metavar": "FOLDER"}
    parser.add_argument("--task", default="push", metavar="NAME", help="where it is measured (default: %(default)s)")
    parser.add_argument(
        "--data", **data, required=True, help="demonstrations: recordings, or a LeRobot v3.0 dataset; may be repeated"
    )
    parser.add_argument(
        "--generated", **data, default=[], help="datasets of generated demonstrations, used beside; may be repeated"
    )
    parser.add_argument("--policy", default="expert", metavar="NAME", help="whose recordings count (default: %(default)s)")
    parser.add_argument("--demos", type=int, metavar="N", help="how many of them, drawn by the seed (default: all)")
    _seed(parser, "of this training run")
    parser.add_argument(
        "--gain", type=int, default=0, metavar="SEEDS", help="compare with and without --generated over so many seeds"
    )
    parser.add_argument(
        "--episodes", type=int, default=50, help="held-out starts that it plays in MuJoCo (default: %(default)s)"
    )
    _json(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", required=True, help="where the policy is written")


def _evaluate(parser: argparse.ArgumentParser) -> None:
    _task(parser)
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="NAME",
        help="expert, noisy:0.5, burst:0.25, delay:5, bias:0.25, random, cloned:FOLDER, or yours as package.module:factory; "
        "may be repeated",
    )
    parser.add_argument("--episodes", type=int, default=50, help="starts, each played by every policy (default: 50)")
    parser.add_argument("--generated", type=int, default=0, help="further starts that only the generated world plays")
    parser.add_argument("--replay", action="store_true", help="also replay MuJoCo's actions in the generated world")
    _judge(parser, "who says whether the goal holds in the generated world: the task's rule on predicted objects, or a reward")
    _imagining(parser, "the first start")
    _results(parser, "a page with tables, a scatter and videos", "what it can go on from (default: runs/TASK/evaluation)")
    add_device(parser)


def _generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="demonstrations: recordings, or a LeRobot v3.0 dataset"
    )
    parser.add_argument("--by", metavar="NAME", help="of recordings, only those of this policy count (such as expert)")
    parser.add_argument("--demonstrations", type=int, default=20, help="how many are used, at most (default: %(default)s)")
    _task(parser)
    parser.add_argument(
        "--way",
        action="append",
        default=[],
        metavar="NAME",
        help="relook (MuJoCo shows demonstrations in other looks), redo (imagined from their first frames), scene (imagined "
        "from new scenes); may be repeated (default: all)",
    )
    parser.add_argument("--attempts", type=int, default=50, help="episodes tried in each way (default: %(default)s)")
    parser.add_argument(
        "--policy",
        default="neighbours",
        metavar="NAME",
        help="who acts: neighbours (made of the demonstrations), replay, or a policy as in 'evaluate' (default: %(default)s)",
    )
    parser.add_argument("--noise", type=float, default=0.2, help="spread of what is added to actions (default: %(default)s)")
    looks = parser.add_argument_group("looks", "how far scenes may differ from those of the demonstrations")
    looks.add_argument("--colours", type=float, default=0.5, help="0 to 1 (default: %(default)s)")
    looks.add_argument("--textures", action=argparse.BooleanOptionalAction, default=True, help="patterns on the table")
    looks.add_argument("--camera", type=float, default=0.03, help="metres by which cameras move (default: %(default)s)")
    looks.add_argument("--light", type=float, default=0.5, help="0 to 1 (default: %(default)s)")
    looks.add_argument("--distractors", type=int, default=3, help="things at the table's edge, at most (default: %(default)s)")
    kept = parser.add_argument_group("what is kept")
    _judge(kept, "who says that the goal holds")
    kept.add_argument("--disagreement", type=float, default=0.35, help="most between actions sent and read (default: 0.35)")
    kept.add_argument("--confidence", type=float, default=0.3, help="least of the actions read back (default: 0.3)")
    kept.add_argument(
        "--labels",
        choices=("checked", "pseudo"),
        default="checked",
        help="checked: actions sent, but pseudo-actions where frames tell of others; pseudo: pseudo-actions throughout",
    )
    kept.add_argument("--include", action="store_true", help="put the demonstrations themselves first in the dataset")
    parser.add_argument(
        "--reader", type=Path, metavar="FOLDER", help="a trained action reader (default: of the demonstrations)"
    )
    parser.add_argument("--latent", type=Path, metavar="FOLDER", help="a latent model, to read actions from pictures as well")
    _imagining(parser, "which demonstrations, scenes, looks and noise")
    _results(
        parser, "a page of what was kept, what was not, and why", "the dataset and its ledger (default: runs/TASK/generated)"
    )
    add_device(parser)


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--planner",
        action="append",
        default=[],
        metavar="NAME",
        help="cem, icem, mppi, gradient or amortized; may be repeated (default: the model's own)",
    )
    parser.add_argument(
        "--protocol",
        choices=("strict", "original"),
        default="strict",
        help="strict leaves out goals that standing still or random actions reach (default: %(default)s)",
    )
    parser.add_argument("--episodes", type=int, default=50, help="goals, each tried by every planner (default: 50)")
    _seed(parser, "which goals, and what planners draw")
    parser.add_argument(
        "--model",
        default="push_latent",
        metavar="NAME",
        help="a latent model's name, or a folder with trained weights (default: %(default)s)",
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="recordings (default: data/WORLD, recorded where missing)")
    _results(parser, "a page with tables and videos beside the goals", "what it can go on from (default: runs/MODEL/plan)")


def _task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="push", metavar="NAME", help="what is to be done (default: %(default)s)")


def _seed(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--seed", type=int, default=0, help=f"{what} (default: %(default)s)")


def _judge(parser: argparse._ActionsContainer, about: str) -> None:
    parser.add_argument("--judge", choices=("objects", "reward"), default="objects", help=about)


def _imagining(parser: argparse.ArgumentParser, seed: str) -> None:
    """What every command takes that lets policies act in the generated world."""
    parser.add_argument("--batch", type=int, default=16, help="episodes imagined at once (default: %(default)s)")
    _seed(parser, seed)
    parser.add_argument(
        "--world", metavar="NAME", help="a robot world's name, or a folder with trained weights (default: TASK)"
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one JSON object")


def _results(parser: argparse.ArgumentParser, page: str, out: str) -> None:
    """Where figures, a page of them and all else go."""
    _json(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help=f"write {page}")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=out)
