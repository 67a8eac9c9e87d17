"""Train a driving world, and the gate that judges what it shows: the detector, and limits calibrated on validation scenes."""

from __future__ import annotations

from pathlib import Path

import torch

from core.episodes.store import EpisodeStore
from core.streaming.model import WorldModel
from core.training import recipe
from core.training.trainer import TrainConfig
from driving.gate import calibrate
from driving.gate.detector import Detector, DetectorConfig
from driving.gate.train import StoreSampler
from driving.gate.train import train as train_network
from driving.worlds import DrivingConfig

DETECTOR, THRESHOLDS = "detector", "thresholds.yaml"
"""Where a gate's parts go, in its folder."""


def train_detector(training: TrainConfig, store: EpisodeStore, folder: Path, out: Path, progress: bool = True) -> Detector:
    """Train the detector on source scenes, `training.batch` rigs of pictures a step, and write it to `out`."""
    sampler = StoreSampler(store, store.indices(), rigs=training.batch, seed=training.seed)
    detector = train_network(DetectorConfig(), sampler, training, folder, progress)
    detector.save(out)
    return detector


def train(
    config: DrivingConfig, data: Path, run: Path, out: Path, progress: bool = True, device: torch.device | None = None
) -> WorldModel:
    """Train from `data`, keeping checkpoints in `run`; the world goes to `out`, its gate to `run`/gate."""
    gate = run / "gate"
    detector = train_detector(config.detector, EpisodeStore(data / "train"), run / DETECTOR, gate / DETECTOR, progress)
    scenes = list(EpisodeStore(data / "validation"))
    calibrate.save(calibrate.calibrate(detector, scenes, progress), gate / THRESHOLDS)
    return recipe.train(config.world, config.train, EpisodeStore(data / "train"), run, out, progress=progress, device=device)
