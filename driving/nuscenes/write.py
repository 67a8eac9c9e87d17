"""Scenes with their pictures, written as a nuScenes dataset that the official devkit loads and evaluates.

Every scene is a part of its own: its pictures, then `.parts/<scene>.json` with its records, which appears whole and last.
So a run cut off by `kill -9` resumes with what is missing, and any number of processes or machines may write different scenes
into one folder. `finish` puts the parts together; it may be called again after more scenes have come.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from core.errors import ZoetropeError
from core.files import atomic_path, write_bytes, write_text
from driving.nuscenes import maps
from driving.nuscenes.part import ScenePart
from driving.nuscenes.tables import SCENE_TABLES, TABLES, Record, fixed_tables, sensors, token
from driving.road.network import Road
from driving.scene import Images, Scene

VERSION = "v1.0-zoetrope"
PARTS = ".parts"
SPLIT = "all"
RESERVED = ("train", "val", "test", "mini_train", "mini_val", "train_detect", "train_track")
"""Splits whose scenes the devkit knows by heart."""
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


class DatasetWriter:
    """Writes one dataset; see the module."""

    def __init__(self, folder: str | Path, version: str = VERSION):
        self.folder, self.version = Path(folder), version
        self._parts = self.folder / PARTS

    def has(self, scene: str) -> bool:
        """Whether this scene is in the folder."""
        return (self._parts / f"{scene}.json").exists()

    def scenes(self) -> list[str]:
        """Names of all scenes in the folder, in order."""
        return sorted(p.stem for p in self._parts.glob("*.json") if not p.name.startswith("."))

    def add(self, scene: Scene, images: Iterable[Images], split: str = SPLIT) -> None:
        """Write a scene and what its rig shows of each of its frames, in order; nothing if it is there already.

        `split` is a name of one's own, which the devkit finds in `splits.json`.
        """
        if split in RESERVED:
            raise ZoetropeError(f"scene '{scene.name}': split '{split}' belongs to the real nuScenes; take another name")
        for field, name in (("name", scene.name), ("road: name", scene.road.name)):
            if not _NAME.fullmatch(name):
                raise ZoetropeError(
                    f"scene '{scene.name}': {field}: '{name}' is no file name; use letters, digits, '.', '_', '-'"
                )
        if self.has(scene.name):
            return
        with _writing(self.folder):
            location = self._write_map(scene.road)
            part = ScenePart(self.folder, scene, location)
            for t, shown in zip(range(len(scene)), images):
                part.frame(t, shown)
            if part.frames < len(scene):
                raise ZoetropeError(f"scene '{scene.name}': {part.frames} pictures for {len(scene)} frames")
            record = {"split": split, "location": location, "tables": part.tables()}
            write_text(self._parts / f"{scene.name}.json", json.dumps(record, separators=(",", ":")))

    def finish(self) -> None:
        """Put all scenes in the folder together: 13 tables and `splits.json`, the same bytes whatever order they came in."""
        if not (names := self.scenes()):
            raise ZoetropeError(f"{self.folder}: no scenes to make a dataset of")
        splits: dict[str, list[str]] = {}
        logs: dict[str, list[str]] = {}
        channels: set[str] = set()
        with _writing(self.folder), ExitStack() as stack:
            tables = {name: stack.enter_context(_Rows.open(self.folder / self.version / f"{name}.json")) for name in TABLES}
            for name in names:
                part = self._read_part(name)
                splits.setdefault(part["split"], []).append(name)
                logs.setdefault(part["location"], []).extend(log["token"] for log in part["tables"]["log"])
                channels |= {record.pop("channel") for record in part["tables"]["calibrated_sensor"]}
                for table in SCENE_TABLES:
                    tables[table].add(part["tables"][table])
            for table, records in fixed_tables().items():
                tables[table].add(records)
            tables["sensor"].add(sensors(channels))
            tables["map"].add(_map_record(location, logs[location]) for location in sorted(logs))
            write_text(self.folder / self.version / "splits.json", json.dumps(splits, indent=1))

    def _read_part(self, scene: str) -> dict[str, Any]:
        path = self._parts / f"{scene}.json"
        try:
            return json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise ZoetropeError(f"{path}: damaged; delete it and write the scene again") from None

    def _write_map(self, road: Road) -> str:
        """The two maps of a road, once; returns its location: its name and a digest, as roads of one name may differ."""
        import cv2

        text = json.dumps(maps.expansion(road), separators=(",", ":"))
        location = f"{road.name}-{token(text)[:6]}"
        vectors = self.folder / "maps" / "expansion" / f"{location}.json"
        if not vectors.exists():
            write_bytes(self.folder / _map_record(location, [])["filename"], cv2.imencode(".png", maps.mask(road))[1].tobytes())
            write_text(vectors, text)
        return location


class _Rows:
    """A table that is written record by record."""

    def __init__(self, file: Any):
        self._file, self._count = file, 0

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[_Rows]:
        """The file appears whole when the block ends."""
        with atomic_path(path) as temporary, temporary.open("w") as file:
            file.write("[\n")
            yield cls(file)
            file.write("\n]\n")

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            self._file.write((",\n" if self._count else "") + json.dumps(record))
            self._count += 1


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """A disk that is full or may not be written becomes one clear line."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise ZoetropeError(
            f"{where}: cannot be written ({error.strerror}); finished scenes are kept, run again to go on"
        ) from None


def _map_record(location: str, logs: list[str]) -> Record:
    this = token("map", location)
    return {"category": "semantic_prior", "token": this, "filename": f"maps/{this}.png", "log_tokens": logs}
