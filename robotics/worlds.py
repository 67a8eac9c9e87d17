"""The typed configuration of a robot world: what is recorded, what is learnt and how."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from core.config import load_yaml
from core.errors import ZoetropeError
from core.streaming.model import WEIGHTS as WORLD_FILE
from core.streaming.model import WorldConfig
from core.streaming.world import World
from core.training.recipe import RecipeConfig
from robotics import ABOUT, WEIGHTS
from robotics.record import OBJECTS, PROPRIOCEPTION, RecordConfig
from robotics.tasks import signature

CONFIGS = Path(__file__).parent.parent / "configs"


@dataclass(frozen=True, kw_only=True, slots=True)
class RobotConfig:
    """One YAML file in configs/."""

    name: str
    record: RecordConfig
    world: WorldConfig
    train: RecipeConfig

    def __post_init__(self) -> None:
        task = self.record
        if (task.height, task.width) != (self.world.height, self.world.width):
            raise ZoetropeError(
                f"config {self.name}: recorded at {task.height}x{task.width}, learnt at {self.world.height}x{self.world.width}"
            )
        try:
            says = signature(task.task)
        except ZoetropeError as error:
            raise ZoetropeError(f"config {self.name}: {error}") from None
        sizes = {PROPRIOCEPTION: len(says.proprioception), OBJECTS: len(says.objects)}
        if (self.world.action.size, self.world.cameras) != (len(says.action), len(says.cameras)):
            raise ZoetropeError(
                f"config {self.name}: task '{task.task}' has {len(says.action)} action numbers and {len(says.cameras)} "
                f"cameras, the world {self.world.action.size} and {self.world.cameras}"
            )
        if [(part.name, part.size) for part in self.world.state] not in (list(sizes.items()), list(sizes.items())[:1]):
            wanted = ", ".join(f"{{name: {name}, size: {size}}}" for name, size in sizes.items())
            raise ZoetropeError(f"config {self.name}: world.state: expected [{wanted}], or the first of it alone")


def config_file(name_or_file: str | Path) -> Path:
    """The YAML of a robot world that comes with the program, by its name, or the file itself."""
    return CONFIGS / f"{name_or_file}.yaml" if str(name_or_file) in ABOUT else Path(name_or_file)


def load(name_or_file: str | Path) -> RobotConfig:
    """Read a robot world's YAML: of one that comes with the program by its name, or a file."""
    return load_yaml(RobotConfig, config_file(name_or_file))


def load_world(name_or_folder: str) -> tuple[RobotConfig, World]:
    """A world that comes with the program or one in a folder, with the configuration of its name, in the world's sizes."""
    shipped = name_or_folder in ABOUT
    folder = WEIGHTS / name_or_folder if shipped else Path(name_or_folder)
    if not (folder / WORLD_FILE).exists():
        name = name_or_folder if shipped else next(iter(ABOUT))
        raise ZoetropeError(f"{folder}: no robot world here; train one with: zoetrope train {name}")
    world = World.load(folder)
    if world.config.name not in ABOUT or not world.config.state:
        raise ZoetropeError(f"{folder}: '{world.config.name}' is no robot world; those are: {', '.join(ABOUT)}")
    config = load(world.config.name)
    record = replace(config.record, height=world.config.height, width=world.config.width)
    return replace(config, record=record, world=world.config), world
