"""Demonstrations written as a LeRobot v3.0 dataset in image mode, which `LeRobotDataset` loads offline.

Every episode is first a part of its own, `.parts/<name>.parquet`, which appears whole; `finish` packs the parts into data files
and writes the tables. `meta/info.json` appears last and goes first, so a folder holds a dataset or none. A run cut off by
`kill -9` resumes with what is missing; packed episodes are named in the data file's own footer, so none comes in twice. Any
number of processes may add episodes; one finishes, when none adds. More episodes may be added later.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ZoetropeError
from core.files import atomic_path
from robotics.lerobot import arrow, layout, stats
from robotics.lerobot.demonstration import Demonstration
from robotics.lerobot.layout import Layout, file_path
from robotics.lerobot.stats import Stats

PARTS = ".parts"
_FOOTER = "zoetrope"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_PANDAS = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Record:
    """What is known of an episode without its frames."""

    name: str
    task: str
    length: int
    source: str
    metadata: dict[str, str]
    stats: Stats


class DatasetWriter:
    """Writes one dataset; see the module."""

    def __init__(self, folder: str | Path, layout: Layout):
        self.folder, self.layout = Path(folder), layout
        self._parts = self.folder / PARTS
        arrow.load()
        if (self.folder / "meta").exists() and not self._data_files():
            raise ZoetropeError(f"{self.folder}: holds a dataset without data of ours; write into another folder")
        for path in (self._data_files() or self._part_files())[:1]:
            self._footer(path)
        self._packed = {record.name for records in self._packed_records() for record in records}

    def has(self, name: str) -> bool:
        """Whether the episode of this name is in the folder."""
        return name in self._packed or self._part(name).exists()

    def names(self) -> list[str]:
        """All episodes in the folder, in order of their names."""
        return sorted(self._packed | {p.stem for p in self._part_files()})

    def add(self, name: str, demonstration: Demonstration) -> None:
        """Write one episode; nothing if it is there already."""
        if not _NAME.fullmatch(name):
            raise ZoetropeError(f"episode '{name}': no file name; use letters, digits, '.', '_', '-'")
        if self.has(name):
            return
        columns = self._columns(name, demonstration)
        episode, features = demonstration.episode, self.layout.recorded()
        record = _Record(
            name=name,
            task=episode.text,
            length=len(episode),
            source=demonstration.source,
            metadata=episode.metadata,
            stats={key: _stats_of(key, columns[key], features[key]["dtype"]) for key in features if key != layout.SOURCE},
        )
        columns |= {layout.CAMERA + c: _png(episode.frames[:, v]) for v, c in enumerate(self.layout.cameras)}
        pa, _ = arrow.load()
        schema = arrow.schema(features, self._metadata([record]))
        table = pa.Table.from_arrays([arrow.column(columns[f.name], f.type) for f in schema], schema=schema)
        with _writing(self.folder), atomic_path(self._part(name)) as temporary, arrow.writer(temporary, schema) as file:
            file.write_table(table)

    def finish(self) -> int:
        """Make the folder a dataset of all its episodes; returns how many. What is new since the last time comes last."""
        self._packed = {record.name for records in self._packed_records() for record in records}
        for path in self._part_files():
            if path.stem in self._packed:  # cut off between packing and this
                path.unlink()
        parts = self._part_files()
        if not parts and not self._packed:
            raise ZoetropeError(f"{self.folder}: no episodes to make a dataset of")
        info = self.folder / layout.INFO
        with _writing(self.folder):
            if parts or not info.exists():
                info.unlink(missing_ok=True)
                self._pack(parts)
                self._write_tables()
            shutil.rmtree(self._parts, ignore_errors=True)
        return len(self._packed)

    # --- parts ---

    def _part(self, name: str) -> Path:
        return self._parts / f"{name}.parquet"

    def _part_files(self) -> list[Path]:
        """Finished parts by name; what begins with a dot was cut off."""
        return sorted(p for p in self._parts.glob("*.parquet") if not p.name.startswith("."))

    def _columns(self, name: str, demonstration: Demonstration) -> dict[str, Any]:
        """Columns of the layout, frames as pixels. Raises ZoetropeError for what does not fit it."""
        episode, steps, wanted = demonstration.episode, len(demonstration.episode), self.layout
        frames = (steps, len(wanted.cameras), wanted.height, wanted.width, 3)
        if steps == 0 or episode.frames.shape != frames:
            raise ZoetropeError(f"episode '{name}': frames: expected {frames}, found {episode.frames.shape}")
        columns: dict[str, Any] = {layout.CAMERA + c: episode.frames[:, v] for v, c in enumerate(wanted.cameras)}
        vectors: dict[str, tuple[np.ndarray | None, tuple[str, ...]]] = {
            layout.STATE: (demonstration.state, wanted.state),
            layout.ACTION: (episode.action, wanted.action),
        }
        if wanted.environment_state or demonstration.environment_state is not None:
            vectors[layout.ENVIRONMENT_STATE] = (demonstration.environment_state, wanted.environment_state)
        if wanted.rewards:
            columns[layout.DONE] = episode.terminated
            vectors[layout.REWARD] = (episode.reward, ())
        for key, (values, names) in vectors.items():
            shape = (steps,) if key == layout.REWARD else (steps, len(names))
            if values is None or values.shape != shape or values.dtype.kind != "f":
                found = "none" if values is None else f"{values.dtype} {values.shape}"
                raise ZoetropeError(f"episode '{name}': {key}: expected float {shape}, found {found}")
            if not np.isfinite(values).all():
                raise ZoetropeError(f"episode '{name}': {key}: holds numbers that are not finite")
            columns[key] = values.astype(np.float32)
        if wanted.rewards and episode.terminated is None:
            raise ZoetropeError(f"episode '{name}': {layout.DONE}: expected bool ({steps},), found none")
        count = np.arange(steps)
        return columns | {
            layout.SOURCE: [demonstration.source] * steps,
            layout.ACTION_IS_PSEUDO: demonstration.action_is_pseudo,
            layout.CONFIDENCE: demonstration.confidence.astype(np.float32),
            "timestamp": (count / wanted.rate).astype(np.float32),
            "frame_index": count,
        }

    # --- footers ---

    def _metadata(self, records: Sequence[_Record]) -> dict[str, str]:
        return {_FOOTER: json.dumps({"layout": asdict(self.layout), "episodes": [asdict(r) for r in records]})}

    def _footer(self, path: Path) -> list[_Record]:
        """Episodes of a file of ours. Raises ZoetropeError where it is none, or of another layout."""
        found = arrow.read_metadata(path, _FOOTER)
        if found is None:
            raise ZoetropeError(f"{path}: not written by this program; write into another folder")
        expected = json.loads(json.dumps(asdict(self.layout)))
        for key, value in expected.items():
            if found["layout"].get(key) != value:
                raise ZoetropeError(
                    f"{path}: layout: {key} is {found['layout'].get(key)} there and {value} here; write into another folder"
                )
        return [_Record(**record) for record in found["episodes"]]

    # --- packing ---

    def _data_files(self) -> list[Path]:
        return sorted(self.folder.glob("data/*/*.parquet"))

    def _packed_records(self) -> list[list[_Record]]:
        """Episodes of each data file, in order."""
        return [self._footer(path) for path in self._data_files()]

    def _pack(self, parts: list[Path]) -> None:
        """Move parts into data files, one row group an episode; each file appears whole, then its parts go."""
        before = [record for records in self._packed_records() for record in records]
        number, first = len(self._data_files()), sum(record.length for record in before)
        tasks = _tasks(before)
        for group in _groups(parts):
            records = [record for path in group for record in self._footer(path)]
            tasks = _tasks([*before, *records])
            places = [self._place(len(before) + k, records, k, first, tasks) for k in range(len(records))]
            records = [
                _Record(**{**asdict(r), "stats": r.stats | {key: stats.of_numbers(v) for key, v in place.items()}})
                for r, place in zip(records, places)
            ]
            schema = arrow.schema(self.layout.features(), self._metadata(records))
            with (
                self._placing(file_path(layout.DATA_PATH, number)) as temporary,
                arrow.writer(temporary, schema) as file,
            ):
                for path, place in zip(group, places):
                    table = arrow.read_table(path)
                    for key, values in place.items():
                        table = table.append_column(schema.field(key), arrow.column(values, schema.field(key).type))
                    file.write_table(table)
            self._packed |= {record.name for record in records}
            for path in group:
                path.unlink()
            before += records
            first += sum(record.length for record in records)
            number += 1

    @staticmethod
    def _place(episode: int, records: list[_Record], k: int, first: int, tasks: dict[str, int]) -> dict[str, np.ndarray]:
        """Columns that say where in the dataset episode `k` of a data file stands; the file begins with frame `first`."""
        start, length = first + sum(record.length for record in records[:k]), records[k].length
        return {
            "episode_index": np.full(length, episode),
            "index": np.arange(start, start + length),
            "task_index": np.full(length, tasks[records[k].task]),
        }

    def _write_tables(self) -> None:
        """Tables of all packed episodes; `info.json`, by which the folder is a dataset, last."""
        files = self._packed_records()
        records = [record for file in files for record in file]
        tasks, frames = _tasks(records), sum(record.length for record in records)
        self._write_table(file_path(layout.EPISODES_PATH, 0), _episodes_table(files))
        self._write_table(layout.TASKS, _tasks_table(tasks))
        self._write_json(layout.STATS, stats.together([r.stats for r in records]))
        self._write_json(layout.INFO, self.layout.info(len(records), frames, len(tasks)))

    def _write_json(self, path: str, content: dict[str, Any]) -> None:
        with self._placing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")

    def _write_table(self, path: str, table: Any) -> None:
        with self._placing(path) as temporary, arrow.writer(temporary, table.schema) as file:
            file.write_table(table)

    @contextmanager
    def _placing(self, path: str) -> Iterator[Path]:
        """A file that appears whole, made outside the dataset's folders: LeRobot would read what is left there half-written."""
        made, final = self._parts / "whole" / Path(path).name, self.folder / path
        with atomic_path(made) as temporary:
            yield temporary
        final.parent.mkdir(parents=True, exist_ok=True)
        made.replace(final)


