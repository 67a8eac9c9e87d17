"""Whether a written LeRobot dataset holds what was recorded: read with Parquet and a PNG decoder alone, not with our reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.episodes.episode import Episode
from core.episodes.store import EpisodeStore
from core.evaluation.intervals import figure
from robotics.engine import few
from robotics.lerobot import arrow, layout
from robotics.lerobot.demonstration import SIMULATED
from robotics.lerobot.layout import Layout
from robotics.lerobot.write import DatasetWriter
from robotics.task import RATE, Task
from robotics.trust.rates import wilson


def read_back(task: Task, store: EpisodeStore, folder: Path, episodes: int) -> dict[str, Any]:
    """Write the first `episodes` recordings, read them back, and count those that are the same in every pixel and number."""
    form = Layout(
        rate=RATE,
        robot=task.name,
        cameras=task.cameras,
        height=task.size[0],
        width=task.size[1],
        state=task.proprioception_names,
        action=tuple(f"action_{k}" for k in range(task.action_size)),
        environment_state=task.object_names,
    )
    picked = store.indices()[:episodes]
    writer = DatasetWriter(folder, form)
    for index in picked:
        writer.add(f"{index:06d}", few.demonstration(store.read(index), SIMULATED))
    writer.finish()
    same = [_same(store.read(index), columns, task.cameras) for index, columns in zip(picked, _episodes(folder, len(picked)))]
    return {"export_exact": figure(wilson(sum(same), len(picked)))}


def _episodes(folder: Path, count: int) -> list[dict[str, list[Any]]]:
    """Columns of the first episodes, as any reader of Parquet finds them."""
    pa, pq = arrow.load()
    whole = pa.concat_tables([pq.read_table(path) for path in sorted((folder / "data").glob("*/*.parquet"))])
    number = np.array(whole.column("episode_index").to_pylist())
    return [whole.filter(pa.array(number == k)).to_pydict() for k in range(count)]


def _same(episode: Episode, columns: dict[str, list[Any]], cameras: tuple[str, ...]) -> bool:
    import cv2

    def decode(cell: dict[str, bytes]) -> np.ndarray:
        return np.asarray(cv2.imdecode(np.frombuffer(cell["bytes"], np.uint8), cv2.IMREAD_COLOR))[..., ::-1]

    frames = np.stack([[decode(cell) for cell in columns[layout.CAMERA + camera]] for camera in cameras], 1)
    return np.array_equal(frames, episode.frames) and np.array_equal(
        np.array(columns[layout.ACTION], np.float32), episode.action
    )
