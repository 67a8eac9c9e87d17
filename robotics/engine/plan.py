"""What is asked of the data engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from core.config import to_dict
from core.errors import ZoetropeError
from robotics.engine.actors import NEIGHBOURS, REPLAY
from robotics.engine.verdict import Limits
from robotics.evaluate import BATCH
from robotics.loop import JudgeName
from robotics.record import reset_seed
from robotics.scene.variation import Variation

Way = Literal["relook", "redo", "scene"]
WAYS: dict[Way, str] = {
    "relook": "a demonstration again, in MuJoCo, with other colours, textures, light, cameras and distractors",
    "redo": "from a demonstration's own first frames, imagined on",
    "scene": "from a new scene's first frames, which MuJoCo shows in other looks too, imagined on",
}
"""How an episode is made, each in words."""
Labels = Literal["checked", "pseudo"]
LABELS: dict[Labels, str] = {
    "checked": "the actions that were sent, but pseudo-actions where the imagined frames tell of others",
    "pseudo": "pseudo-actions throughout, as for videos that come without actions",
}
SCENES = 500_000
"""The first start of the training split that the engine takes; what worlds learn from lies below."""
LOOKS = Variation(colours=0.5, textures=True, camera=0.03, light=0.5, distractors=3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much is made of what, and how."""

    ways: tuple[Way, ...] = get_args(Way)
    attempts: int = 50
    """Episodes tried in each way; those that do not hold up are not kept."""
    demonstrations: int = 20
    """How many are used, at most."""
    by: str | None = None
    """The policy whose recordings count as demonstrations; None for any."""
    policy: str = NEIGHBOURS
    """Who acts in imagined episodes: NEIGHBOURS, REPLAY or a name of `robotics.policies`."""
    noise: float = 0.2
    """Standard deviation of what is added to every action; actions lie in [-1, 1]."""
    variation: Variation = LOOKS
    judge: JudgeName = "objects"
    labels: Labels = "checked"
    include: bool = False
    """Whether the demonstrations themselves come first in the dataset."""
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    """Decides which demonstrations, scenes, looks and noise."""
    batch: int = BATCH

    def __post_init__(self) -> None:
        if unknown := [way for way in self.ways if way not in WAYS]:
            raise ZoetropeError(f"--way: unknown '{unknown[0]}'; known: {', '.join(WAYS)}")
        if not self.ways or len(set(self.ways)) < len(self.ways):
            raise ZoetropeError("--way: name at least one, and none twice")
        for name, least in (("attempts", 1), ("demonstrations", 1), ("batch", 1), ("seed", 0), ("noise", 0)):
            if not getattr(self, name) >= least:
                raise ZoetropeError(f"--{name} must be at least {least}, found {getattr(self, name)}")
        if self.policy == REPLAY and "scene" in self.ways:
            raise ZoetropeError("--policy replay repeats a demonstration from its own start; leave out --way scene")

    @property
    def imagines(self) -> bool:
        """Whether a generated world is needed."""
        return self.ways != ("relook",)

    def start(self, index: int) -> int:
        """The seed of attempt `index`: its scene, its noise and what is imagined."""
        return reset_seed("train", SCENES + self.seed + index)

    def settings(self) -> dict[str, Any]:
        """All that decides what an attempt becomes, and so must not change between runs into one folder."""
        said = to_dict(self)
        for free in ("ways", "attempts", "batch"):
            del said[free]
        return said