def _stats_of(key: str, values: np.ndarray, dtype: str) -> dict[str, list]:
    return stats.of_images(values) if dtype == "image" else stats.of_numbers(values)


def _png(frames: np.ndarray) -> list[bytes]:
    """uint8 (T, H, W, 3) RGB -> PNG files, lossless."""
    import cv2

    return [cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1].tobytes() for frame in frames]


def _groups(parts: list[Path]) -> Iterator[list[Path]]:
    """Parts that together make a data file."""
    group: list[Path] = []
    size = 0
    for path in parts:
        more = path.stat().st_size
        if group and size + more > layout.DATA_FILE_MB * 1024**2:
            yield group
            group, size = [], 0
        group.append(path)
        size += more
    if group:
        yield group


def _tasks(records: Sequence[_Record]) -> dict[str, int]:
    """Task -> its number, in order of first appearance: more episodes never change a number that is in use."""
    return {task: number for number, task in enumerate(dict.fromkeys(record.task for record in records))}


def _tasks_table(tasks: dict[str, int]) -> Any:
    """`tasks.parquet` as pandas would write it, the task being its index."""
    pa, _ = arrow.load()
    number = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    pandas = {
        "index_columns": [layout.TASK_NAMES],
        "column_indexes": [{"name": None, "field_name": None, **_PANDAS, "metadata": {"encoding": "UTF-8"}}],
        "columns": [number, {"name": None, "field_name": layout.TASK_NAMES, **_PANDAS}],
        "pandas_version": "2.0.0",
    }
    schema = pa.schema([("task_index", pa.int64()), (layout.TASK_NAMES, pa.string())], {"pandas": json.dumps(pandas)})
    return pa.table([list(tasks.values()), list(tasks)], schema=schema)


def _episodes_table(files: Sequence[Sequence[_Record]]) -> Any:
    """`meta/episodes`: where each episode is, how long, what of, its statistics; and beyond LeRobot its name and provenance."""
    rows: list[dict[str, Any]] = []
    start = 0
    for number, records in enumerate(files):
        for record in records:
            row = {
                "episode_index": len(rows),
                "tasks": [record.task],
                "length": record.length,
                "data/chunk_index": number // layout.CHUNK_FILES,
                "data/file_index": number % layout.CHUNK_FILES,
                "dataset_from_index": start,
                "dataset_to_index": start + record.length,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
                "name": record.name,
                "source": record.source,
                "metadata": json.dumps(record.metadata),
            }
            figures = {f"stats/{key}/{n}": v for key, found in record.stats.items() for n, v in found.items()}
            rows.append(row | figures)
            start += record.length
    pa, _ = arrow.load()
    return pa.table({key: [row[key] for row in rows] for key in rows[0]})


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """A disk that is full or may not be written becomes one clear line."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise ZoetropeError(
            f"{where}: cannot be written ({error.strerror}); finished episodes are kept, run again to go on"
        ) from None
