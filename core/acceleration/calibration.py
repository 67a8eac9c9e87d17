"""Calibration without data: what the world's own dreams put through its layers.

A dream begins from nothing, before a camera that is made up, and takes random actions; so any world can be calibrated with no
recording at hand (data-free quantization, ViDiT-Q, arXiv 2406.02540, calibrates on generations too). A world that goes on from
a measured state dreams from a grey frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core import weights
from core.episodes.episode import FACTS, Episode
from core.errors import ZoetropeError
from core.files import atomic_path
from core.memory.sketch import SKETCH, SKETCH_DEPTH
from core.streaming.world import World

DREAM_FRAMES, DREAM_SEED = 24, 0
"""Length of the dream that a world is calibrated on, and what its actions and noise are drawn from."""
GREY = 127
FIELD = 0.5
"""Focal length of the made-up camera, in picture widths: a view of 90 degrees."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The greatest magnitude of each input channel of each layer, by the layer's name in the world's model."""

    peaks: dict[str, Tensor]
    """float32 (channels,) each."""

    def save(self, path: Path) -> None:
        """Write it as a safetensors file, atomically."""
        with atomic_path(path) as temporary:
            save_file(self.peaks, temporary, {"format": FORMAT})

    @staticmethod
    def load(path: Path) -> Calibration:
        """Raises ZoetropeError for a file that is missing, damaged or something else."""
        peaks, header = weights.read(path, "no such calibration file")
        if header.get("format") != FORMAT or any(p.ndim != 1 or not (p >= 0).all() for p in peaks.values()):
            raise ZoetropeError(f"{path}: not a calibration file; write one with core.acceleration.calibration.calibrate")
        return Calibration(peaks)

    def of(self, name: str, layer: nn.Linear) -> Tensor:
        """Of one layer. Raises ZoetropeError where it is another architecture's."""
        found = self.peaks.get(name)
        if found is None or len(found) != layer.in_features:
            raise ZoetropeError(f"calibration: made for another architecture than this world's ('{name}' does not fit)")
        return found


FORMAT = "zoetrope-calibration-1"


def calibrate(world: World, layers: dict[str, nn.Linear], contexts: Sequence[Episode] = ()) -> Calibration:
    """Watch these layers of the world while it dreams: from each of `contexts`, or from nothing where there are none."""
    peaks = {name: torch.zeros(layer.in_features, device=layer.weight.device) for name, layer in layers.items()}

    def watch(name: str):  # noqa: ANN202
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            torch.maximum(peaks[name], inputs[0].detach().abs().flatten(0, -2).amax(0), out=peaks[name])

        return hook

    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    try:
        with torch.inference_mode():
            for context in contexts or (nothing(world),):
                dream(world, context, DREAM_FRAMES, DREAM_SEED)
    finally:
        for handle in handles:
            handle.remove()
    return Calibration({name: peak.cpu() for name, peak in peaks.items()})


def dream(world: World, context: Episode, frames: int, seed: int) -> None:
    """Imagine `frames` frames after random actions, from a context; of a context of one frame only the cameras count."""
    config, rng = world.config, np.random.default_rng(seed)
    blank = len(context) == 1 and not config.state
    session = world.open(context, seed=seed, blank=blank)
    for number in range(frames):
        discrete = config.action.kind == "discrete"
        action = int(rng.integers(config.action.size)) if discrete else rng.standard_normal(config.action.size, np.float32)
        stands = None if context.pose is None or not blank or number else context.pose[0]  # no frame yet to move on from
        session.step(action, stands)
    session.ring.tokens  # noqa: B018 - waits until the last frame is in memory


def nothing(world: World) -> Episode:
    """One grey frame of a made-up rig that stands at the origin, with nothing told and every state zero."""
    config = world.config
    view = (1, config.cameras, config.height, config.width)
    f = FIELD * config.width
    intrinsics = np.array([[f, 0, config.width / 2], [0, f, config.height / 2], [0, 0, 1]], np.float32)
    known = {SKETCH: np.zeros((*view, 4), np.uint8), SKETCH_DEPTH: np.zeros(view, np.float16)}
    known[FACTS] = np.zeros((1, config.facts), np.float32)
    known |= {part.name: np.zeros((1, part.size), np.float32) for part in config.state}
    discrete = config.action.kind == "discrete"
    return Episode(
        frames=np.full((*view, 3), GREY, np.uint8),
        action=np.zeros(1, np.int64) if discrete else np.zeros((1, config.action.size), np.float32),
        pose=np.tile(np.eye(4, dtype=np.float32), (1, config.cameras, 1, 1)),
        intrinsics=np.tile(intrinsics, (config.cameras, 1, 1)),
        depth=None,
        conditions={name: known[name] for name in config.measured},
    )
