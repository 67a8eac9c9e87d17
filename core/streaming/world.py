"""A world: trained networks, ready to open sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.streaming.imagination import Imagination
from core.streaming.model import WorldConfig, WorldModel
from core.streaming.session import Session

if TYPE_CHECKING:
    from core.acceleration.catalog import Entry
    from core.acceleration.stack import Stack


class World:
    """The networks of one world and where they came from."""

    def __init__(self, model: WorldModel, folder: Path | None = None):
        self.model = model.eval().requires_grad_(False)
        self.folder = folder
        self.imagination: Callable[[WorldModel, int], Imagination] = Imagination
        """What imagines in the sessions opened from now on."""
        for module in self.model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        self.stack: Stack | None = None
        """The accelerations that are on."""
        self._fingerprint: str | None = None
        self._background: ThreadPoolExecutor | None = None

    @staticmethod
    def load(folder: str | Path, accelerations: Sequence[Entry] | None = None) -> World:
        """Load trained weights and put on `accelerations` (`core.acceleration.catalog`); None: those that its YAML names."""
        world = World(WorldModel.load(Path(folder)), Path(folder))
        asked = world.config.accelerations if accelerations is None else accelerations
        if asked:
            from core.acceleration.catalog import accelerate

            accelerate(world, asked)
        return world

    def to(self, device: torch.device) -> World:
        """Move the networks there; sessions opened from now on live there too. Returns this world."""
        self.model.to(device)
        return self

    @property
    def config(self) -> WorldConfig:
        return self.model.config

    @property
    def background(self) -> ThreadPoolExecutor:
        """The one thread on which the second halves of all steps run, in the order in which they were asked for."""
        if self._background is None:
            self._background = ThreadPoolExecutor(1, "zoetrope")
        return self._background

    @property
    def fingerprint(self) -> str:
        """Identifies the exact weights."""
        if self._fingerprint is None:
            self._fingerprint = self.model.fingerprint()
        return self._fingerprint

    def open(self, context: Episode | Sequence[Episode], seed: int | Sequence[int] = 0, blank: bool = False) -> Session:
        """Start a session from a few real frames; from a list of equally long ones, a batch that steps as one.

        If `blank`, only the context's cameras are looked at, and the first step imagines the first frame.
        With one `seed` the sessions of a batch use seed, seed + 1, ...
        """
        contexts = [context] if isinstance(context, Episode) else list(context)
        if not contexts or len({len(c) for c in contexts}) != 1:
            raise ZoetropeError("open: a batch needs at least one context, and contexts of the same length")
        seeds = [seed + i for i in range(len(contexts))] if isinstance(seed, int) else list(seed)
        self._check(contexts[0], blank)
        session = Session(self, seeds, single=isinstance(context, Episode))
        session.begin(contexts, blank)
        return session

    @staticmethod
    def resume(path: str | Path, world: World | None = None) -> Session:
        """Go on with a saved session, bit for bit. Loads the world it was saved from unless one is given."""
        from core.streaming.save import read_session

        return read_session(Path(path), world)

    @torch.inference_mode()
    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """The tokenizer's ceiling: uint8 frames (N, V, H, W, 3), coded and decoded, no depth given."""
        seen = torch.from_numpy(np.ascontiguousarray(frames)).to(self.model.device)
        return self.model.tokenizer.decode(self.model.tokenizer.encode(seen[None]))[0][0].cpu().numpy()

    def loss(self, window: Episode, shuffled: bool, context: int = 16, stride: int = 4) -> float:
        """Mean squared error (of intensities in [0, 1]) of one-step predictions along a real episode.

        Frames before are real; every `stride`-th one after `context` is predicted. With `shuffled` the predictions get other
        actions of the same episode: a world that listens to its actions does worse.
        """
        order = np.arange(len(window))
        if shuffled:
            order[context - 1 :] = np.random.default_rng(len(window)).permutation(order[context - 1 :])
        session = self.open(window.window(0, context))
        pick = lambda values, t: None if values is None else values[t]  # noqa: E731
        errors = []
        for t in range(context, len(window)):
            if (t - context) % stride == 0:
                shown = session.fork().step(window.action[order[t - 1]]).frame
                errors.append(float(np.square((shown.astype(np.float32) - window.frames[t]) / 255).mean()))
            state = {part.name: window.conditions[part.name][t] for part in self.config.state}
            session.observe(window.frames[t], window.action[t - 1], pick(window.pose, t), pick(window.depth, t), state)
        return float(np.mean(errors))

    def _check(self, context: Episode, blank: bool) -> None:
        config = self.config
        found = context.frames.shape[1:4]
        if found != (config.cameras, config.height, config.width):
            raise ZoetropeError(
                f"open: world '{config.name}' has {config.cameras} camera(s) of {config.height}x{config.width}, "
                f"the context has {found[0]} of {found[1]}x{found[2]}"
            )
        if config.motion is not None and (context.pose is None or context.intrinsics is None):
            raise ZoetropeError(f"open: world '{config.name}' needs the pose and intrinsics of its context frames")
        if missing := [name for name in config.measured if name not in context.conditions]:
            raise ZoetropeError(f"open: world '{config.name}' needs '{missing[0]}' among its context's conditions")
        for part in config.state:
            if (found := context.conditions[part.name].shape[1:]) != (part.size,):
                raise ZoetropeError(
                    f"open: {part.name}: world '{config.name}' knows {part.size} numbers, the context has {found}"
                )
        if blank and config.state:
            raise ZoetropeError(f"open: world '{config.name}' goes on from a measured state; it cannot begin from nothing")
