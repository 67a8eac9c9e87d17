"""The commands beside playing: record, train, evaluate, card, worlds. Each finds its inputs and calls what does the work."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from apps.device import add_device
from core.errors import ZoetropeError
from driving.evaluation import PARTS
from games.source import PROTOCOLS, SPLITS
from robotics.figures import PARTS as ROBOT_PARTS

if TYPE_CHECKING:
    from driving.real.worlds import FrontConfig
    from driving.worlds import DrivingConfig
    from games.worlds import GameConfig
    from robotics.latent.train import LatentConfig
    from robotics.worlds import RobotConfig

    Recorded = GameConfig | DrivingConfig | FrontConfig | RobotConfig
    Config = Recorded | LatentConfig

DATA, RUNS = Path("data"), Path("runs")
ROBOTICS = "robotics"
"""What `zoetrope evaluate` calls the generated world of a robot's task and the latent planner for it, together."""
LATENT = "push_latent"
"""The latent planner that it measures."""
DRIVING = "driving"
"""The world of `zoetrope drive`; its other sizes are YAML files whose names begin so."""
FRONT = "driving_front"
"""The world of real front-camera video, likewise."""
ABOUT_DRIVING = "roads and traffic around a car with six cameras (zoetrope drive), from what is told of each scene"


def record_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("world", help="a world's name, or its YAML file")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where episodes go (default: data/WORLD)")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="which splits (default: all)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="engines at once (default: one a core)")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER", help=f"real recordings to import, for {FRONT}: videos, comma2k19"
    )


def record(args: argparse.Namespace) -> int:
    from apps.writing import writing

    if args.processes < 1:
        raise ZoetropeError("--processes must be at least 1")
    config = _recorded(read_config(args.world))
    folder = args.out or DATA / config.name
    with writing(folder):
        for split, made in _record(config, folder, args.splits, args.processes, args.source).items():
            print(f"{folder / split}: {made} new episodes")
    return 0


def train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("world", help="a world's name, or its YAML file")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="recordings (default: data/WORLD, recorded where missing)")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="checkpoints to go on from (default: runs/WORLD)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the trained world goes (default: runs/WORLD/world)")
    add_device(parser)


def train(args: argparse.Namespace) -> int:
    from core.device import device as device_named
    from driving.worlds import DrivingConfig
    from games.train import train
    from games.worlds import GameConfig
    from robotics.latent.train import LatentConfig
    from robotics.worlds import RobotConfig

    config, device = read_config(args.world), device_named(args.device)
    splits = ("train", "validation") if isinstance(config, DrivingConfig) else ("train",)
    data = _recordings(config, args.data, splits)
    run = args.run or RUNS / config.name
    out = args.out or run / "world"
    if isinstance(config, GameConfig):
        train(config, data, run, out, device=device)
        print(f"{out}: trained; zoetrope play {out}")
    elif isinstance(config, DrivingConfig):
        from driving import train as driving

        driving.train(config, data, run, out, device=device)
        print(f"{out}: trained; zoetrope drive play --world {out}")
    elif isinstance(config, RobotConfig):
        from core.episodes.store import EpisodeStore
        from core.training import recipe

        recipe.train(config.world, config.train, EpisodeStore(data / "train"), run, out, device=device)
        print(f"{out}: trained; zoetrope robot evaluate --world {out} --policy expert")
    elif isinstance(config, LatentConfig):
        from core.episodes.store import EpisodeStore
        from robotics.latent.train import train_latent

        train_latent(config, EpisodeStore(data / "train"), run, out)
        print(f"{out}: trained; zoetrope robot plan --model {out}")
    else:
        from driving.real import worlds as front

        front.train(config, data, run, out, device=device)
        print(f"{out}: trained; in Python: core.streaming.world.World.load('{out}')")
    return 0


