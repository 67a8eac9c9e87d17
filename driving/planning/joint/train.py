"""Train the trajectory head on recorded drives, with the world frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from core.episodes.store import EpisodeStore
from core.streaming.world import World
from core.training.prepare import PreparedStore
from core.training.trainer import TrainConfig, Trainer
from driving.planning.joint.context import shape
from driving.planning.joint.head import Batch, Head, HeadConfig, HeadLoss
from driving.planning.joint.lessons import prepare_lessons, remembered_rows
from driving.record import RecordConfig


def train_joint(
    world: World,
    store: EpisodeStore,
    training: TrainConfig,
    folder: Path,
    out: Path,
    record: RecordConfig,
    loss: HeadLoss | None = None,
    progress: bool = True,
) -> Head:
    """Watch the drives in `store`, which were recorded as `record` says, learn from them, and write the head to `out`.

    `folder` keeps what was watched and the checkpoint: cut off, it goes on where it was. For another world take another folder.
    """
    lessons = prepare_lessons(world, store, record, folder / "lessons", progress)
    sampler = LessonSampler(lessons, training.seed)
    tokens, features = shape(world.config)
    torch.manual_seed(training.seed)
    head, wanted = Head(HeadConfig(tokens=tokens, features=features, world=world.fingerprint)), loss or HeadLoss()
    head.fit(sampler.profiles)
    trainer = Trainer(
        head,
        lambda batch, generator: head.loss(wanted, batch, generator),
        lambda step: sampler.draw(step, training.batch),
        training,
        folder / "head",
    )
    trainer.run("trajectory head", progress=progress)
    head.save(out)
    return head


class LessonSampler:
    """Random moments of watched drives, decided by (seed, step) alone."""

    def __init__(self, lessons: PreparedStore, seed: int):
        self.lessons, self.seed = lessons, seed
        told, profiles, self.where = [], [], []
        for index in lessons.indices():
            read = lessons.read(index, ("told", "profile", "older"))
            told.append(read["told"])
            profiles.append(read["profile"])
            self.where += [(index, row, int(older)) for row, older in enumerate(read["older"])]
        self.told, self.profiles = torch.cat(told), torch.cat(profiles)

    def draw(self, step: int, count: int) -> Batch:
        picked = np.random.default_rng((self.seed, step)).integers(len(self.where), size=count)
        seen = torch.stack([remembered_rows(self.lessons, *self.where[i]) for i in picked])
        return seen, self.told[picked], self.profiles[picked]
