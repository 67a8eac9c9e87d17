"""Any LeRobot v3.0 dataset in image mode, read back as demonstrations, by the published layout alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from robotics.lerobot import arrow, layout
from robotics.lerobot.demonstration import Demonstration
from robotics.lerobot.layout import Feature
from robotics.lerobot.write import PARTS

_MAJOR = "v3."
_NEEDED = ("episode_index", "length", "data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index")


class Dataset:
    """One dataset on disk, read an episode at a time. Raises ZoetropeError for what is missing, damaged or another format."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.info = self._read_info()
        self.features: dict[str, Feature] = self.info["features"]
        videos = [name for name, feature in self.features.items() if feature["dtype"] == "video"]
        if videos:
            raise ZoetropeError(f"{self.folder}: {videos[0]} is stored as video; only datasets in image mode are read here")
        self.cameras = tuple(name for name, feature in self.features.items() if feature["dtype"] == "image")
        self.rate: int = self.info["fps"]
        self.tasks = self._read_tasks()
        self._episodes = self._read_episodes()

    def __len__(self) -> int:
        """Episodes."""
        return len(self._episodes)

    @property
    def names(self) -> tuple[str, ...]:
        """What the episodes are called, in order; their numbers where the dataset has no names."""
        return tuple(row.get("name", str(row["episode_index"])) for row in self._episodes)

    def stats(self) -> dict[str, dict[str, np.ndarray]]:
        """Column -> `min`, `max`, `mean`, `std`, `count` over all frames."""
        found = self._read_json(layout.STATS)
        return {name: {key: np.asarray(value) for key, value in figures.items()} for name, figures in found.items()}

    def read(self, episode: int) -> Demonstration:
        """One episode. Where a dataset tells no provenance, its actions count as true ones and their source is ''."""
        if not 0 <= episode < len(self):
            raise ZoetropeError(f"{self.folder}: no episode {episode}; there are {len(self)}")
        row = self._episodes[episode]
        table, path = self._rows(row)
        steps = table.num_rows
        frames = [self._images(table, camera, path) for camera in self.cameras]
        if not frames or len({f.shape for f in frames}) > 1:
            sizes = ", ".join(str(f.shape[1:3]) for f in frames) or "none"
            raise ZoetropeError(f"{path}: cameras: expected images of one size, found {sizes}")
        has = lambda name: name in self.features  # noqa: E731
        number = int(arrow.numbers(table, "task_index")[0, 0])
        if not 0 <= number < len(self.tasks):
            raise ZoetropeError(f"{self.folder / layout.TASKS}: no task {number}, which episode {episode} does")
        return Demonstration(
            episode=Episode(
                frames=np.stack(frames, 1),
                action=arrow.numbers(table, layout.ACTION),
                reward=arrow.numbers(table, layout.REWARD)[:, 0] if has(layout.REWARD) else None,
                terminated=arrow.numbers(table, layout.DONE)[:, 0].astype(bool) if has(layout.DONE) else None,
                text=self.tasks[number],
                metadata=json.loads(row.get("metadata", "{}")),
            ),
            state=arrow.numbers(table, layout.STATE) if has(layout.STATE) else np.zeros((steps, 0), np.float32),
            environment_state=arrow.numbers(table, layout.ENVIRONMENT_STATE) if has(layout.ENVIRONMENT_STATE) else None,
            source=table.column(layout.SOURCE)[0].as_py() if has(layout.SOURCE) else "",
            action_is_pseudo=arrow.numbers(table, layout.ACTION_IS_PSEUDO)[:, 0].astype(bool)
            if has(layout.ACTION_IS_PSEUDO)
            else np.zeros(steps, bool),
            confidence=arrow.numbers(table, layout.CONFIDENCE)[:, 0] if has(layout.CONFIDENCE) else np.ones(steps, np.float32),
        )

    # --- tables ---

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            raise ZoetropeError(f"{path}: missing; the dataset is not whole, copy or write it again") from None
        except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
            raise ZoetropeError(f"{path}: damaged ({str(error).splitlines()[0]}); copy or write it again") from None

    def _read_info(self) -> dict[str, Any]:
        if not (self.folder / layout.INFO).exists():
            if (self.folder / PARTS).exists():
                raise ZoetropeError(f"{self.folder}: half-written dataset; run what writes it again to finish it")
            raise ZoetropeError(f"{self.folder}: no LeRobot dataset ({layout.INFO} is missing)")
        info = self._read_json(layout.INFO)
        found = info.get("codebase_version")
        if not str(found).startswith(_MAJOR):
            raise ZoetropeError(
                f"{self.folder}: LeRobot format {found}, only {layout.VERSION} is read; convert it with LeRobot"
            )
        for key in ("features", "fps", "data_path", "total_episodes", "total_frames"):
            if key not in info:
                raise ZoetropeError(f"{self.folder / layout.INFO}: {key} is missing")
        for name in (layout.ACTION, "task_index", "episode_index", "index"):
            if name not in info["features"]:
                raise ZoetropeError(f"{self.folder / layout.INFO}: features: {name} is missing")
        return info

    def _read_tasks(self) -> tuple[str, ...]:
        """Tasks by number. Their column is the table's index, whatever that is called."""
        path = self.folder / layout.TASKS
        table = arrow.read_table(path)
        names = [name for name in table.column_names if name != "task_index"]
        if "task_index" not in table.column_names or len(names) != 1:
            raise ZoetropeError(f"{path}: expected columns task_index and task, found {', '.join(table.column_names)}")
        tasks = dict(zip(table.column("task_index").to_pylist(), table.column(names[0]).to_pylist()))
        if sorted(tasks) != list(range(len(tasks))):
            raise ZoetropeError(f"{path}: task_index: expected 0 to {len(tasks) - 1}, found {sorted(tasks)}")
        return tuple(tasks[number] for number in range(len(tasks)))

    def _read_episodes(self) -> list[dict[str, Any]]:
        """Rows of `meta/episodes` without statistics, in order; checked against `info.json` and against each other."""
        folder = self.folder / "meta" / "episodes"
        paths = sorted(folder.glob("*/*.parquet"))
        if not paths:
            raise ZoetropeError(f"{folder}: missing; the dataset is not whole, copy or write it again")
        rows: list[dict[str, Any]] = []
        for path in paths:
            table = arrow.read_table(path)
            missing = [name for name in _NEEDED if name not in table.column_names]
            if missing:
                raise ZoetropeError(f"{path}: column {missing[0]} is missing")
            rows += table.select([n for n in table.column_names if not n.startswith("stats/")]).to_pylist()
        rows.sort(key=lambda row: row["episode_index"])
        frames = 0
        for number, row in enumerate(rows):
            if row["episode_index"] != number or row["dataset_from_index"] != frames:
                raise ZoetropeError(f"{folder}: episode {number} is missing, or another begins where it should")
            frames += row["length"]
        if (len(rows), frames) != (self.info["total_episodes"], self.info["total_frames"]):
            raise ZoetropeError(
                f"{folder}: {len(rows)} episodes of {frames} frames, where {layout.INFO} tells of "
                f"{self.info['total_episodes']} of {self.info['total_frames']}; copy or write the dataset again"
            )
        return rows

    def _rows(self, row: dict[str, Any]) -> tuple[Any, Path]:
        """The frames of an episode, all that `meta/episodes` tells of."""
        places = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
        path = self.folder / self.info["data_path"].format(**places)
        table = arrow.read_table(path, filters=[("episode_index", "=", row["episode_index"])])
        missing = [name for name in self.features if name not in table.column_names]
        if missing:
            raise ZoetropeError(f"{path}: column {missing[0]} is missing")
        expected = np.arange(row["dataset_from_index"], row["dataset_to_index"])
        if table.num_rows != row["length"] or not np.array_equal(arrow.numbers(table, "index")[:, 0], expected):
            raise ZoetropeError(
                f"{path}: episode {row['episode_index']}: expected frames {expected[0]} to {expected[-1]}, "
                f"found {table.num_rows} of {row['length']} in order"
            )
        return table, path

    def _images(self, table: Any, camera: str, path: Path) -> np.ndarray:
        """uint8 (T, H, W, 3) RGB of one camera."""
        import cv2

        height, width = self.features[camera]["shape"][:2]
        out = np.empty((table.num_rows, height, width, 3), np.uint8)
        for t, cell in enumerate(table.column(camera).to_pylist()):
            data = cell["bytes"] if cell else None
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
            if image is None or image.shape != out.shape[1:]:
                found = "no picture" if image is None else f"one of {image.shape[1]} x {image.shape[0]}"
                raise ZoetropeError(f"{path}: {camera}, frame {t}: expected a picture of {width} x {height}, found {found}")
            out[t] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return out
