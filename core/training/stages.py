"""The stages of a recipe. Each trains one part, keeps its checkpoint in a folder of its own, and can be cut off and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.backbone.transformer import Inputs
from core.diffusion.flow import BASE_STRIDE, FlowConfig, flow_loss
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.latents.autoencoder import Tokenizer
from core.latents.objective import TokenizerLossConfig, edge_error, tokenizer_loss
from core.streaming.model import WorldModel
from core.training.prepare import RENDERING, PreparedStore, unpack_rendering
from core.training.trainer import CHECKPOINT, TrainConfig, Trainer

LINEAR_FIT_FRAMES = 1500
"""Frames that the tokenizer's principal components are taken from."""


class FrameSampler:
    """Random chunks of frames (N, k, c, H, W) from a store, decided by (seed, step) alone. Cameras are drawn like frames."""

    def __init__(self, store: EpisodeStore, tokenizer: Tokenizer, seed: int):
        self.store, self.tokenizer, self.seed = store, tokenizer, seed
        self.indices = store.indices()
        if not self.indices:
            raise ZoetropeError(f"{store.folder}: no episodes to train on; run 'zoetrope record' first")
        self.lengths = [store.length(i) for i in self.indices]

    def draw(self, step: int, count: int) -> tuple[Tensor, Tensor | None]:
        """`count` chunks as the tokenizer's pixels and validity."""
        rng = np.random.default_rng((self.seed, step))
        k, use_depth = self.tokenizer.config.time_factor, self.tokenizer.config.depth
        frames, depth = [], []
        for pick in rng.integers(len(self.indices), size=count):
            start = int(rng.integers(self.lengths[pick] - k + 1))
            episode = self.store.read(self.indices[pick], start, k)
            camera = int(rng.integers(episode.frames.shape[1]))
            frames.append(episode.frames[:, camera])
            if use_depth and episode.depth is not None:
                depth.append(episode.depth[:, camera].astype(np.float32))
        known = torch.from_numpy(np.stack(depth)) if len(depth) == count else None
        return self.tokenizer.pack(torch.from_numpy(np.stack(frames)), known)


def train_tokenizer(
    tokenizer: Tokenizer,
    store: EpisodeStore,
    loss: TokenizerLossConfig,
    config: TrainConfig,
    folder: Path,
    progress: bool = True,
) -> Trainer:
    """Fit the linear transforms in closed form, then train the whole by gradient descent."""
    sampler = FrameSampler(store, tokenizer, config.seed)
    if not (folder / CHECKPOINT).exists():
        tokenizer.fit_linear(sampler.draw(config.steps + 1, LINEAR_FIT_FRAMES)[0])
    trainer = Trainer(
        tokenizer,
        lambda batch, generator: tokenizer_loss(tokenizer, loss, batch[0], batch[1], generator),
        lambda step: sampler.draw(step, config.batch),
        config,
        folder,
    )
    trainer.run("tokenizer", progress=progress)
    with torch.no_grad():
        pixels, valid = sampler.draw(config.steps, 64)
        tokenizer.measure_importance(tokenizer.encode_pixels(pixels, valid))
    return trainer


def train_motion(
    model: WorldModel, prepared: PreparedStore, config: TrainConfig, folder: Path, progress: bool = True
) -> Trainer:
    """Learn where actions take the camera, from all prepared frames at once (they are a few numbers each)."""
    head = model.motion
    assert head is not None
    names = ("action", "next_action", "motion", "scan") + (("latents",) if head.config.look else ())
    rows: dict[str, list[Tensor]] = {}
    for index in prepared.indices():
        read = prepared.read(index, names)
        now = slice(1, -1)
        rows.setdefault("action", []).append(read["next_action"][now])
        rows.setdefault("previous_action", []).append(read["action"][now])
        rows.setdefault("previous", []).append(read["motion"][now])
        rows.setdefault("target", []).append(read["motion"][2:])
        if head.config.scan:
            rows.setdefault("scan", []).append(read["scan"][now])
        if head.config.look:
            rows.setdefault("latents", []).append(read["latents"][now].float())
    data = {n: torch.cat(parts) for n, parts in rows.items()}
    typical = data["target"].std(0)
    head.scale.copy_(torch.where(typical > 1e-3, typical, 1.0))

    def batch(step: int) -> dict[str, Tensor]:
        picked = torch.from_numpy(np.random.default_rng((config.seed, step)).integers(len(data["target"]), size=config.batch))
        return {n: x[picked] for n, x in data.items()}

    def loss(b: dict[str, Tensor], _: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        predicted = head(b["action"], b["previous_action"], b["previous"], b.get("scan"), b.get("latents"))
        error = (predicted - b["target"]) / head.scale
        return torch.nn.functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.02), {
            "shift": float(error.detach().mul(head.scale)[:, :3].norm(dim=-1).mean())
        }

    trainer = Trainer(head, loss, batch, config, folder)
    trainer.run("motion", progress=progress)
    return trainer


WINDOW_NAMES = ("latents", "past", "action", "started", "motion", "condition", "reward", "ended")


