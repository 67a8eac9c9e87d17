"""Training on recorded episodes: the latent model first, then inverse dynamics, then the planner. Each can be cut off."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml

from core.config import load_yaml, to_dict
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.files import write_text
from core.heap import keep_freed_memory
from core.training.trainer import TrainConfig, Trainer
from robotics.latent import ABOUT
from robotics.latent.amortize import GoalSampler, imagined_loss
from robotics.latent.collapse import measure
from robotics.latent.controller import ControllerConfig
from robotics.latent.evaluate import ProtocolConfig
from robotics.latent.inverse import PLANNER, InverseConfig, InverseDynamics
from robotics.latent.model import LeWorldModel, ModelConfig
from robotics.latent.planners import PlannerConfig, dynamics
from robotics.latent.samplers import MomentSampler, PairSampler
from robotics.worlds import CONFIGS

RECIPE = "recipe.yaml"
"""The whole configuration, beside the weights."""
STATISTICS_BATCHES = 50
"""Batches over which the encoder's batch statistics are taken once its weights are final."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentConfig:
    """One YAML file in configs/."""

    name: str
    world: str
    """The robot world whose recordings are learnt from: the name of its own YAML."""
    model: ModelConfig
    train: TrainConfig
    inverse: InverseConfig
    train_inverse: TrainConfig
    train_planner: TrainConfig | None = None
    """Of the amortized planner, which begins as the inverse dynamics; without it they are the planner as they are."""
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)

    def __post_init__(self) -> None:
        model, inverse = self.model, self.inverse
        if (inverse.embedding, inverse.action) != (model.embedding, model.action):
            raise ZoetropeError(
                f"config {self.name}: inverse: embedding and action must be the model's, {model.embedding} and {model.action}"
            )
        if self.train_planner is not None and not model.stride == inverse.chunk <= self.controller.within <= inverse.reach:
            raise ZoetropeError(
                f"config {self.name}: train_planner: inverse.chunk must be the model's stride, {model.stride}, and "
                "controller.within at least that and at most inverse.reach"
            )


def config_file(name_or_file: str | Path) -> Path:
    """The YAML of a latent model that comes with the program, by its name, or the file itself."""
    return CONFIGS / f"{name_or_file}.yaml" if str(name_or_file) in ABOUT else Path(name_or_file)


def load(path: Path) -> LatentConfig:
    """Read a latent model's YAML."""
    return load_yaml(LatentConfig, path)


def train_latent(
    config: LatentConfig, store: EpisodeStore, folder: Path, out: Path, progress: bool = True
) -> tuple[LeWorldModel, InverseDynamics]:
    """Train both networks on the episodes of `store`, write them into `out`, and read them back. Cut off, it goes on.

    Checkpoints and logs live in `folder`; `summary.json` there tells time, sizes, and whether the embeddings collapsed.
    """
    keep_freed_memory(shared=True)
    torch.manual_seed(config.train.seed)
    model = LeWorldModel(config.model)
    sampler = MomentSampler(store, config.model, config.train.seed)
    model.encoder.centre, model.encoder.spread = sampler.spread("proprioception")
    if model.reader is not None:
        model.reader.centre, model.reader.spread = sampler.spread("state")
    trainer = Trainer(
        model,
        lambda batch, generator: model.loss(*batch, generator=generator),
        lambda step: sampler.draw(step, config.train.batch),
        config.train,
        folder / "latent",
    )
    trainer.run("latent model", progress=progress)
    _settle(model, sampler, config.train)
    model.save(out)
    model = LeWorldModel.load(out)

    inverse = InverseDynamics(config.inverse)
    pairs = PairSampler(model, store, config.inverse, config.train_inverse.seed)
    second = Trainer(
        inverse,
        lambda batch, generator: inverse.loss(*batch, generator=generator),
        lambda step: pairs.draw(step, config.train_inverse.batch),
        config.train_inverse,
        folder / "inverse",
    )
    second.run("inverse dynamics", progress=progress)
    inverse.save(out)
    third = None
    if config.train_planner is not None:
        planner, third = _train_planner(config, config.train_planner, model, inverse, pairs, folder, progress)
        planner.save(out, PLANNER)
    write_text(out / RECIPE, yaml.safe_dump(to_dict(config), sort_keys=False))
    collapse, stages = measure(model, store), {"latent": trainer, "inverse": second, "planner": third}
    summary = {
        "episodes": len(store.indices()),
        "parameters": {"latent": _count(model), "inverse": _count(inverse)},
        "seconds": {name: round(t.seconds, 1) for name, t in stages.items() if t is not None},
        "collapse": collapse.as_dict(),
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return model, InverseDynamics.load(out)


def _train_planner(
    config: LatentConfig,
    train: TrainConfig,
    model: LeWorldModel,
    inverse: InverseDynamics,
    pairs: PairSampler,
    folder: Path,
    progress: bool,
) -> tuple[InverseDynamics, Trainer]:
    planner = InverseDynamics(config.inverse)
    planner.load_state_dict(inverse.state_dict())
    model.requires_grad_(False)
    goals, measured = GoalSampler(pairs, model.stride, config.controller.within), dynamics(config.planner, model)
    trainer = Trainer(
        planner,
        lambda batch, generator: imagined_loss(model, measured, planner, batch, generator),
        lambda step: goals.draw(step, train.batch),
        train,
        folder / "planner",
    )
    trainer.run("amortized planner", progress=progress)
    return planner, trainer


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@torch.no_grad()
def _settle(model: LeWorldModel, sampler: MomentSampler, config: TrainConfig) -> None:
    """Take the encoder's batch statistics anew: those gathered while training are of other weights, and of no checkpoint."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all that follows
    model.encoder.train()
    for batch in range(STATISTICS_BATCHES):
        frames, proprioception, *_ = sampler.draw(config.steps + batch, config.batch)
        model.encoder(frames.flatten(0, 1), proprioception.flatten(0, 1))
    model.eval()
