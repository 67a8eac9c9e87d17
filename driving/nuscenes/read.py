"""nuScenes read into scenes and episodes: real recordings and what `driving.nuscenes.write` wrote, by one reader.

Plain JSON, without the devkit, which would pin NumPy below 2 for everybody; tests hold the reader against the devkit.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.episodes.episode import Episode
from core.errors import ZoetropeError
from driving.nuscenes.geometry import transform, yaw_of
from driving.nuscenes.roads import read_road
from driving.nuscenes.tables import EXTRA, TABLES, Record
from driving.rig import Camera, Rig, nuscenes_rig
from driving.scene import CATEGORIES, RATE, Actor, Ambience, Event, Scene
from driving.source.record import actions

MAX_GAP = 2.0
"""Seconds without annotation over which a track is interpolated; over longer ones the actor is gone."""
_GREY = (128, 128, 128)
"""Paint of actors whose colour the dataset does not tell."""
_NEAREST = {
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.personal_mobility": "pedestrian",
    "human.pedestrian.police_officer": "pedestrian",
    "human.pedestrian.stroller": "child",
    "human.pedestrian.wheelchair": "pedestrian",
    "movable_object.pushable_pullable": "debris",
    "vehicle.bus.bendy": "bus",
    "vehicle.construction": "truck",
    "vehicle.trailer": "truck",
}
"""Our category for those of nuScenes' that no scenario names; what neither knows (bicycle racks) is left out."""
_WORDS = {
    "rain": {"rain": 0.6, "cloud": 1.0},
    "snow": {"snow": 0.6, "cloud": 1.0},
    "fog": {"fog": 0.6, "cloud": 1.0},
    "night": {"sun_elevation": -30.0},
}
"""What words in a description of a real recording say about its weather and light."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """A scene with its pictures, frame by frame at RATE from its first keyframe to its last."""

    scene: Scene
    episode: Episode
    """`pose` is the cameras' own at the time of each picture; `action` as the source world records it."""


class Dataset:
    """A nuScenes dataset's folder. Its tables are read when first needed."""

    def __init__(self, folder: str | Path, version: str | None = None):
        self.folder = Path(folder)
        if version is None:
            found = sorted(p.name for p in self.folder.glob("v1.0-*") if p.is_dir())
            if len(found) != 1:
                raise ZoetropeError(
                    f"{self.folder}: expected one version of nuScenes tables (v1.0-...), found {found or 'none'}"
                )
            version = found[0]
        self.version = version
        self._tables: dict[str, list[Record]] = {}
        self._indices: dict[tuple[str, str], dict[str, list[Record]]] = {}

    def names(self) -> list[str]:
        """All scenes, in order."""
        return sorted(record["name"] for record in self.table("scene"))

    def table(self, name: str) -> list[Record]:
        """The records of one of the 13 tables."""
        if name not in self._tables:
            path = self._path(name)
            try:
                self._tables[name] = json.loads(path.read_bytes())
            except FileNotFoundError:
                raise ZoetropeError(f"{path}: missing; a nuScenes dataset has the tables {', '.join(TABLES)}") from None
            except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
                raise ZoetropeError(f"{path}: not readable as a table ({error})") from None
        return self._tables[name]

    def where(self, table: str, field: str, value: str) -> list[Record]:
        """The records of a table that have this value in a field."""
        if (table, field) not in self._indices:
            index: dict[str, list[Record]] = defaultdict(list)
            for record in self.table(table):
                index[record[field]].append(record)
            self._indices[table, field] = index
        return self._indices[table, field].get(value, [])

    def get(self, table: str, token: str) -> Record:
        """The record with this token."""
        if not (found := self.where(table, "token", token)):
            raise ZoetropeError(f"{self._path(table)}: no record '{token}', which another table names")
        return found[0]

    def scene(self, name: str) -> Record:
        """The record of a scene by its name."""
        if not (found := self.where("scene", "name", name)):
            names = self.names()
            raise ZoetropeError(
                f"{self._path('scene')}: no scene '{name}'; there are {', '.join(names[:8])}{' ...' * (len(names) > 8)}"
            )
        return found[0]

    def read(self, name: str, width: int | None = None, height: int | None = None) -> Recording:
        """A scene with its pictures at this size, or as they are.

        Sweeps and keyframes are resampled to RATE, each frame showing the nearest picture of each camera. Annotations between
        keyframes are interpolated. A scene is flat: ego poses and boxes lose their height, roll and pitch, and its rig only
        names yaw, pitch and focal length of the cameras; the episode keeps their poses and intrinsics as recorded.
        """
        return _SceneReader(self, self.scene(name)).read(width, height)

    def _path(self, table: str) -> Path:
        return self.folder / self.version / f"{table}.json"


