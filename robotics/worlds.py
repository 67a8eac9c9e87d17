"""The typed configuration of a robot world: what is recorded, what is learnt and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.config import load_yaml
from core.errors import ZoetropeError
from core.streaming.model import WorldConfig
from core.training.recipe import RecipeConfig
from robotics.record import RecordConfig

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


def load(path: Path) -> RobotConfig:
    """Read a robot world's YAML."""
    return load_yaml(RobotConfig, path)
