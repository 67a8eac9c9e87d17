"""What the measurements of a world share: its folder, its held-out recordings, and how they say what they are at."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ZoetropeError

if TYPE_CHECKING:
    from core.episodes.episode import Episode
    from core.streaming.world import World


@dataclass(frozen=True, slots=True)
class Found:
    """A world with weights."""

    name: str
    """What its configuration calls it."""
    folder: Path
    data: Path | None
    """Where its held-out recordings are; None: the starts that come with it."""

    def load(self) -> World:
        """The plain world."""
        from core.streaming.world import World

        return World.load(self.folder, [])

    def recordings(self, count: int, length: int) -> list[Episode]:
        """The first `count` of at least `length` frames, or as many as there are. Raises ZoetropeError where there is none."""
        from core.episodes.store import EpisodeStore
        from games import starts

        if self.data is not None:
            store = EpisodeStore(self.data)
            lengths = {index: store.length(index) for index in store.indices()}
            found = [store.read(index) for index in [i for i, frames in lengths.items() if frames >= length][:count]]
            longest, where = max(lengths.values(), default=0), str(self.data)
        elif (self.folder / starts.FILE).exists():
            episodes = starts.load(self.folder)
            found = [episode for episode in episodes if len(episode) >= length][:count]
            longest, where = max(map(len, episodes), default=0), f"the starts of '{self.name}'"
        else:
            raise ZoetropeError(f"{self.folder}: comes without starts: name held-out recordings with --data")
        if not found:
            has = f"the longest has {longest}" if longest else "there is none"
            raise ZoetropeError(f"{where}: needs recordings of at least {length} frames, {has}; name a folder with --data")
        return found


def find(world: str, data: Path | None) -> Found:
    """A world by its name or its folder. Raises ZoetropeError where it is unknown."""
    import robotics
    from core.config import load_yaml
    from core.streaming.model import CONFIG, WEIGHTS, WorldConfig
    from driving import WEIGHTS as DRIVING
    from games import loading, registry

    others = {"driving": DRIVING, **{name: robotics.WEIGHTS / name for name in robotics.ABOUT}}
    folder = others.get(world, Path(world))
    if world in registry.GAMES or not (folder / WEIGHTS).exists():
        folder = loading.find(world)
    return Found(load_yaml(WorldConfig, folder / CONFIG).name, folder, data)


def say(line: str) -> None:
    """Tell whoever waits; what is measured goes to standard output."""
    print(line, file=sys.stderr, flush=True)