class WindowSampler:
    """Random windows of prepared episodes, decided by (seed, step) alone."""

    def __init__(self, stores: list[PreparedStore], window: int, seed: int):
        """With several stores, windows are drawn from each in turn."""
        self.stores, self.window, self.seed = stores, window, seed
        self.index = [[(i, n) for i in s.indices() if (n := s.length(i)) >= window] for s in stores]
        for store, found in zip(stores, self.index):
            if not found:
                raise ZoetropeError(f"{store.folder}: no prepared episode of at least {window} frames")

    def draw(self, step: int, count: int, names: tuple[str, ...]) -> tuple[dict[str, Tensor], list[int]]:
        """`count` windows (B, T, ...) of the named tensors that exist in all, and the episode of each."""
        rng = np.random.default_rng((self.seed, step))
        read, where = [], []
        for row in range(count):
            which = row % len(self.stores)
            index, length = self.index[which][rng.integers(len(self.index[which]))]
            start = int(rng.integers(length - self.window + 1))
            found = self.stores[which].read(index, names, start, self.window)
            if "past" in names and "past" not in found:
                found["past"] = found["latents"]
            read.append(found)
            where.append(index)
        shared = set(read[0]).intersection(*read[1:])
        return {n: torch.stack([r[n] for r in read]) for n in names if n in shared}, where


def window_inputs(model: WorldModel, batch: dict[str, Tensor]) -> Inputs:
    """Clean windows as the backbone's inputs."""
    latents = batch["latents"].float()
    b, t = latents.shape[:2]
    condition = batch["condition"].float() if "condition" in batch else None
    motion = None if model.motion is None else batch["motion"] / model.motion.scale
    return Inputs(latents, torch.ones(b, t), torch.zeros(b, t), batch["action"], batch["started"], motion, condition)


def window_loss(
    model: WorldModel, flow: FlowConfig, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """The world model's loss of a batch of windows."""
    inputs = window_inputs(model, batch)
    shown = None if inputs.condition is None else inputs.condition[:, :, :, model.config.tokenizer.channels]
    past = batch["past"].float() if "past" in batch else inputs.latents
    return flow_loss(
        model.backbone,
        flow,
        inputs,
        past,
        batch.get("reward"),
        batch.get("ended"),
        shown,
        model.tokenizer.importance,
        generator,
    )


def train_dynamics(
    model: WorldModel,
    stores: list[PreparedStore],
    flow: FlowConfig,
    window: int,
    config: TrainConfig,
    folder: Path,
    name: str = "dynamics",
    progress: bool = True,
) -> Trainer:
    """Train the backbone on prepared windows."""
    sampler = WindowSampler(stores, window, config.seed)
    trainer = Trainer(
        model.backbone,
        lambda batch, generator: window_loss(model, flow, batch, generator),
        lambda step: sampler.draw(step, config.batch, WINDOW_NAMES)[0],
        config,
        folder,
    )
    trainer.run(name, progress=progress)
    return trainer


BLEND_WINDOW = 5
"""Frames that the backbone sees when its guesses are made for the blend to learn on; the last one is guessed."""


def train_blend(
    model: WorldModel,
    stores: list[PreparedStore],
    frames: EpisodeStore,
    near: float,
    config: TrainConfig,
    folder: Path,
    progress: bool = True,
) -> Trainer:
    """Learn which remembered pixels to trust, on the backbone's own one-step guesses."""
    blend = model.blend
    assert blend is not None
    sampler = WindowSampler(stores, BLEND_WINDOW, config.seed)
    layout = model.backbone.layout(torch.arange(BLEND_WINDOW))

    def batch(step: int) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        read, indices = sampler.draw(step, config.batch, (*WINDOW_NAMES, *RENDERING, "number"))
        last = [frames.read(index, int(number), 1) for index, number in zip(indices, read["number"][:, -1])]
        depth = [e.depth.astype(np.float32) for e in last if e.depth is not None]
        return read, torch.from_numpy(np.concatenate([e.frames for e in last])), torch.from_numpy(np.concatenate(depth))

    def loss(b: tuple[dict[str, Tensor], Tensor, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        read, seen, depth = b
        inputs = window_inputs(model, read)
        with torch.no_grad():
            latents = read["past"].float().clone()
            latents[:, -1] = torch.randn(latents[:, -1].shape, generator=generator)
            signal = torch.ones(latents.shape[:2])
            signal[:, -1] = 0
            stride = torch.full(latents.shape[:2], BASE_STRIDE)
            stride[:, -1] = 1
            guess = model.backbone(replace(inputs, latents=latents, signal=signal, stride=stride), layout).clean[:, -1]
        rendering = unpack_rendering({n: read[n][:, -1].flatten(0, 1) for n in RENDERING})
        with torch.no_grad():
            decoded = model.tokenizer.decode_pixels(guess.flatten(0, 1))[:, 0]
            target, _ = model.tokenizer.pack(seen.flatten(0, 1), depth.flatten(0, 1))
        colour, far, valid, coarseness = rendering
        disparity = (near / far.clamp(min=1e-3)).clamp(0, 1)
        shown = blend(decoded, colour, disparity[:, None], valid[:, None], coarseness[:, None])
        squared = (shown[:, :3] - target[:, :3]).square().mean()
        difference = (shown - target).abs()
        value = (
            squared
            + 0.5 * difference[:, :3].mean()
            + 0.5 * edge_error(shown[:, :3], target[:, :3], 2)
            + 2 * difference[:, 3].mean()
        )
        alone = (decoded[:, :3] - target[:, :3]).square().mean()
        db = lambda x: float(10 * torch.log10(4 / x.detach()))  # noqa: E731
        return value, {"psnr": db(squared), "decoded": db(alone), "rendered": db((colour - target[:, :3]).square().mean())}

    trainer = Trainer(blend, loss, batch, config, folder)
    trainer.run("blend", progress=progress)
    return trainer
