"""The typed configuration of a driving world: what is recorded, what is learnt and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.config import load_yaml
from core.streaming.model import WorldConfig
from core.training.recipe import RecipeConfig
from driving.record import RecordConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class DrivingConfig:
    """One YAML file in configs/."""

    name: str
    record: RecordConfig
    world: WorldConfig
    train: RecipeConfig


CONFIG = Path(__file__).parent.parent / "configs" / "driving.yaml"
WEIGHTS = Path(__file__).parent / "weights" / "driving"


def load(path: Path = CONFIG) -> DrivingConfig:
    """Read a driving world's YAML."""
    return load_yaml(DrivingConfig, path)
