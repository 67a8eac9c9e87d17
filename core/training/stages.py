"""The stages of a recipe. Each trains one part, keeps its checkpoint in a folder of its own, and can be cut off and resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backbone.attention import Layout
from core.backbone.transformer import Inputs
from core.diffusion.flow import BASE_STRIDE, FlowConfig, channel_weight, euler, flow_loss
from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.latents.autoencoder import Tokenizer
from core.latents.critic import Critic
from core.latents.objective import BlendLossConfig, TokenizerLossConfig, edge_error, tokenizer_loss
from core.memory.sketch import Sketch
from core.streaming.model import WorldModel
from core.training.prepare import RENDERING, PreparedStore, read_sketch, unpack_rendering
from core.training.trainer import CHECKPOINT, TrainConfig, Trainer, moved

LINEAR_FIT_FRAMES = 1500
"""Frames that the tokenizer's principal components are taken from."""
DRAFT_MEAN_WINDOWS = 200
"""Windows whose mean frame drafts are drawn upon."""


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
        where = next(tokenizer.parameters()).device
        tokenizer.fit_linear(sampler.draw(config.steps + 1, LINEAR_FIT_FRAMES)[0].to(where))
    trainer = Trainer(
        tokenizer,
        lambda batch, generator: tokenizer_loss(tokenizer, loss, batch[0], batch[1], generator),
        lambda step: sampler.draw(step, config.batch),
        config,
        folder,
    )
    trainer.run("tokenizer", progress=progress)
    with torch.no_grad():
        pixels, valid = moved(sampler.draw(config.steps, 64), trainer.device)
        tokenizer.measure_importance(tokenizer.encode_pixels(pixels, valid))
    return trainer


def train_motion(
    model: WorldModel, walks: PreparedStore, config: TrainConfig, folder: Path, progress: bool = True
) -> Trainer | None:
    """Learn where actions take the camera, from all walks at once (they are a few numbers a frame).

    None where nothing is ever in the way: free motion is fitted in closed form.
    """
    head = model.motion
    assert head is not None
    names = (
        "next_action",
        "motion",
        *(("scan", "heading") if head.config.scan else ()),
        *(("latents",) if head.config.look else ()),
    )
    rows: dict[str, list[Tensor]] = {}
    for index in walks.indices():
        read = walks.read(index, names)
        rows.setdefault("action", []).append(read["next_action"][1:-1])
        rows.setdefault("previous_action", []).append(read["next_action"][:-2])
        rows.setdefault("previous", []).append(read["motion"][1:-1])
        rows.setdefault("target", []).append(read["motion"][2:])
        for name in names[2:]:
            rows.setdefault(name, []).append(read[name][1:-1].float())
    data = {n: torch.cat(parts) for n, parts in rows.items()}
    # What stands in the way goes with some actions more than with others: free motion is learnt where nothing does.
    clear = head.touch.clear(data["scan"]) if head.touch is not None else torch.ones(len(data["target"]), dtype=torch.bool)
    head.fit_free(*(data[n][clear | ~clear.any()] for n in ("action", "previous_action", "previous", "target")))
    head.free.requires_grad_(False)
    if head.touch is None and head.network is None:
        return None
    if head.touch is not None:  # the rest is about what stands near
        head.fit_rest(*(data[n][clear] for n in ("action", "previous_action", "previous", "target", "heading")))
        head.touch.measure(data["scan"])
        near = head.near(data["action"], data["previous_action"], data["previous"], data["scan"], data["heading"])
        data = {n: x[near | ~near.any()] for n, x in data.items()}

    def batch(step: int) -> dict[str, Tensor]:
        picked = torch.from_numpy(np.random.default_rng((config.seed, step)).integers(len(data["target"]), size=config.batch))
        return {n: x[picked] for n, x in data.items()}

    def loss(b: dict[str, Tensor], _: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        predicted = head(b["action"], b["previous_action"], b["previous"], b.get("scan"), b.get("heading"), b.get("latents"))
        error = (predicted - b["target"]) / head.scale
        return F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.02), {
            "shift": float(error.detach().mul(head.scale)[:, :3].norm(dim=-1).mean())
        }

    trainer = Trainer(head, loss, batch, config, folder)
    trainer.run("motion", progress=progress)
    return trainer


