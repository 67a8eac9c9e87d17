"""The typed configuration of a driving world, and loading one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.config import load_yaml
from core.errors import ZoetropeError
from core.streaming.model import WEIGHTS as WORLD_FILE
from core.streaming.model import WorldConfig
from core.streaming.world import World
from core.training.recipe import RecipeConfig
from core.training.trainer import TrainConfig
from driving import NAME, WEIGHTS
from driving.record import RecordConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class DrivingConfig:
    """One YAML file in configs/."""

    name: str
    record: RecordConfig
    world: WorldConfig
    train: RecipeConfig
    detector: TrainConfig
    """Of the gate's detector; `batch` counts rigs of pictures."""


CONFIGS = Path(__file__).parent.parent / "configs"


def config_file(name_or_file: str | Path) -> Path:
    """The YAML of a driving world that comes with the program, by its name, or the file itself."""
    shipped = CONFIGS / f"{name_or_file}.yaml"
    return shipped if shipped.parent == CONFIGS and shipped.exists() else Path(name_or_file)


def load(name_or_file: str | Path = NAME) -> DrivingConfig:
    """Read a driving world's YAML: of one that comes with the program by its name, or a file."""
    return load_yaml(DrivingConfig, config_file(name_or_file))


def load_world(name_or_folder: str = NAME) -> World:
    """The world that comes with the program, or one in a folder. Raises ZoetropeError when it is no driving world."""
    folder = WEIGHTS if name_or_folder == NAME else Path(name_or_folder)
    if not (folder / WORLD_FILE).exists():
        raise ZoetropeError(f"{folder}: no driving world here; train one with 'zoetrope train driving'")
    world = World.load(folder)
    if not (world.config.sketch and world.config.rays):
        raise ZoetropeError(f"{folder}: '{world.config.name}' is no driving world: it takes no sketch and no rays")
    return world
