"""What the commands share: the world that shows scenes, scenarios as they were asked for, and files that can be written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ZoetropeError
from driving.rig import Rig, nuscenes_rig
from driving.scenario import library
from driving.scenario.description import Description
from driving.source.imager import Imager
from driving.source.panda import PandaSource

if TYPE_CHECKING:
    from core.streaming.world import World
    from driving.dream import Dream

SOURCE = "source"
"""The name of the world that is drawn, not imagined."""
RUNS = Path("runs") / "drive"


@dataclass(frozen=True, slots=True)
class Shown:
    """A world that shows scenes: the source world, or a trained one."""

    name: str
    world: World | None = None

    @staticmethod
    def open(name: str) -> Shown:
        """The source world, the one that comes with the program, or one in a folder."""
        if name == SOURCE:
            return Shown(name)
        import torch

        from core.hardware import halves, share_interpreter
        from core.heap import keep_freed_memory
        from driving.worlds import load_world

        world = load_world(name)
        torch.set_num_threads(halves())
        keep_freed_memory()
        share_interpreter()
        return Shown(name, world)

    @property
    def fingerprint(self) -> str:
        """Identifies what its pictures depend on."""
        return SOURCE if self.world is None else self.world.fingerprint

    def imager(self, first: Imager | None = None) -> Imager:
        """What shows a scene; `first` shows a trained world the first frames."""
        return PandaSource() if self.world is None else self.dream(first)

    def dream(self, first: Imager | None = None) -> Dream:
        """The same, of a trained world."""
        from driving.dream import Dream

        assert self.world is not None
        return Dream(self.world, first)

    def fit(self, rig: Rig | None) -> Rig:
        """The rig (nuScenes' unless given) with pictures of this world's size; ZoetropeError where it has other cameras."""
        if self.world is None:
            return rig or nuscenes_rig()
        config = self.world.config
        fitted = replace(rig or nuscenes_rig(), width=config.width, height=config.height)
        if len(fitted.cameras) != config.cameras:
            raise ZoetropeError(f"rig: world '{self.name}' has {config.cameras} cameras, the rig has {len(fitted.cameras)}")
        return fitted

    def load(self, scenario: str) -> Description:
        """A scenario of the library or a file, seen by a rig that fits this world."""
        return self.suit(library.load(scenario))

    def suit(self, description: Description) -> Description:
        """A scenario seen by a rig that fits this world."""
        return replace(description, rig=self.fit(description.rig))


def first_imager(choice: str) -> Imager | None:
    """Who shows the first frames: `source` or `none`."""
    return PandaSource() if choice == SOURCE else None


def at_least(least: int, **options: int) -> None:
    """Raises ZoetropeError for the first option below `least`."""
    for name, value in options.items():
        if value < least:
            raise ZoetropeError(f"--{name} must be at least {least}, found {value}")