def prune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("world", help="a world's name, or a folder with trained weights")
    parser.add_argument(
        "--share", type=float, default=0.3, help="of the backbone's parameters, to remove (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=1000, help="of distillation from the whole world (default: %(default)s)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="recordings (default: data/WORLD, recorded where missing)")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="checkpoints to go on from (default: runs/WORLD/prune)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", required=True, help="where the pruned world goes")


def prune(args: argparse.Namespace) -> int:
    from core.episodes.store import EpisodeStore
    from core.training.pruning import prune_world

    if args.steps < 0:
        raise ZoetropeError("--steps must be at least 0")
    if not 0 <= args.share < 1:
        raise ZoetropeError(f"--share must be at least 0 and below 1, found {args.share}")
    source, config = _made_from(args.world, args.out)
    store = EpisodeStore(_recordings(config, args.data, ("train",)) / "train")
    run = args.run or RUNS / config.name / "prune"
    before, after = prune_world(source, config.train, store, args.share, args.steps, run, args.out)
    print(f"{args.out}: pruned from {before / 1e6:.2f} to {after / 1e6:.2f} million parameters of the backbone")
    return 0


def distil_decoder_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("world", help="a world's name, or a folder with trained weights")
    parser.add_argument(
        "--widths",
        type=int,
        nargs="+",
        metavar="N",
        help="channels, from the finest resolution on (default: half of what it has)",
    )
    parser.add_argument("--steps", type=int, default=2000, help="of distillation (default: %(default)s)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="recordings (default: data/WORLD, recorded where missing)")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="checkpoints to go on from (default: runs/WORLD/decoder)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", required=True, help="where the world with the light decoder goes")


def distil_decoder(args: argparse.Namespace) -> int:
    from core.config import load_yaml
    from core.episodes.store import EpisodeStore
    from core.streaming.model import CONFIG, WorldConfig
    from core.training.light_decoder import distil_decoder_of

    if args.steps < 0:
        raise ZoetropeError("--steps must be at least 0")
    source, config = _made_from(args.world, args.out)
    found = load_yaml(WorldConfig, source / CONFIG).tokenizer.decoder_widths
    widths = tuple(args.widths or (max(1, width // 2) for width in found))
    store = EpisodeStore(_recordings(config, args.data, ("train",)) / "train")
    run = args.run or RUNS / config.name / "decoder"
    before, after = distil_decoder_of(source, config.train, store, widths, args.steps, run, args.out)
    print(f"{args.out}: decoder of {before / 1e6:.2f} million parameters replaced by one of {after / 1e6:.2f}")
    return 0


def _made_from(world: str, out: Path) -> tuple[Path, GameConfig | DrivingConfig]:
    """The folder and the configuration of a trained world from which another is made, elsewhere."""
    from games import loading

    if _is_driving(world):
        from driving import worlds

        loaded = worlds.load_world(world)
        assert loaded.folder is not None
        source, config = loaded.folder, worlds.load(loaded.config.name)
    else:
        source = loading.find(world)
        config = loading.game_of(source).read_config()
    if out.resolve() == source.resolve():
        raise ZoetropeError(f"--out: {out} is the world to start from; name another folder")
    return source, config


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("world", help=f"a world's name, '{ROBOTICS}', or a folder with trained weights")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one JSON object")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with videos and curves")
    parser.add_argument("--gif", type=Path, metavar="FILE", help="write one tour, real and imagined, as a moving picture")
    parser.add_argument("--episodes", type=int, default=50, help="episodes a score is the mean of (default: 50)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="recordings (default: data/WORLD, recorded where missing)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="what it can go on from (default: runs/WORLD/evaluation)")
    parser.add_argument("--quick", action="store_true", help="a few episodes, a minute or two, wide intervals")
    protocols = dict.fromkeys((*PROTOCOLS, *PARTS, *ROBOT_PARTS))
    told = {"games": PROTOCOLS, "driving": PARTS, ROBOTICS: ROBOT_PARTS}
    asked = "; ".join(f"{name}: {', '.join(parts)}" for name, parts in told.items())
    parser.add_argument(
        "--protocols", nargs="+", choices=protocols, metavar="NAME", help=f"what is asked (default: all; {asked})"
    )


def evaluate(args: argparse.Namespace) -> int:
    from apps.report.evaluation import write_gif, write_page
    from apps.report.figures import of_evaluation, table
    from games import loading
    from games.evaluate import evaluate

    if args.episodes < 1:
        raise ZoetropeError("--episodes must be at least 1")
    if args.world == ROBOTICS:
        return _evaluate_robotics(args)
    if _is_driving(args.world):
        return _evaluate_driving(args)
    _refuse_others(args.protocols, PROTOCOLS)
    weights = loading.find(args.world)
    game = loading.game_of(weights)
    out = args.out or RUNS / game.name / "evaluation"
    data = _recordings(game.read_config(), args.data, ("train", "test"))
    figures = evaluate(
        game.name,
        data=data,
        weights=weights,
        episodes=args.episodes,
        seed=args.seed,
        out=out,
        json_path=args.json,
        quick=args.quick,
        asked=args.protocols or PROTOCOLS,
    )
    print(table(of_evaluation(figures)))
    if args.html is not None:
        write_page(figures, out / "clips", args.html)
        print(args.html)
    if args.gif is not None:
        write_gif(out / "clips", args.gif)
        print(args.gif)
    return 0


def _evaluate_driving(args: argparse.Namespace) -> int:
    from apps.drive.evaluate import evaluate
    from driving import worlds

    _refuse_others(args.protocols, PARTS)
    world = worlds.load_world(args.world)
    config = worlds.load(world.config.name)
    data = _recordings(config, args.data, ("train", "test"))
    out = args.out or RUNS / config.name / "evaluation"
    parts = tuple(args.protocols or PARTS)
    evaluate(config, world, data, out, args.episodes, parts, args.json, args.html, args.gif)
    return 0


def _evaluate_robotics(args: argparse.Namespace) -> int:
    from apps.robot.figures import run

    _refuse_others(args.protocols, ROBOT_PARTS)
    data = _recordings(read_config(LATENT), args.data, ("train", "test"))
    out = args.out or RUNS / ROBOTICS / "evaluation"
    run(LATENT, data, out, args.episodes, args.seed, tuple(args.protocols or ROBOT_PARTS), args.json, args.html)
    return 0


def _refuse_others(asked: Sequence[str] | None, known: Sequence[str]) -> None:
    for name in asked or ():
        if name not in known:
            raise ZoetropeError(f"--protocols: '{name}' is not asked of this world; choose from {', '.join(known)}")


def card_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("world", help="a world's name, or its YAML file")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="what training left (default: runs/WORLD)")
    parser.add_argument("--evaluation", type=Path, nargs="*", default=[], metavar="FILE", help="JSON of zoetrope evaluate")
    parser.add_argument("--bench", type=Path, metavar="FILE", help="JSON of zoetrope bench play")
    parser.add_argument("--device", required=True, help="what trained it, for instance 'two CPU cores'")
    parser.add_argument("--note", action="append", default=[], metavar="TEXT", help="what else to know of the training")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the card goes (default: runs/WORLD/world/CARD.md)")


def card(args: argparse.Namespace) -> int:
    from games import registry
    from games.card import write_card

    config = registry.read_config(args.world)
    run = args.run or RUNS / config.name
    out = args.out or run / "world" / "CARD.md"
    game, summary = registry.GAMES[config.name], run / "summary.json"
    write_card(game, config, summary, args.evaluation, args.bench, args.device, args.note, out)
    print(out)
    return 0


def worlds(args: argparse.Namespace) -> int:
    import robotics
    from driving import WEIGHTS
    from games.registry import GAMES
    from robotics import latent

    games = [(game.name, game.about, game.weights) for game in GAMES.values()]
    robots = [(name, f"{about} (zoetrope robot)", robotics.WEIGHTS / name) for name, about in robotics.ABOUT.items()]
    robots += [(name, about, robotics.WEIGHTS / name) for name, about in latent.ABOUT.items()]
    for name, about, weights in (*games, (DRIVING, ABOUT_DRIVING, WEIGHTS), *robots):
        here = any(weights.glob("*.safetensors"))
        print(f"{name:10} {about}{'' if here else '  (no weights here; zoetrope train makes them)'}")
    return 0


def _is_driving(world: str) -> bool:
    """Whether this names the driving world, or a folder with a trained one."""
    if world == DRIVING:
        return True
    from core.config import load_yaml
    from core.streaming.model import CONFIG, WorldConfig

    return (Path(world) / CONFIG).exists() and load_yaml(WorldConfig, Path(world) / CONFIG).sketch


def read_config(world: str) -> Config:
    """The typed YAML of a world by its name or path: that of driving, of real video, or of a game."""
    if Path(world).stem.startswith(FRONT):
        from driving.real import worlds as front

        return front.load(world)
    if Path(world).stem.startswith(DRIVING):
        from driving import worlds

        return worlds.load(world)
    import robotics
    from robotics import latent

    if any(Path(world).stem.startswith(name) for name in latent.ABOUT):
        from robotics.latent import train as latents

        return latents.load(latents.config_file(world))
    if any(Path(world).stem.startswith(name) for name in robotics.ABOUT):
        from robotics import worlds as robots

        return robots.load(world)
    from games import registry

    return registry.read_config(world)


def _recordings(config: Config, given: Path | None, splits: Sequence[str]) -> Path:
    """The folder of recordings: the default one, filled in where an engine can, or a given one as it is."""
    source = _recorded(config)
    real = source.name.startswith(FRONT)
    folder = given or DATA / source.name
    if given is None and not real:
        _record(source, folder, splits, os.cpu_count() or 1)
        return folder
    needed = folder / splits[-1]
    if not any(needed.glob("*.safetensors")):
        more = " --from FOLDER" if real else ""
        raise ZoetropeError(f"{needed}: no recordings here; make them with: zoetrope record {source.name}{more} --out {folder}")
    return folder


def _recorded(config: Config) -> Recorded:
    """The world whose recordings are learnt from: a latent model has none of its own."""
    from robotics import worlds
    from robotics.latent.train import LatentConfig

    return worlds.load(config.world) if isinstance(config, LatentConfig) else config


def _record(
    config: Recorded, folder: Path, splits: Sequence[str], processes: int, source: Path | None = None
) -> dict[str, int]:
    """Record what is missing, or import it from `source`; split -> how many episodes were made."""
    from driving.real.worlds import FrontConfig
    from driving.record import record as record_scenes
    from driving.worlds import DrivingConfig
    from games import registry
    from games.record import record
    from robotics.record import record as record_robot
    from robotics.worlds import RobotConfig

    if isinstance(config, FrontConfig):
        from driving.real.record import read
        from driving.real.record import record as import_clips

        if source is None:
            raise ZoetropeError(f"'{config.name}' has no engine: name a folder of real recordings with --from")
        found = read(config.record, source)
        return {split: import_clips(config.record, found, split, folder / split, processes) for split in splits}
    if source is not None:
        raise ZoetropeError(f"--from: '{config.name}' is recorded from its engine; real video is for {FRONT}")
    if isinstance(config, DrivingConfig):
        return {split: record_scenes(config.record, split, folder / split, processes) for split in splits}
    if isinstance(config, RobotConfig):
        return {split: record_robot(config.record, split, folder / split, processes) for split in splits}
    game = registry.GAMES[config.name]
    make = partial(game.make_source, config)
    return {split: record(make, game.make_policy, config.record, split, folder / split, processes) for split in splits}
