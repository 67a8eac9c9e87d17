"""Training a policy on demonstrations: one independent run, which can be cut off, and a line of where it comes from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import yaml

from core.config import load_yaml, to_dict
from core.errors import ZoetropeError
from core.files import write_text
from core.heap import keep_freed_memory
from core.training.trainer import TrainConfig, Trainer
from robotics.cloning.lessons import LessonSampler
from robotics.cloning.network import NAME, Design, Network, NetworkConfig
from robotics.lerobot.demonstration import Demonstration

ORIGIN = "origin.yaml"
"""The file that says what a policy was trained on."""
TRAINING = "training"
"""Folder of what an unfinished training goes on from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CloneConfig:
    """How a policy is trained. The defaults take a minute or two of one CPU core, however many demonstrations there are."""

    design: Design = field(default_factory=Design)
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=1500, batch=32, learning_rate=5e-3, decay=0.7, average=0.98)
    )
    """Its `seed` is the run's."""
    shift: int = 2
    """Pixels by which pictures are moved at random, at most."""
    generated_share: float = 0.5
    """Share of a batch that is drawn from generated demonstrations, where there are recorded ones too."""

    def __post_init__(self) -> None:
        if self.shift < 0 or not 0 <= self.generated_share <= 1:
            raise ZoetropeError("clone config: shift must not be negative, generated_share must lie in 0 to 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a policy comes from."""

    instruction: str
    """What the demonstrations show, in words."""
    demonstrations: int
    """Recorded ones."""
    generated: int
    """Generated ones beside them."""
    data: str
    """Fingerprint of all of them."""
    config: CloneConfig

    @property
    def training_run(self) -> str:
        """A name for the training: two policies share it if and only if they come from the same one."""
        return hashlib.sha256(json.dumps(to_dict(self), sort_keys=True).encode()).hexdigest()[:12]

    def save(self, folder: Path) -> None:
        write_text(folder / ORIGIN, yaml.safe_dump(to_dict(self), sort_keys=False))

    @staticmethod
    def load(folder: Path) -> Origin:
        """Read it. Raises ZoetropeError where there is none."""
        return load_yaml(Origin, folder / ORIGIN)


def train(
    recorded: Sequence[Demonstration],
    seed: int,
    out: Path,
    config: CloneConfig | None = None,
    generated: Sequence[Demonstration] = (),
    progress: bool = True,
) -> Network:
    """Train a policy, write it into `out` and read it back. Cut off, it goes on; finished, it is only read.

    Actions count by their confidence. The seed decides the first weights and every batch. Raises ZoetropeError where the
    demonstrations do not fit together, or `out` holds another training.
    """
    config = config or CloneConfig()
    config = replace(config, train=replace(config.train, seed=seed))
    sizes = _sizes([*recorded, *generated])
    origin = _origin(recorded, generated, config)
    if (out / ORIGIN).exists() and Origin.load(out) != origin:
        raise ZoetropeError(f"{out}: holds a policy of another training; name another folder, or delete this one")
    if (out / f"{NAME}.safetensors").exists():
        return Network.load(out)
    origin.save(out)
    keep_freed_memory(shared=True)
    torch.manual_seed(seed)
    network = Network(replace(sizes, design=config.design))
    sampler = LessonSampler(
        recorded,
        generated,
        chunk=config.design.chunk,
        generated_share=config.generated_share,
        shift=config.shift,
        seed=seed,
    )
    network.see_in(torch.from_numpy(sampler.proprioception))
    trainer = Trainer(
        network,
        lambda batch, generator: network.loss(*batch),
        lambda step: sampler.draw(step, config.train.batch),
        config.train,
        out / TRAINING,
    )
    trainer.run("policy", progress=progress)
    network.save(out)
    shutil.rmtree(out / TRAINING, ignore_errors=True)
    return Network.load(out)


def _sizes(demonstrations: Sequence[Demonstration]) -> NetworkConfig:
    """What a policy of these demonstrations reads and gives."""
    if not demonstrations:
        raise ZoetropeError("clone: no demonstrations")
    found = {(*d.episode.frames.shape[1:4], d.state.shape[1], *d.episode.action.shape[1:]) for d in demonstrations}
    sizes = sorted(found)
    if len(sizes) > 1 or len(sizes[0]) != 5:
        told = " and ".join(map(str, sizes))
        raise ZoetropeError(f"clone: demonstrations of cameras, height, width, proprioception and action {told}: one is needed")
    if len(texts := sorted({d.episode.text for d in demonstrations})) > 1:
        raise ZoetropeError(f"clone: demonstrations of several tasks, '{texts[0]}' and '{texts[1]}'; a policy does one")
    cameras, height, width, proprioception, action = sizes[0]
    return NetworkConfig(cameras=cameras, height=height, width=width, proprioception=proprioception, action=action)


def _origin(recorded: Sequence[Demonstration], generated: Sequence[Demonstration], config: CloneConfig) -> Origin:
    digest, whole = hashlib.sha256(), [*recorded, *generated]
    for demonstration in whole:
        for values in (demonstration.episode.frames, demonstration.episode.action, demonstration.confidence):
            digest.update(values.tobytes())
    return Origin(
        instruction=whole[0].episode.text,
        demonstrations=len(recorded),
        generated=len(generated),
        data=digest.hexdigest()[:16],
        config=config,
    )