def train_state(
    model: WorldModel, prepared: PreparedStore, config: TrainConfig, folder: Path, progress: bool = True
) -> Trainer:
    """Learn what a state becomes of itself, from all prepared transitions at once (they are a few numbers a frame)."""
    head = model.state
    assert head is not None
    read = [prepared.read(index, ("before", "action", "state", "started")) for index in prepared.indices()]
    data = {n: torch.cat([r[n][r["started"]] for r in read]) for n in ("before", "action", "state")}
    data["change"] = head.changed(data["before"], data.pop("state"))

    def batch(step: int) -> dict[str, Tensor]:
        picked = np.random.default_rng((config.seed, step)).integers(len(data["change"]), size=config.batch)
        return {n: x[torch.from_numpy(picked)] for n, x in data.items()}

    def loss(b: dict[str, Tensor], _: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        return F.smooth_l1_loss(head.foreseen(b["before"], b["action"]), b["change"]), {}

    trainer = Trainer(head.network, loss, batch, config, folder)
    trainer.run("state", progress=progress)
    return trainer


def train_draft(
    model: WorldModel, prepared: PreparedStore, window: int, config: TrainConfig, folder: Path, progress: bool = True
) -> Trainer:
    """Learn what states look like, from the prepared frames of random windows."""
    draft, units = model.draft, model.state
    assert draft is not None and units is not None
    sampler, names = WindowSampler([prepared], window, config.seed), ("latents", "state")
    some = sampler.draw(config.steps, DRAFT_MEAN_WINDOWS, names)[0]["latents"]
    draft.typical.copy_(some.flatten(0, 1).float().mean(0))
    weight = channel_weight(model.tokenizer.importance)

    def loss(b: dict[str, Tensor], _: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        return ((draft(units.told(b["state"])) - b["latents"].float()).square() * weight).mean(), {}

    trainer = Trainer(draft.network, loss, lambda step: sampler.draw(step, config.batch, names)[0], config, folder)
    trainer.run("draft", progress=progress)
    return trainer


WINDOW_NAMES = ("latents", "past", "action", "started", "motion", "condition", "facts", "before", "state", "reward", "ended")


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
    action, started = batch["action"], batch["started"]
    condition = model.with_draft(condition, batch.get("before"), action, started)
    before = None if model.state is None else model.state.told(batch["before"])
    levels = latents.new_ones(b, t), latents.new_zeros(b, t)
    return Inputs(latents, *levels, action, started, motion, condition, batch.get("facts"), before)


def disturbed(before: Tensor, change: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """States (B, T, S) as a session would have predicted them: off by up to `most` typical changes (S,).

    Half of it is the same for all frames of a window, as drift is: only its pictures show that something is wrong.
    """
    b, t, s = before.shape
    draw = lambda *size: torch.randn(*size, generator=generator).to(before.device)  # noqa: E731
    amount = most * torch.rand(b, 1, 1, generator=generator).to(before.device)
    return before + change * amount * (draw(b, 1, s) + draw(b, t, s)) / 2


def faded(before: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Frames before (B, T, ...) with up to `most` noise, as a session would have imagined them: never quite right."""
    amount = (most * torch.rand(before.shape[:2], generator=generator)).view(*before.shape[:2], *[1] * (before.ndim - 2))
    return before + amount.to(before.device) * torch.randn(before.shape, generator=generator).to(before.device)


def window_loss(
    model: WorldModel, flow: FlowConfig, batch: dict[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """The world model's loss of a batch of windows."""
    changes = None
    if model.state is not None:
        batch = batch | {"before": disturbed(batch["before"], model.state.change, flow.state_noise, generator)}
        changes = model.state.wanted(batch["before"], batch["action"], batch["state"])
    if model.config.still:
        batch = batch | {"condition": faded(batch["condition"].float(), flow.still_noise, generator)}
    inputs = window_inputs(model, batch)
    shown = (
        None
        if inputs.condition is None or model.config.spatial is None
        else inputs.condition[:, :, :, model.config.tokenizer.channels]
    )
    past = batch["past"].float() if "past" in batch else inputs.latents
    return flow_loss(
        model.backbone,
        flow,
        inputs,
        past,
        batch.get("reward"),
        batch.get("ended"),
        changes,
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


HOLE_MARGIN = 9
"""Pixels around a hole that the critic looks at too: the seam must not show."""


def train_blend(
    model: WorldModel,
    stores: list[PreparedStore],
    frames: EpisodeStore,
    weights: BlendLossConfig,
    config: TrainConfig,
    folder: Path,
    name: str = "blend",
    backbone: bool = False,
    progress: bool = True,
    window: int = 5,
) -> Trainer:
    """Learn which remembered pixels to trust and how imagined ones should look, on the backbone's own guesses.

    With `backbone` it learns along: what it guesses in one or two steps has to pass before the critic too (adversarial
    diffusion distillation, arXiv 2311.17042). Of `window` frames the last one is guessed.
    """
    blend = model.blend
    assert blend is not None
    critic = Critic(channels=3 + 4 + 4 * model.config.sketch).to(model.device)
    sampler = WindowSampler(stores, window, config.seed)
    layout = model.backbone.layout(torch.arange(window))

    def batch(step: int) -> tuple[dict[str, Tensor], Tensor, Tensor, Sketch | None]:
        read, indices = sampler.draw(step, config.batch, (*WINDOW_NAMES, *RENDERING, "number", "tint", "told"))
        last = [frames.read(index, int(number), 1) for index, number in zip(indices, read["number"][:, -1])]
        depth = [e.depth.astype(np.float32) for e in last if e.depth is not None]
        sketch = _sketches(last, read["tint"][:, -1], read["told"][:, -1]) if "tint" in read else None
        return read, torch.from_numpy(np.concatenate([e.frames for e in last])), torch.from_numpy(np.concatenate(depth)), sketch

    def loss(
        b: tuple[dict[str, Tensor], Tensor, Tensor, Sketch | None], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        read, seen, depth, sketch = b
        rendering = unpack_rendering({n: read[n][:, -1].flatten(0, 1) for n in RENDERING})
        colour, valid = rendering[0], rendering[2][:, None]
        with torch.set_grad_enabled(backbone):
            guess = last_frame_guess(model, read, layout, generator)
            decoded = model.tokenizer.decode_pixels(guess.flatten(0, 1))[:, 0]
        with torch.no_grad():
            target, _ = model.tokenizer.pack(seen.flatten(0, 1), depth.flatten(0, 1))
        shown = blend(decoded, rendering, sketch)
        weight = 1 if sketch is None else 1 + weights.moving * sketch.moving[:, None]
        squared = (shown[:, :3] - target[:, :3]).square().mean()
        difference = (shown - target).abs() * weight
        value = (
            (weight * (shown[:, :3] - target[:, :3]).square()).mean()
            + weights.absolute * difference[:, :3].mean()
            + weights.edges * edge_error(shown[:, :3], target[:, :3], 2)
            + weights.disparity * difference[:, 3].mean()
        )
        hole = F.max_pool2d(1 - valid, 2 * HOLE_MARGIN + 1, 1, HOLE_MARGIN)
        beside = torch.cat([colour * valid, valid], 1)
        if sketch is not None:
            beside = torch.cat([beside, sketch.colour, sketch.moving[:, None]], 1)
        wanted, own = critic.losses(shown[:, :3], target[:, :3], beside, hole)
        db = lambda x: float(10 * torch.log10(4 / x.detach()))  # noqa: E731
        figures = {
            "psnr": db(squared),
            "decoded": db((decoded[:, :3] - target[:, :3]).square().mean()),
            "rendered": db((colour - target[:, :3]).square().mean()),
            "critic": float(own.detach()),
            "energy": _energy_share(shown[:, :3], target[:, :3], hole),
        }
        return value + weights.adversarial * wanted + own, figures

    parts: dict[str, nn.Module] = {"blend": blend, "critic": critic}
    if backbone:
        parts["backbone"] = model.backbone
    trainer = Trainer(nn.ModuleDict(parts), loss, batch, config, folder)
    trainer.run(name, progress=progress)
    return trainer


def _sketches(frames: list[Episode], tint: Tensor, told: Tensor) -> Sketch:
    """Of single frames, in the light (N, 4, 3) that they were seen in, and blank where nothing was told (N,): N V views."""
    drawn = [read_sketch(frame, 0).tinted(light) for frame, light in zip(frames, tint)]
    drawn = [sketch if known else sketch.blank() for sketch, known in zip(drawn, told)]
    join = lambda name: torch.cat([getattr(sketch, name) for sketch in drawn])  # noqa: E731
    return Sketch(join("colour"), join("depth"), join("moving"), join("told"))


GUESS_STEPS = (1, 1, 1, 2)
"""Denoising steps in which the blend's guesses are made, drawn anew for every batch."""


def last_frame_guess(model: WorldModel, read: dict[str, Tensor], layout: Layout, generator: torch.Generator) -> Tensor:
    """The last frame of prepared windows, imagined in few steps from the frames before: latents (B, V, C, h, w)."""
    inputs = window_inputs(model, read)
    past, last = read["past"].float(), inputs.latents[:, -1]
    steps = GUESS_STEPS[int(torch.randint(len(GUESS_STEPS), (1,), generator=generator))]

    def predict(x: Tensor, signal: Tensor, stride: Tensor) -> Tensor:
        ones = x.new_ones(len(x), past.shape[1] - 1)
        asked = replace(
            inputs,
            latents=torch.cat([past[:, :-1], x[:, None]], 1),
            signal=torch.cat([ones, signal[:, None]], 1),
            stride=torch.cat([ones * BASE_STRIDE, stride[:, None]], 1),
        )
        return model.backbone(asked, layout).clean[:, -1]

    return euler(predict, torch.randn(last.shape, generator=generator).to(last.device), steps)


def _energy_share(shown: Tensor, target: Tensor, where: Tensor) -> float:
    """Gradient energy of one picture over another's, where a mask (N, 1, H, W) says."""
    energy = lambda x: float((x.detach().diff(dim=-1).square() * where[..., 1:]).sum())  # noqa: E731
    return energy(shown) / max(energy(target), 1e-9)
