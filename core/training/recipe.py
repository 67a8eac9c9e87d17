"""The one recipe: tokenizer, motion, dynamics, blend, self-generated history. The same for every world; only sizes differ."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from core.diffusion.flow import FlowConfig
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.files import write_text
from core.heap import keep_freed_memory
from core.latents.objective import BlendLossConfig, TokenizerLossConfig
from core.streaming.model import WorldConfig, WorldModel
from core.training.history import HistoryConfig, roll_out
from core.training.prepare import PrepareConfig, measure_state, prepare, prepare_walks
from core.training.stages import train_blend, train_draft, train_dynamics, train_motion, train_state, train_tokenizer
from core.training.trainer import TrainConfig, Trainer


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeConfig:
    """How a world is trained."""

    tokenizer: TrainConfig
    dynamics: TrainConfig
    prepare: PrepareConfig
    window: int
    """Frames of a training window."""
    tokenizer_loss: TokenizerLossConfig = field(default_factory=TokenizerLossConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    motion: TrainConfig | None = None
    state: TrainConfig | None = None
    """Of what a state becomes of itself, in a world that has one; without it the backbone alone says what becomes of it."""
    draft: TrainConfig | None = None
    """Of what a state looks like, in a world that has drafts; each of the batch is a window of frames."""
    history: tuple[HistoryConfig, ...] = ()
    """Rounds of self-generated history, each dreamt by what the one before has taught."""
    refine: TrainConfig | None = None
    """Of each round: the backbone, and the blend where there is one, on real and self-generated history; needs `history`."""
    blend: TrainConfig | None = None
    blend_window: int = 5
    """Frames that the backbone sees when its guesses are made for the blend to learn on, the guessed one included."""
    blend_loss: BlendLossConfig = field(default_factory=BlendLossConfig)

    def __post_init__(self) -> None:
        if (not self.history) != (self.refine is None):
            raise ZoetropeError("recipe: history and refine belong together")


def train(
    world: WorldConfig,
    recipe: RecipeConfig,
    store: EpisodeStore,
    folder: Path,
    out: Path,
    seed: int = 0,
    progress: bool = True,
    device: torch.device | None = None,
) -> WorldModel:
    """Train every stage that `folder` has not finished and write the world to `out`. Cut off, it goes on where it was.

    Gradients are taken on `device` (default: the CPU). Episodes are prepared and dreamt on all cores, whatever it is.
    """
    keep_freed_memory(shared=True)
    device = device or torch.device("cpu")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    if recipe.refine is not None and world.spatial is not None and recipe.blend is None:
        raise ZoetropeError("recipe: refine trains backbone and blend together, in a world with spatial memory; it needs blend")
    torch.manual_seed(seed)
    if world.draft and recipe.draft is None:
        raise ZoetropeError("recipe: a world with drafts needs draft")
    model = WorldModel(world)
    started = time.monotonic()
    summary: dict[str, object] = {"episodes": len(store.indices()), "parameters": sum(p.numel() for p in model.parameters())}

    def done(name: str, trainer: Trainer | None) -> None:
        if trainer is None:
            return
        summary[name] = {"steps": trainer.step, "batch": trainer.config.batch, "minutes": round(trainer.seconds / 60, 1)}

    tokenizer = model.tokenizer.to(device)
    done(
        "tokenizer",
        train_tokenizer(tokenizer, store, recipe.tokenizer_loss, recipe.tokenizer, folder / "tokenizer", progress),
    )
    model.cpu()
    tokenizer.requires_grad_(False)
    prepared = prepare(model, store, recipe.prepare, folder / "prepared", progress)
    if model.state is not None:
        measure_state(model, prepared)
        if recipe.state is not None:
            done("state", train_state(model, prepared, recipe.state, folder / "state", progress))
        model.state.requires_grad_(False)
    if model.draft is not None:
        assert recipe.draft is not None
        done("draft", train_draft(model, prepared, recipe.window, recipe.draft, folder / "draft", progress))
        model.draft.requires_grad_(False)
    if model.motion is not None and recipe.motion is not None:
        walks = prepare_walks(model, store, folder / "walks", progress)
        done("motion", train_motion(model, walks, recipe.motion, folder / "motion", progress))
    model.to(device)
    done(
        "dynamics",
        train_dynamics(model, [prepared], recipe.flow, recipe.window, recipe.dynamics, folder / "dynamics", progress=progress),
    )
    critic, window = recipe.blend_loss, recipe.blend_window
    if model.blend is not None and recipe.blend is not None:
        done(
            "blend",
            train_blend(model, [prepared], store, critic, recipe.blend, folder / "blend", "blend", False, progress, window),
        )
    for number, history in enumerate(recipe.history, start=1):
        assert recipe.refine is not None
        model.save(out)
        dreamt = roll_out(model.cpu(), store, prepared, history, folder / f"history-{number}", progress)
        stores, name = [prepared, dreamt], f"refine-{number}"
        model.to(device).backbone.requires_grad_(True)
        if model.blend is not None:
            model.blend.requires_grad_(True)
            trained = train_blend(model, stores, store, critic, recipe.refine, folder / name, name, True, progress, window)
        else:
            refine = recipe.refine
            trained = train_dynamics(model, stores, recipe.flow, recipe.window, refine, folder / name, name, progress)
        done(name, trained)
    model.cpu().save(out)
    summary["minutes"] = round((time.monotonic() - started) / 60, 1)
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return model
