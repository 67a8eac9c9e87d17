"""What generated scenes are worth as training data: detectors trained on them, tested on source pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.episodes.store import EpisodeStore
from core.evaluation.intervals import figure
from core.training.trainer import TrainConfig
from driving.evaluation.scores import LOOK_EVERY
from driving.gate.boxes import CLASSES, CONDITION, DETECTION_CLASSES, Boxes
from driving.gate.detector import Detector, DetectorConfig
from driving.gate.score import Precision, find, precision
from driving.gate.train import StoreSampler, train

TRAINING = TrainConfig(steps=900, batch=2, learning_rate=2e-3)
"""Of each detector; `batch` is rigs of pictures."""
FEW = 2
"""Scenes of a rare class that the source gives."""


def trained(parts: Sequence[tuple[EpisodeStore, Sequence[int]]], folder: Path, progress: bool = True) -> Detector:
    """A detector of these scenes, batches drawn from each part in turn."""
    samplers = [StoreSampler(store, list(indices), TRAINING.batch, seed=n) for n, (store, indices) in enumerate(parts)]
    return train(DetectorConfig(), lambda step: samplers[step % len(samplers)](step), TRAINING, folder, progress)


def tested(detector: Detector, store: EpisodeStore, indices: Sequence[int]) -> Precision:
    """Its average precision on these scenes of the source."""
    return precision([find(detector, store.read(i), LOOK_EVERY) for i in indices])


def generated_over_source(
    source: EpisodeStore,
    generated: EpisodeStore,
    train_on: Sequence[int],
    test: EpisodeStore,
    test_on: Sequence[int],
    folder: Path,
    progress: bool = True,
) -> dict:
    """AP of a detector of generated scenes alone over that of one of the same scenes of the source."""
    kinds = [CLASSES.index(name) for name in DETECTION_CLASSES]
    ours = tested(trained([(generated, train_on)], folder / "generated", progress), test, test_on)
    theirs = tested(trained([(source, train_on)], folder / "source", progress), test, test_on)
    return {
        "detector_ap_generated": figure(ours.of(kinds)),
        "detector_ap_source": figure(theirs.of(kinds)),
        "detector_ap_generated_over_source": figure(ours.over(theirs, kinds)),
    }


def has(store: EpisodeStore, index: int, kind: int) -> bool:
    """Whether a body of this class is ever in a scene's pictures."""
    rows = store.read(index).conditions[CONDITION]
    boxes = Boxes.read(rows)
    return bool((boxes.present & (boxes.kind == kind) & (rows[..., -1] > 0)).any())


def rare_class(
    name: str,
    source: EpisodeStore,
    generated: EpisodeStore,
    train_on: Sequence[int],
    test: EpisodeStore,
    test_on: Sequence[int],
    folder: Path,
    progress: bool = True,
) -> dict:
    """AP points that generated scenes add for a class of which the source has FEW scenes only."""
    kind = CLASSES.index(name)
    showing = [i for i in train_on if has(source, i, kind)]
    few = [i for i in train_on if i not in showing] + showing[:FEW]
    alone = tested(trained([(source, few)], folder / "few", progress), test, test_on).of([kind])
    both = tested(trained([(source, few), (generated, showing)], folder / "few-and-generated", progress), test, test_on).of(
        [kind]
    )
    gain = None if alone is None or both is None else 100 * (both.value - alone.value)
    return {
        "rare_class": name,
        "rare_class_ap_source": figure(alone),
        "rare_class_ap_with_generated": figure(both),
        "rare_class_ap_gain": {"value": gain, "n": int(np.size(test_on)), "scenes_in_source": FEW, "scenes": len(showing)},
    }
