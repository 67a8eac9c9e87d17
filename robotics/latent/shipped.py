"""A trained latent model as it lies in a folder: both networks and the recipe that they and their planners were made by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.config import to_dict
from core.errors import ZoetropeError
from robotics import WEIGHTS
from robotics.latent import ABOUT, inverse, model, planners
from robotics.latent.controller import Controller
from robotics.latent.evaluate import Contender
from robotics.latent.inverse import PLANNER, Amortized, InverseDynamics
from robotics.latent.model import LeWorldModel, Reader
from robotics.latent.planners import KINDS, Planner
from robotics.latent.train import RECIPE, LatentConfig, load
from robotics.task import Observation

AMORTIZED = "amortized"
"""The planner that asks inverse dynamics instead of searching."""
PLANNERS = (*KINDS, AMORTIZED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Latent:
    """What plans."""

    folder: Path
    config: LatentConfig
    model: LeWorldModel
    inverse: InverseDynamics
    amortized: InverseDynamics
    """What the amortized planner asks: taught to plan, or the inverse dynamics themselves."""

    @staticmethod
    def open(name_or_folder: str) -> Latent:
        """One that comes with the program, by its name, or of a folder. Raises ZoetropeError when there is none."""
        folder = folder_of(name_or_folder)
        if not (folder / RECIPE).exists():
            raise ZoetropeError(f"{folder}: no latent model here; train one with: zoetrope train push_latent")
        config = load(folder / RECIPE)
        told = InverseDynamics.load(folder)
        taught = told if config.train_planner is None else InverseDynamics.load(folder, PLANNER)
        return Latent(folder=folder, config=config, model=LeWorldModel.load(folder), inverse=told, amortized=taught)

    @property
    def fingerprint(self) -> str:
        """Of all networks' weights."""
        digest = hashlib.sha256()
        for name in (model.NAME, inverse.NAME, *([] if self.config.train_planner is None else [PLANNER])):
            digest.update((self.folder / f"{name}.safetensors").read_bytes())
        return digest.hexdigest()[:12]

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what it plans."""
        parts = {name: to_dict(getattr(self.config, name)) for name in ("planner", "controller", "protocol")}
        return {"weights": self.fingerprint, **parts}

    @property
    def reader(self) -> Reader:
        """What reads the state off embeddings. Raises ZoetropeError when the model was not trained to."""
        if self.model.reader is None:
            raise ZoetropeError(f"{self.folder}: this model reads no state off pictures; train one with 'read' in its recipe")
        return self.model.reader

    def planner(self, name: str) -> Planner:
        """The planner called `name`, one of PLANNERS, as the recipe sets it."""
        if name == AMORTIZED:
            return Amortized(self.amortized)
        if name not in KINDS:
            raise ZoetropeError(f"unknown planner '{name}'; known: {', '.join(PLANNERS)}")
        config = self.config.planner
        return planners.make(replace(config, kind=name), planners.dynamics(config, self.model))  # type: ignore[arg-type]

    def contenders(self, names: Iterable[str]) -> dict[str, Contender]:
        """What makes a controller towards a goal, by its planner's name."""
        return {name: self._contender(self.planner(name)) for name in names}

    def _contender(self, planner: Planner) -> Contender:
        def towards(goal: Observation) -> Controller:
            return Controller(self.model, planner, goal, self.config.controller)

        return towards


def folder_of(name_or_folder: str) -> Path:
    """The folder of a latent model that comes with the program, by its name, or the one that is named."""
    return WEIGHTS / name_or_folder if name_or_folder in ABOUT else Path(name_or_folder)
