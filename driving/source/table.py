"""What is known of every numbered triangle: its plane, its looks and its colour in the light of the scene."""

from __future__ import annotations

import numpy as np

from driving.scene import Ambience
from driving.source.light import Light
from driving.source.mesh import Lamp, Mesh, Surface, normals

SNOW = np.array([0.92, 0.94, 0.97], np.float32)
ON_ROADS = 0.6
"""Share of the snow that lies where wheels go."""
SOAKED = 0.4
"""How much darker asphalt and paving are in the heaviest rain."""
UNLIT = 0.45
"""Brightness of the glass of a lamp that is off."""


class Table:
    """Row n is triangle n; row 0 is the sky."""

    def __init__(self, light: Light, ambience: Ambience) -> None:
        self._light, self._ambience = light, ambience
        self.size = 1
        room = 4096
        self.plane = np.zeros((room, 4), np.float32)
        """Unit normal in the world, and its product with the corners."""
        self.surface = np.zeros(room, np.uint8)
        self.actor = np.zeros(room, np.int32)
        """1 + id of the actor it belongs to, or 0."""
        self.palette = np.zeros((room, 4), np.uint8)
        """Colour in the scene's light, brightest 255, and the share of it that glows."""
        self.lamp = np.zeros(room, np.uint8)
        self._albedo = np.zeros((room, 3), np.float32)

    def add(self, mesh: Mesh, actor: int = 0) -> slice:
        """Rows for a mesh, in its order."""
        first, last = self.size, self.size + len(mesh)
        while last > len(self.plane):
            for name in ("plane", "surface", "actor", "palette", "lamp", "_albedo"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        rows = slice(first, last)
        self._albedo[rows] = mesh.colour / np.float32(255)
        self.surface[rows], self.lamp[rows], self.actor[rows] = mesh.surface, mesh.lamp, actor
        self.size = last
        return rows

    def place(self, rows: slice, triangles: np.ndarray) -> None:
        """Where the rows' triangles (N, 3, 3) are in the world."""
        normal = normals(triangles)
        normal /= np.sqrt(np.maximum((normal**2).sum(1, keepdims=True), np.float32(1e-20)))
        self.plane[rows, :3] = normal
        self.plane[rows, 3] = (normal * triangles[:, 0]).sum(1)

    def paint(self, rows: slice, glow: np.ndarray) -> None:
        """Light the rows, whose lamps glow by shares (N,). They must have been placed."""
        normal, surface, albedo = self.plane[rows, :3], self.surface[rows], self._albedo[rows]
        wheels = (surface == Surface.ASPHALT) | (surface == Surface.PAINT)
        if self._ambience.snow:
            lies = np.clip(normal[:, 2] * 1.3 - 0.2, 0, 1) * self._ambience.snow * np.where(wheels, ON_ROADS, 1)
            albedo = albedo + lies[:, None].astype(np.float32) * (SNOW - albedo)
        if self._ambience.rain:
            wet = wheels | (surface == Surface.PAVING)
            albedo = albedo * np.where(wet, 1 - SOAKED * self._ambience.rain, 1).astype(np.float32)[:, None]
        light = self._light
        facing = np.maximum(normal @ light.sun, 0)[:, None]
        lit = albedo * (light.ambient * (0.8 + 0.2 * normal[:, 2:]) + light.direct * facing) / light.brightest
        share = glow[:, None].astype(np.float32)
        off = np.where(self.lamp[rows] != Lamp.NONE, UNLIT, 1).astype(np.float32)[:, None]
        colour = share * self._albedo[rows] + (1 - share) * lit * off
        self.palette[rows] = np.concatenate([colour, share], 1).clip(0, 1) * 255 + 0.5
