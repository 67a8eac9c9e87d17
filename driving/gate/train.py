"""Training the detector on recorded episodes that carry boxes: what a batch is, what is asked of the network.

Pictures are mirrored, zoomed into (a camera of another focal length), and changed a little in light, contrast, grain and focus,
so that what is learnt is the bodies' look and not the renderer's exact values. Bodies too small or too hidden to demand
(`Sight.demanded`) are neither asked for nor punished.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.episodes.store import EpisodeStore
from core.errors import ZoetropeError
from core.training.trainer import TrainConfig, Trainer
from driving.gate.boxes import CLASSES, CONDITION, Sight, episode_sight
from driving.gate.detector import DEPTH, GEOMETRY, MIDDLE, OFFSET, SIZE, STRIDE, Detector, DetectorConfig

GEOMETRY_WEIGHT = (0.3, 1.0, 0.5, 0.1)
"""Of size, offset, depth and 3D centre beside the heat map's loss."""
ZOOM = (0.85, 1.35)
"""Range of focal length factors seen in training."""


@dataclass(frozen=True, slots=True)
class Batch:
    """B pictures and what is to be found in them."""

    pictures: Tensor
    """uint8 (B, 3, H, W)."""
    heat: Tensor
    """float32 (B, C, h, w): 1 at centres, a Gaussian around them."""
    weight: Tensor
    """float32 (B, 1, h, w): 0 where nothing is asked."""
    geometry: Tensor
    """float32 (B, 7, h, w)."""
    known: Tensor
    """float32 (B, 7, h, w): 1 at centres, where the geometry is known."""


