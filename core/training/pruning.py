"""Structural pruning with recovery: a world with fewer blocks, heads and hidden channels, and the quality won back.

What is removed is chosen by what it costs: how far the predictions of prepared windows move without it, for the time it takes.
What remains is refitted in closed form to give the layers' old outputs (as in LLM Surgeon and SlimGPT, arXiv 2412.18110), then
distilled from the world as it was (as VDMini, arXiv 2411.18375, and MobileVD, arXiv 2412.07583, win quality back). A pruned
world is an ordinary world of other sizes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from core.backbone.mixers.config import Dense
from core.backbone.transformer import Block
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.files import write_bytes
from core.streaming.model import CONFIG, WEIGHTS, WorldModel
from core.training.prepare import PreparedStore, prepare
from core.training.recipe import RecipeConfig
from core.training.sensitivity import Plan, Trial, choose, distance, inputs_of, layout_of, make_trial, moved, noisy
from core.training.stages import WINDOW_NAMES, WindowSampler
from core.training.trainer import TrainConfig, Trainer

CARD = "CARD.md"
"""What says how good a world is; it says nothing of the same world pruned."""
EPISODES = 40
"""Recordings that windows are prepared from."""
GENTLE = 0.5
"""Share of the learning rate that the world was trained with."""
RIDGE = 1e-3
"""Of the closed-form refit, in mean squares of what is fitted on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneConfig:
    """How much to remove, and how to win its quality back."""

    share: float
    """Of the backbone's parameters, at least so much is removed."""
    window: int
    """Frames of a window."""
    trials: int = 4
    """Windows on which sensitivity is measured."""
    fit: int = 12
    """Windows on which what remains is refitted."""
    distil: TrainConfig
    """Distillation from the unpruned world; 0 steps for none."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ZoetropeError(f"prune: share must be at least 0 and below 1, found {self.share}")


def prune(
    model: WorldModel, stores: list[PreparedStore], config: PruneConfig, folder: Path, progress: bool = True
) -> WorldModel:
    """A smaller world that imagines what `model` does. Checkpoints go to `folder`; cut off, it goes on where it was.

    Raises ZoetropeError for a world whose token mixer is not the dense one, or a share that would leave nothing.
    """
    if not isinstance(model.config.backbone.mixer, Dense):
        raise ZoetropeError("prune: only worlds with dense attention can be pruned; prune before its mixer is exchanged")
    model = model.eval().requires_grad_(False)
    if config.share == 0:
        return copy.deepcopy(model)
    sampler = WindowSampler(stores, config.window, config.distil.seed)
    trial = make_trial(model, sampler, 0, config.trials)
    plan = choose(model.backbone, trial, config.share)
    pruned = carry_out(model, plan, make_trial(model, sampler, 1, config.fit))
    if config.distil.steps:
        distil(model, pruned, sampler, config.distil, folder, progress)
    return pruned.eval().requires_grad_(False)


# -- removing it -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def carry_out(model: WorldModel, plan: Plan, trial: Trial) -> WorldModel:
    """A world of what the plan keeps; output layers that lost inputs are refitted on the trial to give what they gave."""
    backbone = model.backbone
    before = backbone.config
    sizes = replace(
        before,
        layers=len(plan.blocks),
        heads=len(plan.heads[plan.blocks[0]]),
        head_size=before.head,
        hidden=tuple(len(plan.channels[b]) for b in plan.blocks),
    )
    made = WorldModel(replace(model.config, backbone=sizes)).to(model.device).eval().requires_grad_(False)
    stored = {n: t for n, t in model.state_dict().items() if not n.startswith("backbone.blocks.")}
    made.load_state_dict(stored, strict=False)
    x_out, x_down = inputs_of(backbone, trial)
    for new, number in zip(made.backbone.blocks, plan.blocks):
        old = backbone.blocks[number]
        assert isinstance(old, Block) and isinstance(new, Block)
        new.table.copy_(old.table)
        rows = torch.tensor([h * before.head + i for h in plan.heads[number] for i in range(before.head)], device=model.device)
        old_rows = old.attention.project.weight.unflatten(0, (3, -1))
        new.attention.project.weight.copy_(old_rows[:, rows].flatten(0, 1))
        new.attention.query_norm.load_state_dict(old.attention.query_norm.state_dict())
        new.attention.key_norm.load_state_dict(old.attention.key_norm.state_dict())
        refit(new.attention.out, old.attention.out, x_out[number], rows)
        channels = torch.tensor(plan.channels[number], device=model.device)
        new.up.weight.copy_(old.up.weight[channels])
        new.up.bias.copy_(old.up.bias[channels])
        refit(new.down, old.down, x_down[number], channels)
    return made


def refit(new: nn.Linear, old: nn.Linear, x: Tensor, kept: Tensor) -> None:
    """Set a layer that sees only the `kept` features so that on x (rows, features) it gives what the old one gives, nearly.

    Least squares, drawn towards the old weights where the rows say little.
    """
    new.weight.copy_(old.weight[:, kept])
    new.bias.copy_(old.bias)
    if len(kept) == old.in_features:
        return
    lost = torch.ones(old.in_features, dtype=torch.bool, device=x.device)
    lost[kept] = False
    ones = torch.ones(len(x), 1, dtype=torch.float64, device=x.device)
    seen = torch.cat([x[:, kept].double(), ones], 1)
    missing = x[:, lost].double() @ old.weight[:, lost].T.double()
    normal = seen.T @ seen
    normal += RIDGE * normal.diagonal().mean() * torch.eye(len(normal), dtype=torch.float64, device=x.device)
    change = torch.linalg.solve(normal, seen.T @ missing)
    new.weight += change[:-1].T.to(new.weight)
    new.bias += change[-1].to(new.bias)


# -- winning quality back ----------------------------------------------------------------------------------------------


def distil(
    teacher: WorldModel, student: WorldModel, sampler: WindowSampler, config: TrainConfig, folder: Path, progress: bool = True
) -> Trainer:
    """Teach the pruned backbone to predict what the unpruned one predicts, on noisy windows."""
    student.backbone.requires_grad_(True)

    def loss(batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        inputs = noisy(teacher, moved(batch, teacher), generator)
        layout = layout_of(teacher.backbone, inputs)
        with torch.no_grad():
            wanted = teacher.backbone(inputs, layout)
        value = distance(student.backbone(inputs, layout), wanted, teacher.tokenizer.importance)
        return value, {"distance": float(value.detach())}

    trainer = Trainer(student.backbone, loss, lambda step: sampler.draw(step, config.batch, WINDOW_NAMES)[0], config, folder)
    trainer.run("prune", progress=progress)
    return trainer


# -- from folder to folder ---------------------------------------------------------------------------------------------


def prune_world(
    source: Path,
    recipe: RecipeConfig,
    store: EpisodeStore,
    share: float,
    steps: int,
    run: Path,
    out: Path,
    progress: bool = True,
) -> tuple[int, int]:
    """Prune the world in `source` and write it to `out` with all that lies beside it; parameters of the backbone before, after.

    Windows are prepared and checkpoints kept in `run`, for each share apart; cut off, it goes on where it was.
    """
    model = WorldModel.load(source).requires_grad_(False)
    dynamics = recipe.dynamics
    distilling = replace(dynamics, steps=steps, learning_rate=GENTLE * dynamics.learning_rate)
    config = PruneConfig(share=share, window=recipe.window, distil=distilling)
    run = run / model.fingerprint()
    few = replace(recipe.prepare, episodes=min(EPISODES, recipe.prepare.episodes))
    prepared = prepare(model, store, few, run / "prepared", progress)
    pruned = prune(model, [prepared], config, run / f"{share:g}", progress)
    save_like(pruned, source, out)
    count = lambda m: sum(p.numel() for p in m.backbone.parameters())  # noqa: E731
    return count(model), count(pruned)


def save_like(model: WorldModel, source: Path, out: Path) -> None:
    """Write a world to `out` with all that lies beside the one in `source` that it was made from, but for what scores that."""
    for file in sorted(source.iterdir()):
        if file.is_file() and file.name not in (WEIGHTS, CONFIG, CARD):
            write_bytes(out / file.name, file.read_bytes())
    model.save(out)
