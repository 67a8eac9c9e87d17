"""Starts: short real recordings that come with a world's weights, so that playing needs no engine."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.files import write_bytes
from games.record import record_episode
from games.registry import Game
from games.source import level_number

if TYPE_CHECKING:
    from games.worlds import GameConfig

FILE = "starts.npz"
FORMAT = "zoetrope-starts-1"
_FIRST_LEVEL = 500_000
"""Starts come from validation levels that no recording ever reaches."""
_ARRAYS = ("frames", "action", "pose", "intrinsics", "depth")


def make(game: Game, config: GameConfig) -> list[Episode]:
    """Record the starts that `config` asks for, on its kind of levels, from the real engine."""
    wanted = config.starts
    source = game.make_source(config)
    try:
        levels = [level_number("validation", _FIRST_LEVEL + i) for i in range(wanted.count)]
        return [record_episode(source, game.make_policy, n, wanted.policy, seed=n, frames=wanted.frames) for n in levels]
    finally:
        source.close()


def save(folder: Path, episodes: Sequence[Episode]) -> None:
    """Write starts beside a world's weights, compressed, atomically."""
    arrays: dict[str, np.ndarray] = {}
    for i, episode in enumerate(episodes):
        arrays |= {f"{i}.{n}": v for n in _ARRAYS if (v := getattr(episode, n)) is not None}
    header = {"format": FORMAT, "metadata": [e.metadata for e in episodes]}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(folder / FILE, buffer.getvalue())


def load(folder: Path) -> list[Episode]:
    """Read the starts of a world. Raises ZoetropeError when they are missing or damaged."""
    path = folder / FILE
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            if header["format"] != FORMAT:
                raise ZoetropeError(f"{path}: not a {FORMAT} file (found {header['format']})")
            return [
                Episode(**{n: file[f"{i}.{n}"] for n in _ARRAYS if f"{i}.{n}" in file.files}, metadata=metadata)
                for i, metadata in enumerate(header["metadata"])
            ]
    except FileNotFoundError:
        raise ZoetropeError(f"{path}: no starts to begin from; restore the file or train again") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ZoetropeError(f"{path}: damaged starts ({' '.join(str(error).split())})") from None