class StoreSampler:
    """Batches from recorded episodes: whole rigs of random frames. Depends on seed and step alone."""

    def __init__(self, store: EpisodeStore, indices: list[int], rigs: int, seed: int = 0, augment: bool = True):
        if not indices:
            raise ZoetropeError(f"{store.folder}: no episodes to train the detector on; record some")
        self.store, self.indices, self.rigs, self.seed, self.augment = store, indices, rigs, seed, augment
        self._lengths = {index: store.length(index) for index in indices}

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, step))
        parts = [self._rig(rng) for _ in range(self.rigs)]
        return Batch(*(torch.cat(column) for column in zip(*parts)))

    def _rig(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        index = self.indices[rng.integers(len(self.indices))]
        episode = self.store.read(index, int(rng.integers(self._lengths[index])), 1)
        if CONDITION not in episode.conditions or episode.pose is None or episode.intrinsics is None:
            raise ZoetropeError(f"{self.store.path(index)}: no boxes, poses or intrinsics; record with driving's recorder")
        frames, k, depth = episode.frames[0], episode.intrinsics.copy(), episode.depth
        height, width = frames.shape[1:3]
        if self.augment:
            frames, depth, k = _zoom(frames, None if depth is None else depth[0], k, rng)
            depth = None if depth is None else depth[None]
        rows = episode.conditions[CONDITION]
        boxes, sight, visible = episode_sight(rows, episode.pose, k, depth, (width, height))
        flip = bool(self.augment and rng.random() < 0.5)
        if flip:
            frames = frames[:, :, ::-1]
        if self.augment:
            frames = _disturb(frames, rng)
        pictures = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
        return pictures, *targets(boxes.kind[0], sight[0], visible[0], k[:, 0, 0], (width, height), flip)


def targets(
    kind: np.ndarray, sight: Sight, visible: np.ndarray, focal: np.ndarray, size: tuple[int, int], flip: bool = False
) -> tuple[Tensor, ...]:
    """Heat, weight, geometry and known (see Batch) of V pictures, from bodies (N,) and their Sight (V, N).

    `flip` mirrors them. A body's Gaussian has a sixth of its rectangle's sides as deviation, at least half a cell.
    """
    width, height = size
    cameras, h, w = len(focal), -(-height // STRIDE), -(-width // STRIDE)
    heat = np.zeros((cameras, len(CLASSES), h, w), np.float32)
    weight = np.ones((cameras, 1, h, w), np.float32)
    geometry, known = np.zeros((2, cameras, GEOMETRY, h, w), np.float32)
    demanded = sight.demanded(visible)
    x, y = np.arange(w)[None, :], np.arange(h)[:, None]
    for v, n in zip(*np.nonzero(sight.shown)):
        x0, y0, x1, y1 = sight.box[v, n]
        middle = sight.middle[v, n].copy()
        if flip:
            x0, x1, middle[0] = width - x1, width - x0, width - middle[0]
        if not demanded[v, n]:
            at = np.s_[int(y0) // STRIDE : -int(-y1 // STRIDE), int(x0) // STRIDE : -int(-x1 // STRIDE)]
            weight[v, 0][at] = 0
            continue
        sides = np.maximum((x1 - x0, y1 - y0), 1.0) / STRIDE
        centre = np.array([x0 + x1, y0 + y1]) / 2 / STRIDE
        column, row = np.minimum(centre.astype(int), (w - 1, h - 1))
        deviation = np.maximum(sides / 6, 0.5)
        blob = np.exp(-(((x - column) / deviation[0]) ** 2 + ((y - row) / deviation[1]) ** 2) / 2)
        np.maximum(heat[v, kind[n]], blob, out=heat[v, kind[n]])
        if known[v, 0, row, column] and geometry[v, DEPTH, row, column] < np.log(sight.depth[v, n] / focal[v]):
            continue  # the nearer of two at one place
        cell = geometry[v, :, row, column]
        cell[SIZE], cell[OFFSET] = np.log(sides), centre - (column, row)
        known[v, : DEPTH.stop, row, column] = 1
        with np.errstate(all="ignore"):
            cell[DEPTH] = np.log(sight.depth[v, n] / focal[v])
        if not np.isfinite(cell[DEPTH]).all() or not np.isfinite(middle).all():  # its centre is behind the camera
            known[v, DEPTH, row, column] = 0
            cell[DEPTH] = cell[MIDDLE] = 0
            continue
        cell[MIDDLE] = np.clip(middle / STRIDE - centre, -2 * w, 2 * w)
        known[v, MIDDLE, row, column] = 1
    peaks = (heat == 1).any(1, keepdims=True)
    weight = np.where(peaks, 1, weight)
    return tuple(torch.from_numpy(a) for a in (heat, weight, geometry, known))


def _zoom(frames: np.ndarray, depth: np.ndarray | None, k: np.ndarray, rng: np.random.Generator):  # noqa: ANN202
    """Each picture as a camera of another focal length would have taken it: frames, depth, intrinsics."""
    frames, k, out = frames.copy(), k.copy(), None if depth is None else depth.astype(np.float32)
    height, width = frames.shape[1:3]
    for v in range(len(frames)):
        factor = np.exp(rng.uniform(*np.log(ZOOM)))
        slide = rng.uniform(-0.5, 0.5, 2) * abs(factor - 1) * (width, height)
        change = np.array([[factor, 0, (1 - factor) * width / 2 + slide[0]], [0, factor, (1 - factor) * height / 2 + slide[1]]])
        shift = change.copy()
        shift[:, 2] += (factor - 1) / 2  # OpenCV's pixel centres are at integers, ours at halves
        edge = cv2.BORDER_REPLICATE
        frames[v] = cv2.warpAffine(frames[v], shift, (width, height), flags=cv2.INTER_LINEAR, borderMode=edge)
        if out is not None:
            out[v] = cv2.warpAffine(out[v], shift, (width, height), flags=cv2.INTER_NEAREST, borderMode=edge)
        k[v] = np.vstack([change, [0, 0, 1]]) @ k[v]
    return frames, out, k


def _disturb(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other light, contrast, grain and focus, alike for a rig's cameras."""
    x = frames.astype(np.float32)
    x = (x - 128) * rng.uniform(0.8, 1.2) + 128 + rng.uniform(-20, 20) + rng.uniform(-8, 8, 3)
    if rng.random() < 0.3:
        deviation = rng.uniform(0.3, 0.7)
        x = np.stack([cv2.GaussianBlur(p, (0, 0), deviation) for p in x])
    if rng.random() < 0.5:
        x += rng.standard_normal(x.shape, np.float32) * rng.uniform(1, 8)
    return np.clip(x, 0, 255).astype(np.uint8)


def loss(detector: Detector, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Penalty-reduced focal loss on the heat map (arXiv 1904.07850, equation 1) and L1 on the geometry at centres."""
    logits, geometry = detector(batch.pictures)
    positive = (batch.heat == 1).float()
    share = logits.sigmoid()
    hit = F.logsigmoid(logits) * (1 - share) ** 2 * positive
    miss = F.logsigmoid(-logits) * share**2 * (1 - batch.heat) ** 4 * (1 - positive)
    count = positive.sum().clamp(min=1)
    heat = -((hit + miss) * batch.weight).sum() / count
    error = (F.smooth_l1_loss(geometry, batch.geometry, reduction="none", beta=0.1) * batch.known).sum((0, 2, 3))
    error = error / batch.known.sum((0, 2, 3)).clamp(min=1)
    parts = [error[part].mean() for part in (SIZE, OFFSET, DEPTH, MIDDLE)]
    total = heat + sum(weight * part for weight, part in zip(GEOMETRY_WEIGHT, parts))
    return total, {"heat": float(heat.detach()), "size": float(parts[0].detach()), "depth": float(parts[2].detach())}


def train(
    config: DetectorConfig,
    make_batch: Callable[[int], Batch],
    training: TrainConfig,
    folder: Path,
    progress: bool = True,
) -> Detector:
    """Train a detector; cut off, it goes on from `folder`. `training.batch` is the maker's business."""
    torch.manual_seed(training.seed)
    detector = Detector(config)
    Trainer(detector, lambda batch, _: loss(detector, batch), make_batch, training, folder).run("detector", progress=progress)
    return detector.eval()
