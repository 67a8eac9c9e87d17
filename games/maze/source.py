"""The maze in ViZDoom: our generated levels, stepped three engine tics an action, seen at 128x96 with pose and depth.

Engine: ViZDoom (MIT code, ZDoom inside), decorations from Freedoom (BSD-3); levels and textures are this project's own.
Actions are float32 (4,): forward (-1 back, 1 forward), strafe (-1 left, 1 right), turn (-1 left, 1 right), use (0 or 1).
"""

from __future__ import annotations

import shutil
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.errors import ZoetropeError
from games.maze import geometry, levels
from games.source import Observation

HEIGHT, WIDTH = 96, 128
ACTION_SIZE = 4
TICS = 3
"""Engine tics (1/35 s) an action is held."""
SPEED = 16.0
"""Thrust of walking, in the engine's units."""
TURN = 2.5
"""Degrees a tic."""
_ENGINE_HEIGHT, _ENGINE_WIDTH = 240, 320
_DEPTH_UNIT, _DEPTH_OFFSET = 7.14, 13.0
"""Map units a level of the engine's 8-bit depth buffer, and the distance of level 0; fitted to levels without landmarks."""
_DEPTH_LAST = 127
"""The level at which the engine's depth of walls and landmarks ends (about 920 map units); only floors go further."""
_SPRITE_HALF = 40.0
"""Half the width, in map units, of the widest landmark's picture."""
_SPRITE_MARGIN = 24.0
"""How much nearer than the empty level the engine's depth must be for a pixel to belong to a landmark."""
INTRINSICS = np.array([[64.0, 0, 64], [0, 76.8, 48], [0, 0, 1]], np.float32)
"""90 degrees across; pixels are 1.2 times taller than wide, as in every Doom engine."""


class MazeSource:
    """A running ViZDoom engine. `reset` loads a level; `step` holds an action for three tics."""

    intrinsics = INTRINSICS

    def __init__(self, config: levels.LevelConfig | None = None):
        try:
            import vizdoom
        except ImportError:
            raise ZoetropeError("the maze engine is not installed; run: pip install 'zoetrope[games]'") from None
        self.config = config or levels.LevelConfig()
        self._folder = Path(tempfile.mkdtemp(prefix="zoetrope-maze-"))
        game = self._game = vizdoom.DoomGame()
        game.set_doom_game_path(str(Path(vizdoom.__file__).parent / "freedoom2.wad"))
        game.set_doom_config_path(str(self._folder / "engine.ini"))
        game.set_screen_resolution(vizdoom.ScreenResolution.RES_320X240)
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_depth_buffer_enabled(True)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        for part in ("hud", "weapon", "crosshair", "decals", "particles", "messages", "corpses", "effects_sprites"):
            getattr(game, f"set_render_{part}")(False)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_episode_timeout(0)
        game.set_episode_start_time(10)
        buttons = vizdoom.Button
        game.set_available_buttons(
            [buttons.MOVE_FORWARD_BACKWARD_DELTA, buttons.MOVE_LEFT_RIGHT_DELTA, buttons.TURN_LEFT_RIGHT_DELTA, buttons.USE]
        )
        variables = vizdoom.GameVariable
        game.set_available_game_variables([variables.POSITION_X, variables.POSITION_Y, variables.ANGLE])
        game.add_game_args("+movebob 0")
        game.set_doom_map(levels.MAP_NAME)
        self.level: levels.Level | None = None
        # Also runs at the end of a recording process, where Python's own exit handlers do not.
        self._shut = Finalize(self, _shut, (game, self._folder), exitpriority=10)

    def reset(self, level: int) -> Observation:
        self.level = levels.generate(level, self.config)
        rng = np.random.default_rng((level, 0x57A7))
        clear = [tuple(c) for c in self.level.cells if self._clear(tuple(c))] or [tuple(c) for c in self.level.cells]
        x, y = self.level.centre(clear[rng.integers(len(clear))])
        path = self._folder / "level.wad"
        path.write_bytes(levels.wad(self.level, (x, y, 90.0 * rng.integers(4))))
        self._game.close()
        self._game.set_doom_scenario_path(str(path))
        self._game.set_seed(level & 0x7FFFFFFF)
        self._game.init()
        self._game.new_episode()
        return self.observe()

    def step(self, action: np.ndarray) -> Observation:
        forward, strafe, turn, use = (float(v) for v in action)
        self._game.make_action([SPEED * forward, SPEED * strafe, TURN * turn, float(use > 0.5)], TICS)
        return self.observe()

    @property
    def position(self) -> tuple[float, float, float]:
        """Player x, y in map units and heading in radians, counter-clockwise from world x."""
        x, y, angle = self._state().game_variables
        return float(x), float(y), float(np.radians(angle))

    def observe(self) -> Observation:
        """The current view, pose and depth."""
        assert self.level is not None
        state = self._state()
        x, y, heading = self.position
        frame = cv2.resize(state.screen_buffer, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        depth = geometry.depth(self.level, x, y, heading, INTRINSICS, HEIGHT, WIDTH)
        depth = self._add_landmarks(depth, state.depth_buffer, x, y, heading)
        return Observation(frame, camera_pose(x, y, heading), depth.astype(np.float16))

    def _state(self) -> Any:
        return self._game.get_state()

    def close(self) -> None:
        self._shut()

    def _clear(self, cell: tuple[int, int]) -> bool:
        assert self.level is not None
        x, y = self.level.centre(cell)
        return all(max(abs(x - tx), abs(y - ty)) > levels.CELL / 2 for _, tx, ty in self.level.things)

    def _add_landmarks(self, depth: np.ndarray, buffer: np.ndarray, x: float, y: float, heading: float) -> np.ndarray:
        """Where the engine saw something nearer than the empty level, take the depth of the landmark that stands there."""
        assert self.level is not None
        if not self.level.things:
            return depth
        shown = cv2.resize(buffer, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST).astype(np.float32)
        seen = shown * _DEPTH_UNIT + _DEPTH_OFFSET
        nearer = (shown < _DEPTH_LAST) & (seen < depth - _SPRITE_MARGIN)
        if not nearer.any():
            return depth
        offsets = np.array([(tx, ty) for _, tx, ty in self.level.things]) - (x, y)
        ahead = offsets @ np.array([np.cos(heading), np.sin(heading)])
        right = offsets @ np.array([np.sin(heading), -np.cos(heading)])
        aside = (np.arange(WIDTH) + 0.5 - INTRINSICS[0, 2]) / INTRINSICS[0, 0]
        # Only what stands where a column looks can be what it shows; an outline's mixed pixels otherwise land anywhere.
        elsewhere = np.abs(right - aside[:, None] * ahead) > _SPRITE_HALF
        off = np.abs(seen[..., None] - ahead) + np.where(elsewhere, np.inf, 0.0)
        return np.where(nearer & (off.min(-1) < np.inf), ahead[off.argmin(-1)], depth)


def _shut(game: Any, folder: Path) -> None:
    game.close()  # first: the engine writes its settings into the folder when it ends
    shutil.rmtree(folder, ignore_errors=True)


def camera_pose(x: float, y: float, heading: float) -> np.ndarray:
    """Camera-to-world float32 (4, 4): camera x right, y down, z forward; world z up."""
    c, s = np.cos(heading), np.sin(heading)
    pose = np.eye(4, dtype=np.float32)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = (s, -c, 0), (0, 0, -1), (c, s, 0), (x, y, geometry.EYE)
    return pose