class _SceneReader:
    def __init__(self, data: Dataset, scene: Record):
        self.data, self.record = data, scene
        self.extra: dict[str, Any] = scene.get(EXTRA, {})
        self.samples = sorted(data.where("sample", "scene_token", scene["token"]), key=lambda s: s["timestamp"])
        if not self.samples:
            raise ZoetropeError(f"{data.folder}/{data.version}/sample.json: none of scene '{scene['name']}'")
        first, last = self.samples[0]["timestamp"], self.samples[-1]["timestamp"]
        self.times = first + np.arange(round((last - first) * RATE / 1e6) + 1) * (1_000_000 // RATE)

    def read(self, width: int | None, height: int | None) -> Recording:
        views = [self._shown(records) for records in self.cameras.values()]
        width, height = int(width or views[0][0]["width"]), int(height or views[0][0]["height"])
        intrinsics = np.stack([self._intrinsics(v[0], width, height) for v in views])
        path = self._ego()
        location = self.data.get("log", self.record["log_token"])["location"]
        road, origin = read_road(self.data.folder, location, path[:, :2])
        ego = path - [*origin, 0, 0]
        poses = np.stack([[self._camera_pose(record) for record in view] for view in views], 1)
        poses[..., :2, 3] -= origin
        actors, tracks, numbers = self._actors()
        tracks[..., :2] -= origin
        scene = Scene(
            name=self.record["name"],
            road=road,
            rig=self._rig([v[0] for v in views], intrinsics, width, height),
            ambience=self._ambience(),
            ego=ego,
            actors=actors,
            tracks=tracks,
            events=self._events(numbers),
            text=self.record["description"],
            scenario=self.extra.get("scenario", ""),
            seed=self.extra.get("seed", 0),
        )
        frames = np.stack([[self._picture(record, width, height) for record in view] for view in views], 1)
        episode = Episode(
            frames=frames,
            action=actions(ego),
            pose=poses.astype(np.float32),
            intrinsics=intrinsics,
            text=scene.text,
            metadata={"source": "nuscenes", "dataset": self.data.version, "scene": scene.name},
        )
        return Recording(scene=scene, episode=episode)

    @cached_property
    def cameras(self) -> dict[str, list[Record]]:
        """Pictures of each camera in order of time; cameras in the rig's order where it is known, else in nuScenes'."""
        found: dict[str, list[Record]] = defaultdict(list)
        for sample in self.samples:
            for record in self.data.where("sample_data", "sample_token", sample["token"]):
                sensor = self.data.get("sensor", self._calibration(record)["sensor_token"])
                if sensor["modality"] == "camera":
                    found[sensor["channel"]].append(record)
        if not found:
            raise ZoetropeError(
                f"{self.data.folder}/{self.data.version}/sample_data.json: no camera in scene '{self.record['name']}'"
            )
        order = self.extra.get("cameras") or [c.name for c in nuscenes_rig().cameras]
        names = [n for n in order if n in found] + sorted(set(found) - set(order))
        return {name: sorted(found[name], key=lambda r: r["timestamp"]) for name in names}

    def _calibration(self, record: Record) -> Record:
        return self.data.get("calibrated_sensor", record["calibrated_sensor_token"])

    def _shown(self, records: list[Record]) -> list[Record]:
        """The picture nearest in time to each frame."""
        stamps = np.array([r["timestamp"] for r in records])
        return [records[int(np.abs(stamps - t).argmin())] for t in self.times]

    def _intrinsics(self, record: Record, width: int, height: int) -> np.ndarray:
        k = np.array(self._calibration(record)["camera_intrinsic"], np.float64)
        return (np.diag([width / record["width"], height / record["height"], 1]) @ k).astype(np.float32)

    def _picture(self, record: Record, width: int, height: int) -> np.ndarray:
        import cv2

        path = self.data.folder / record["filename"]
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.exists() else None
        if picture is None:
            raise ZoetropeError(f"{path}: missing or no picture; {self.data.version}/sample_data.json names it")
        if picture.shape[:2] != (height, width):
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        return picture[..., ::-1]

    def _camera_pose(self, record: Record) -> np.ndarray:
        ego, camera = self.data.get("ego_pose", record["ego_pose_token"]), self._calibration(record)
        return transform(ego["translation"], ego["rotation"]) @ transform(camera["translation"], camera["rotation"])

    def _ego(self) -> np.ndarray:
        """float64 (T, 4) x, y, yaw, speed on the plane."""
        tokens = {r["ego_pose_token"] for view in self.cameras.values() for r in view}
        known = {pose["timestamp"]: pose for pose in (self.data.get("ego_pose", t) for t in tokens)}
        stamps = np.array(sorted(known))
        places = np.array([known[s]["translation"][:2] for s in stamps])
        yaws = np.unwrap([yaw_of(known[s]["rotation"]) for s in stamps])
        return _resample(stamps, places, yaws, self.times)

    def _rig(self, views: list[Record], intrinsics: np.ndarray, width: int, height: int) -> Rig:
        cameras = []
        for name, record, k in zip(self.cameras, views, intrinsics):
            calibration = self._calibration(record)
            x, y, z = transform([0, 0, 0], calibration["rotation"])[:3, 2]
            px, py, pz = calibration["translation"]
            cameras.append(
                Camera(
                    name=name,
                    position=(px, py, pz),
                    yaw=math.degrees(math.atan2(y, x)),
                    pitch=math.degrees(math.asin(max(-1.0, min(1.0, -z)))),
                    focal=float(k[0, 0]) / width,
                )
            )
        return Rig(cameras=tuple(cameras), width=width, height=height)

    def _ambience(self) -> Ambience:
        if "ambience" in self.extra:
            return Ambience(**self.extra["ambience"])
        text, values = self.record["description"].lower(), {}
        for word, meaning in _WORDS.items():
            values |= meaning if word in text else {}
        return Ambience(**values)

    def _events(self, numbers: dict[int, int]) -> tuple[Event, ...]:
        """As written, with the actors' new numbers; without what only befalls actors that were never annotated."""
        told = [Event(**event) for event in self.extra.get("events", ())]
        return tuple(
            Event(name=e.name, frame=e.frame, actor=None if e.actor is None else numbers[e.actor])
            for e in told
            if e.frame < len(self.times) and (e.actor is None or e.actor in numbers)
        )

    def _actors(self) -> tuple[tuple[Actor, ...], np.ndarray, dict[int, int]]:
        """Actors, their tracks (N, T, 4), and which number each had when it was written."""
        notes: dict[str, list[tuple[int, Record]]] = defaultdict(list)
        for sample in self.samples:
            for note in self.data.where("sample_annotation", "sample_token", sample["token"]):
                notes[note["instance_token"]].append((sample["timestamp"], note))
        actors, tracks, numbers = [], [], {}
        for instance in sorted((self.data.get("instance", token) for token in notes), key=_written_order):
            own = notes[instance["token"]]
            wide, long, high = np.mean([note["size"] for _, note in own], axis=0).tolist()
            extra = instance.get(EXTRA, {})
            name = self.data.get("category", instance["category_token"])["name"]
            if (category := extra.get("category") or _category(name, (wide, long, high))) is None:
                continue
            numbers[extra.get("actor", -1)] = len(actors)
            red, green, blue = extra.get("colour", _GREY)
            actors.append(
                Actor(
                    id=len(actors),
                    category=category,
                    size=(wide, long, high),
                    colour=(red, green, blue),
                    parked=extra.get("parked", self._parked(own)),
                )
            )
            tracks.append(self._track(own))
        return tuple(actors), np.stack(tracks) if tracks else np.zeros((0, len(self.times), 4)), numbers

    def _parked(self, own: list[tuple[int, Record]]) -> bool:
        attributes = {self.data.get("attribute", a)["name"] for _, note in own for a in note["attribute_tokens"]}
        return attributes in ({"vehicle.parked"}, {"cycle.without_rider"})

    def _track(self, own: list[tuple[int, Record]]) -> np.ndarray:
        stamps = np.array([stamp for stamp, _ in own])
        places = np.array([note["translation"][:2] for _, note in own])
        yaws = np.unwrap([yaw_of(note["rotation"]) for _, note in own])
        out = _resample(stamps, places, yaws, self.times)
        half = 500_000 // RATE
        after = np.searchsorted(stamps, self.times - half)
        before = np.searchsorted(stamps, self.times + half, side="right") - 1
        inside = (after < len(stamps)) & (before >= 0)
        gap = stamps[after.clip(0, len(stamps) - 1)] - stamps[before.clip(0)]
        out[~inside | (gap > MAX_GAP * 1e6)] = np.nan
        return out


def _resample(stamps: np.ndarray, places: np.ndarray, yaws: np.ndarray, times: np.ndarray) -> np.ndarray:
    """float64 (T, 4) x, y, yaw, speed at `times` of a body known at `stamps` (microseconds)."""
    speeds = np.zeros(len(stamps))
    if len(stamps) > 1:
        velocity = np.gradient(places, stamps / 1e6, axis=0)
        speeds = velocity[:, 0] * np.cos(yaws) + velocity[:, 1] * np.sin(yaws)
    return np.stack([np.interp(times, stamps, v) for v in (*places.T, yaws, speeds)], 1)


def _written_order(instance: Record) -> tuple[int, str]:
    return instance.get(EXTRA, {}).get("actor", 0), instance["token"]


def _category(name: str, size: tuple[float, float, float]) -> str | None:
    """Ours for a nuScenes category: of those that share it, the one nearest in size."""
    if name in _NEAREST:
        return _NEAREST[name]
    same = [ours for ours, category in CATEGORIES.items() if category.nuscenes == name]
    return min(same, key=lambda ours: math.dist(size, CATEGORIES[ours].size), default=None)
