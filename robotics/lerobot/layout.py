"""The LeRobot v3.0 layout on disk, and the columns of a dataset of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import ZoetropeError

VERSION = "v3.0"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
CHUNK_FILES = 1000
"""Files in a chunk folder, LeRobot's own default."""
DATA_FILE_MB, VIDEO_FILE_MB = 100, 500
"""A data file is closed when another episode would make it larger; LeRobot's own defaults."""

CAMERA = "observation.images."
STATE, ENVIRONMENT_STATE, ACTION = "observation.state", "observation.environment_state", "action"
REWARD, DONE = "next.reward", "next.done"
"""What action[t] earned, and whether it ended the episode: `Episode.reward` and `Episode.terminated`."""
SOURCE, ACTION_IS_PSEUDO, CONFIDENCE = "source", "action_is_pseudo", "confidence"
TASK_NAMES = "__index_level_0__"
"""Column of `tasks.parquet` that LeRobot reads as the index of a pandas table."""

Feature = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What every episode of one dataset has in common."""

    rate: int
    """Frames a second."""
    robot: str
    cameras: tuple[str, ...]
    """Names of `Episode.frames`' cameras, in order."""
    height: int
    width: int
    state: tuple[str, ...]
    """What the numbers of the state are called."""
    action: tuple[str, ...]
    environment_state: tuple[str, ...] = ()
    rewards: bool = True
    """Whether rewards and ends of episodes are known."""

    def __post_init__(self) -> None:
        if self.rate < 1 or not self.cameras or not self.state or not self.action:
            raise ZoetropeError("LeRobot layout: needs a rate of 1 or more, a camera, and names for state and action")
        for name in self.cameras:
            if not name or "/" in name:
                raise ZoetropeError(f"LeRobot layout: cameras: '{name}' is no name there; use letters, digits, '.', '_', '-'")
        if len(set(self.cameras)) < len(self.cameras):
            raise ZoetropeError(f"LeRobot layout: cameras: a name stands twice in {', '.join(self.cameras)}")

    def recorded(self) -> dict[str, Feature]:
        """Columns of an episode by itself."""
        image = {"dtype": "image", "shape": [self.height, self.width, 3], "names": ["height", "width", "channels"]}
        features = {CAMERA + camera: dict(image) for camera in self.cameras} | {STATE: _vector(self.state)}
        if self.environment_state:
            features[ENVIRONMENT_STATE] = _vector(self.environment_state)
        features[ACTION] = _vector(self.action)
        if self.rewards:
            features |= {REWARD: _scalar("float32"), DONE: _scalar("bool")}
        features |= {SOURCE: _scalar("string"), ACTION_IS_PSEUDO: _scalar("bool"), CONFIDENCE: _scalar("float32")}
        return features | {"timestamp": _scalar("float32"), "frame_index": _scalar("int64")}

    def features(self) -> dict[str, Feature]:
        """All columns, as `meta/info.json` lists them: those of an episode, and its place in the dataset."""
        return self.recorded() | {name: _scalar("int64") for name in ("episode_index", "index", "task_index")}

    def info(self, episodes: int, frames: int, tasks: int) -> dict[str, Any]:
        """`meta/info.json` of a dataset of this size."""
        return {
            "codebase_version": VERSION,
            "robot_type": self.robot,
            "total_episodes": episodes,
            "total_frames": frames,
            "total_tasks": tasks,
            "chunks_size": CHUNK_FILES,
            "data_files_size_in_mb": DATA_FILE_MB,
            "video_files_size_in_mb": VIDEO_FILE_MB,
            "fps": self.rate,
            "splits": {"train": f"0:{episodes}"},
            "data_path": DATA_PATH,
            "video_path": None,
            "features": self.features(),
        }


def file_path(template: str, number: int) -> str:
    """Path of the file of this number, counted over all chunks."""
    return template.format(chunk_index=number // CHUNK_FILES, file_index=number % CHUNK_FILES)


def width_of(feature: Feature) -> int:
    """Numbers in a column's value."""
    return int(np.prod(feature["shape"]))


def _vector(names: tuple[str, ...]) -> Feature:
    return {"dtype": "float32", "shape": [len(names)], "names": list(names)}


def _scalar(dtype: str) -> Feature:
    return {"dtype": dtype, "shape": [1], "names": None}
