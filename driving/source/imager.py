"""What shows a scene: the source world, or a generated one in its place."""

from __future__ import annotations

from typing import Protocol

from driving.rig import Rig
from driving.road.network import Road
from driving.scene import Ambience, Images, Moment


class Imager(Protocol):
    """Shows one moment after another. One is made a process and begun anew for every scene."""

    def begin(self, road: Road, rig: Rig, ambience: Ambience, seed: int) -> None:
        """Start a scene; everything that is not in the moments is decided by these."""
        ...

    def show(self, moment: Moment) -> Images:
        """What the rig's cameras see of it."""
        ...

    def close(self) -> None: ...
