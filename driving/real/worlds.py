"""The typed configuration of a world of real front-camera video, and training it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from core.config import load_yaml
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.streaming.model import WorldConfig, WorldModel
from core.training import recipe
from core.training.recipe import RecipeConfig
from driving.real.record import FACTS_SIZE, FrontRecordConfig
from driving.worlds import config_file

NAME = "driving_front"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontConfig:
    """One YAML file in configs/."""

    name: str
    record: FrontRecordConfig
    world: WorldConfig
    train: RecipeConfig

    def __post_init__(self) -> None:
        rig, world = self.record.rig, self.world
        if (world.width, world.height, world.cameras) != (rig.width, rig.height, 1):
            raise ZoetropeError(
                f"world: expected one camera of {rig.width}x{rig.height} as in record: rig, "
                f"found {world.cameras} of {world.width}x{world.height}"
            )
        if world.spatial is not None or world.motion is not None or world.tokenizer.depth:
            raise ZoetropeError("world: real video has no depth and not always a pose: leave out spatial, motion and depth")
        if world.facts != FACTS_SIZE:
            raise ZoetropeError(f"world: facts: expected {FACTS_SIZE} (whether the motion is unknown), found {world.facts}")


def load(name_or_file: str | Path = NAME) -> FrontConfig:
    """Read the YAML of a world of real video: one that comes with the program by its name, or a file."""
    return load_yaml(FrontConfig, config_file(name_or_file))


def train(
    config: FrontConfig, data: Path, run: Path, out: Path, progress: bool = True, device: torch.device | None = None
) -> WorldModel:
    """Train from `data`/train, keeping checkpoints in `run`, and write the world to `out`."""
    store = EpisodeStore(data / "train")
    return recipe.train(config.world, config.train, store, run, out, progress=progress, device=device)
