"""Everything that moves or blinks: actors and traffic lights, all placed and lit in one go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from driving.road.network import Road
from driving.scene import Actor, Moment, State
from driving.source import scenery
from driving.source.bodies import body
from driving.source.limbs import Body
from driving.source.mesh import Lamp, Mesh
from driving.source.raster import Raster
from driving.source.table import Table

BRAKING = 0.8
"""Deceleration in m/s2 from which brake lights are on."""
HELD = 0.2
"""Slower than so many m/s, a driver holds the brake."""
SLEEP = 1.0
"""Longest gap in seconds between two moments that tells of a deceleration."""
BLINK = 0.4
"""Seconds that a beacon is on, and off."""
REAR = 0.45
"""Glow of a tail-lamp that does not brake."""


@dataclass(frozen=True, slots=True)
class _Role:
    """An actor in the engine: its parts are rows first, first + 1, ... of the cast's."""

    body: Body
    first: int
    nodes: tuple[Any, ...]


class Cast:
    """Made when everything that stands still is in the table: its rows are the last ones."""

    def __init__(self, road: Road, table: Table, raster: Raster) -> None:
        self._table, self._raster = table, raster
        self._start = table.size
        self._local = np.zeros((0, 3, 3), np.float32)
        self._part = np.zeros(0, int)
        self._pose = np.zeros((0, 4, 4), np.float32)
        self._glow = np.zeros((0, len(Lamp)), np.float32)
        self._roles: dict[Actor, _Role] = {}
        self._shown: tuple[float, dict[int, float]] | None = None
        self._signals = [(signal, self._add(scenery.signal(signal))[0]) for signal in road.signals.values()]

    def play(self, moment: Moment, dusk: float) -> None:
        """Place who is present and light the lamps. `dusk`, from 0 to 1, is how much drivers want their lamps."""
        present = set()
        for actor, state in moment.actors:
            present.add(actor)
            role = self._roles.get(actor) or self._enter(actor)
            glow = self._lamps(actor, state, moment.time, dusk)
            for k, (node, pose) in enumerate(zip(role.nodes, role.body.pose(state))):
                self._raster.move(node, pose)
                self._pose[role.first + k] = pose
                self._glow[role.first + k] = glow
        for actor, role in self._roles.items():
            if actor not in present:
                for node in role.nodes:
                    self._raster.move(node, None)
        for signal, part in self._signals:
            self._glow[part] = 0
            self._glow[part, Lamp[signal.colour(moment.time).upper()]] = 1
        self._shown = (moment.time, {actor.id: state.speed for actor, state in moment.actors})
        if len(self._part):
            rows = slice(self._start, self._table.size)
            pose = self._pose[self._part]
            self._table.place(rows, self._local @ pose[:, :3, :3].transpose(0, 2, 1) + pose[:, None, :3, 3])
            self._table.paint(rows, self._glow[self._part, self._table.lamp[rows]])

    def _add(self, mesh: Mesh, actor: int = 0) -> tuple[int, Any]:
        self._table.add(mesh, actor)
        part = len(self._pose)
        self._local = np.concatenate([self._local, mesh.triangles])
        self._part = np.concatenate([self._part, np.full(len(mesh), part)])
        self._pose = np.concatenate([self._pose, np.eye(4, dtype=np.float32)[None]])
        self._glow = np.concatenate([self._glow, np.zeros((1, len(Lamp)), np.float32)])
        return part, self._raster.add(mesh.triangles)

    def _enter(self, actor: Actor) -> _Role:
        built = body(actor)
        added = [self._add(part.mesh, actor.id + 1) for part in built.parts]
        self._roles[actor] = _Role(built, added[0][0], tuple(node for _, node in added))
        return self._roles[actor]

    def _lamps(self, actor: Actor, state: State, time: float, dusk: float) -> np.ndarray:
        """float32 (len(Lamp),): how brightly each kind glows."""
        before, speeds = self._shown or (time, {})
        gap, slower = time - before, abs(speeds.get(actor.id, state.speed)) - abs(state.speed)
        braking = not actor.parked and (abs(state.speed) < HELD or (0 < gap < SLEEP and slower / gap > BRAKING))
        on = 0.0 if actor.parked else dusk
        out = np.zeros(len(Lamp), np.float32)
        out[Lamp.HEAD], out[Lamp.TAIL] = on, 1 if braking else REAR * on
        out[Lamp.BEACON_A if int(time / BLINK) % 2 else Lamp.BEACON_B] = 1
        return out
