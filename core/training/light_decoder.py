"""A lighter decoder for a trained world: narrower convolutions that learn to show what the shipped decoder shows.

After Turbo-VAED (arXiv 2508.09136): the encoder, and so all that the world has learnt of its latents, stays as it is; so does
the decoder's linear half. What comes out is an ordinary world with other `decoder_widths`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.latents.autoencoder import Tokenizer
from core.latents.objective import TokenizerLossConfig, edge_error
from core.streaming.model import WorldModel
from core.training.pruning import save_like
from core.training.recipe import RecipeConfig
from core.training.stages import FrameSampler
from core.training.trainer import TrainConfig, Trainer


def distil_decoder(
    model: WorldModel,
    store: EpisodeStore,
    widths: tuple[int, ...],
    loss: TokenizerLossConfig,
    config: TrainConfig,
    folder: Path,
    progress: bool = True,
) -> WorldModel:
    """A world whose decoder has `widths` channels, finest resolution first, and shows what that of `model` shows.

    It learns on latents of the store's frames, as noisy as those that the shipped decoder learnt on. Checkpoints go to
    `folder`; cut off, it goes on where it was. Raises ZoetropeError for as many widths as do not suit the patch.
    """
    teacher = model.eval().requires_grad_(False).tokenizer
    if len(widths) != len(teacher.config.decoder_widths) or min(widths) < 1:
        raise ZoetropeError(f"distil: this decoder needs {len(teacher.config.decoder_widths)} positive widths, found {widths}")
    torch.manual_seed(config.seed)
    made = WorldModel(replace(model.config, tokenizer=replace(teacher.config, decoder_widths=widths))).to(model.device)
    stored = {n: t for n, t in model.state_dict().items() if not n.startswith("tokenizer.decoder.network.")}
    made.load_state_dict(stored, strict=False)
    made.requires_grad_(False)
    student = made.tokenizer
    student.decoder.network.requires_grad_(True)
    sampler = FrameSampler(store, teacher, config.seed)

    def step_loss(batch: tuple[Tensor, Tensor | None], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        latents = teacher.encode_pixels(*batch)
        latents = latents + teacher.config.noise * torch.randn(latents.shape, generator=generator).to(latents.device)
        return imitation_loss(student, teacher, latents, loss)

    trainer = Trainer(student.decoder, step_loss, lambda step: sampler.draw(step, config.batch), config, folder)
    trainer.run("decoder", progress=progress)
    return made.eval().requires_grad_(False)


def imitation_loss(
    student: Tokenizer, teacher: Tokenizer, latents: Tensor, weights: TokenizerLossConfig
) -> tuple[Tensor, dict[str, float]]:
    """How far apart two decoders show latents (N, C, h, w), weighed as the tokenizer's own loss weighs a picture's errors."""
    with torch.no_grad():
        wanted = teacher.decode_pixels(latents).flatten(0, 1)
    shown = student.decode_pixels(latents).flatten(0, 1)
    colour, target = shown[:, :3], wanted[:, :3]
    squared = (colour - target).square().mean()
    loss = squared + weights.absolute * (colour - target).abs().mean() + weights.edges * edge_error(colour, target)
    if teacher.config.depth:
        wrong = shown[:, 3:] - wanted[:, 3:]
        loss = loss + weights.disparity * (wrong.abs().mean() + edge_error(wrong, torch.zeros_like(wrong), 1))
    return loss, {"psnr": float(10 * torch.log10(4 / squared.detach()))}


def distil_decoder_of(
    source: Path,
    recipe: RecipeConfig,
    store: EpisodeStore,
    widths: tuple[int, ...],
    steps: int,
    run: Path,
    out: Path,
    progress: bool = True,
) -> tuple[int, int]:
    """Give the world in `source` a lighter decoder and write it to `out`; parameters of the decoder before, after.

    Checkpoints are kept in `run`, for each choice of widths apart.
    """
    model = WorldModel.load(source)
    config = replace(recipe.tokenizer, steps=steps)
    folder = run / model.fingerprint() / "-".join(map(str, widths))
    light = distil_decoder(model, store, widths, recipe.tokenizer_loss, config, folder, progress)
    save_like(light, source, out)
    count = lambda m: sum(p.numel() for p in m.tokenizer.decoder.parameters())  # noqa: E731
    return count(model), count(light)
