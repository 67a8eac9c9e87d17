"""Episodes on disk: a folder with one safetensors file an episode, written atomically, read a window at a time.

A recording cut off by `kill -9` keeps every finished episode; recording again fills in only what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from core.files import atomic_path

FORMAT = "zoetrope-episode-1"
_ARRAYS = ("frames", "action", "pose", "intrinsics", "depth", "reward", "terminated")
_PER_FRAME = ("frames", "action", "pose", "depth", "reward", "terminated")
_CONDITION = "condition."


class EpisodeStore:
    """A folder of episodes of one split. Files are named by index, so a missing index is an episode still to record."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.safetensors"

    def has(self, index: int) -> bool:
        return self.path(index).exists()

    def indices(self) -> list[int]:
        """Indices of all finished episodes, in order."""
        return sorted(int(p.stem) for p in self.folder.glob("[0-9]*.safetensors") if p.stem.isdigit())

    def write(self, index: int, episode: Episode) -> None:
        """Write one episode atomically."""
        arrays = {n: np.ascontiguousarray(v) for n in _ARRAYS if (v := getattr(episode, n)) is not None}
        arrays |= {_CONDITION + n: np.ascontiguousarray(v) for n, v in episode.conditions.items()}
        metadata = {"format": FORMAT, "text": episode.text, "metadata": json.dumps(episode.metadata)}
        with atomic_path(self.path(index)) as temporary:
            save_file(arrays, temporary, metadata)

    def length(self, index: int) -> int:
        """Frames in an episode, read from the header alone."""
        with self._open(index) as file:
            return file.get_slice("frames").get_shape()[0]

    def read(self, index: int, start: int = 0, length: int | None = None) -> Episode:
        """Read an episode, or only frames [start, start + length) of it; nothing else leaves the disk."""
        with self._open(index) as file:
            header = file.metadata() or {}
            stop = None if length is None else min(start + length, file.get_slice("frames").get_shape()[0])

            def get(name: str) -> np.ndarray:
                if name in _PER_FRAME or name.startswith(_CONDITION):
                    return file.get_slice(name)[start:stop]
                return file.get_tensor(name)

            names = list(file.keys())
            return Episode(
                **{n: get(n) for n in _ARRAYS if n in names},
                conditions={n[len(_CONDITION) :]: get(n) for n in names if n.startswith(_CONDITION)},
                text=header.get("text", ""),
                metadata=json.loads(header.get("metadata", "{}")),
            )

    def __iter__(self) -> Iterator[Episode]:
        for index in self.indices():
            yield self.read(index)

    def _open(self, index: int):  # noqa: ANN202 - safetensors' handle has no public type
        path = self.path(index)
        try:
            file = safe_open(path, framework="numpy")
            with file as handle:
                found = (handle.metadata() or {}).get("format")
        except FileNotFoundError:
            raise ZoetropeError(f"{path}: no such episode; record it with 'zoetrope record'") from None
        except (SafetensorError, OSError) as error:
            raise ZoetropeError(f"{path}: damaged episode ({error}); delete it and record again") from None
        if found != FORMAT:
            raise ZoetropeError(f"{path}: not a {FORMAT} file (found {found})")
        return safe_open(path, framework="numpy")
