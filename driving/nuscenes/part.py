"""One scene as nuScenes records and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from core.errors import ZoetropeError
from driving.nuscenes import lidar, maps
from driving.nuscenes.geometry import box_pose, quaternion, transform, yaw_quaternion
from driving.nuscenes.labels import Label, attribute, labels
from driving.nuscenes.tables import EXTRA, KEYFRAME, LIDAR, Record, token, visibility_token
from driving.scene import CATEGORIES, RATE, Images, Scene

JPEG_QUALITY = 92
START = datetime(2020, 1, 1, tzinfo=UTC)
"""When scenes begin, each at a moment of its own in the year that follows: the devkit wants their beginnings to differ."""
_YEAR = 365 * 24 * 3600 * 1000
"""Milliseconds."""
_DIGITS = 6
"""Decimals of metres and quaternions."""


class ScenePart:
    """One scene's records as its frames come in."""

    def __init__(self, folder: Path, scene: Scene, location: str):
        self.folder, self.scene, self.location = folder, scene, location
        self.origin = maps.origin(scene.road)
        self.channels = [c.name for c in scene.rig.cameras]
        self.calibrations = self._calibrations()
        self.poses: list[Record] = []
        self.data: list[Record] = []
        self.labels: list[list[Label]] = []
        self.start = START + int(self._token("start"), 16) % _YEAR * timedelta(milliseconds=1)
        self.frames = 0

    def frame(self, t: int, images: Images) -> None:
        """Write the pictures and points of frame t and remember its records."""
        import cv2

        rig = self.scene.rig
        wanted = (len(rig.cameras), rig.height, rig.width)
        if images.colour.shape != (*wanted, 3) or images.depth.shape != wanted:
            raise ZoetropeError(
                f"scene '{self.scene.name}': frame {t}: expected pictures {(*wanted, 3)} with depth {wanted}, "
                f"found {images.colour.shape} and {images.depth.shape}"
            )
        for view, channel in enumerate(self.channels):
            data = self._data(t, channel, "jpg", rig.width, rig.height)
            good, jpeg = cv2.imencode(".jpg", images.colour[view][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            assert good
            self._write(data, jpeg.tobytes())
        if t % KEYFRAME == 0:
            self._keyframe(t, images)
        self.frames += 1

    def _keyframe(self, t: int, images: Images) -> None:
        points = lidar.point_cloud(images, self.scene.rig)
        self._write(self._data(t, LIDAR, "pcd", 0, 0), points.tobytes())
        calibration, pose = self.calibrations[-1], self.poses[-1]
        to_dataset = transform(pose["translation"], pose["rotation"]) @ transform(
            calibration["translation"], calibration["rotation"]
        )
        world = points[:, :3].astype(np.float64) @ to_dataset[:3, :3].T + to_dataset[:3, 3] - [*self.origin, 0]
        self.labels.append(labels(self.scene, self.scene.moment(t), images, world))

    def tables(self) -> dict[str, list[Record]]:
        """The scene's records; `calibrated_sensor` with the channel, for the sensor table."""
        scene, samples = self.scene, self._samples()
        instances, annotations = self._annotations()
        _chain(self.data, lambda record: record["calibrated_sensor_token"])
        description = {
            "scenario": scene.scenario,
            "seed": scene.seed,
            "ambience": asdict(scene.ambience),
            "events": [asdict(e) for e in scene.events],
            "cameras": self.channels,
        }
        return {
            "instance": instances,
            "calibrated_sensor": self.calibrations,
            "ego_pose": self.poses,
            "log": [
                {
                    "token": self._token("log"),
                    "logfile": scene.name,
                    "vehicle": "zoetrope",
                    "date_captured": self.start.date().isoformat(),
                    "location": self.location,
                }
            ],
            "scene": [
                {
                    "token": self._token("scene"),
                    "log_token": self._token("log"),
                    "nbr_samples": len(samples),
                    "first_sample_token": samples[0]["token"],
                    "last_sample_token": samples[-1]["token"],
                    "name": scene.name,
                    "description": scene.text,
                    EXTRA: description,
                }
            ],
            "sample": samples,
            "sample_data": self.data,
            "sample_annotation": annotations,
        }

    def _timestamp(self, t: int) -> int:
        """Microseconds since 1970."""
        return round(self.start.timestamp() * 1e6) + t * 1_000_000 // RATE

    def _token(self, *parts: object) -> str:
        return token(self.scene.name, *parts)

    def _calibrations(self) -> list[Record]:
        rig = self.scene.rig
        out = [
            {
                "token": self._token("calibration", channel),
                "sensor_token": token("sensor", channel),
                "translation": _rounded(pose[:3, 3]),
                "rotation": _rounded(quaternion(pose[:3, :3])),
                "camera_intrinsic": [_rounded(row) for row in k],
                "channel": channel,
            }
            for channel, k, pose in zip(self.channels, rig.intrinsics(), rig.extrinsics())
        ]
        roof = {"translation": list(lidar.POSITION), "rotation": _rounded(lidar.ROTATION), "camera_intrinsic": []}
        channel = {"token": self._token("calibration", LIDAR), "sensor_token": token("sensor", LIDAR)}
        return [*out, {**channel, **roof, "channel": LIDAR}]

    def _data(self, t: int, channel: str, kind: str, width: int, height: int) -> Record:
        """sample_data and its ego_pose, which share a token as in nuScenes."""
        keyframe = t % KEYFRAME == 0
        this, time = self._token("data", channel, t), self._timestamp(t)
        x, y, yaw, _ = map(float, self.scene.ego[t])
        place = [x + self.origin[0], y + self.origin[1], 0.0]
        self.poses.append(
            {"token": this, "timestamp": time, "rotation": _rounded(yaw_quaternion(yaw)), "translation": _rounded(place)}
        )
        last = (len(self.scene) - 1) // KEYFRAME
        name = f"{self.scene.name}__{channel}__{time}.{'pcd.bin' if kind == 'pcd' else kind}"
        self.data.append(
            {
                "token": this,
                "sample_token": self._token("sample", min(-(-t // KEYFRAME), last)),
                "ego_pose_token": this,
                "calibrated_sensor_token": self._token("calibration", channel),
                "timestamp": time,
                "fileformat": kind,
                "is_key_frame": keyframe,
                "height": height,
                "width": width,
                "filename": f"{'samples' if keyframe else 'sweeps'}/{channel}/{name}",
            }
        )
        return self.data[-1]

    def _write(self, data: Record, content: bytes) -> None:
        """Not atomically: without the part, a picture counts as not written, and is written again."""
        path = self.folder / data["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def _samples(self) -> list[Record]:
        out = [
            {"token": self._token("sample", i), "timestamp": self._timestamp(i * KEYFRAME), "scene_token": self._token("scene")}
            for i in range(len(self.labels))
        ]
        _chain(out, lambda record: record["scene_token"])
        return out

    def _annotations(self) -> tuple[list[Record], list[Record]]:
        """instance and sample_annotation."""
        out = [self._annotation(i, label) for i, seen in enumerate(self.labels) for label in seen]
        _chain(out, lambda record: record["instance_token"])
        instances = []
        for actor in self.scene.actors:
            this = self._token("instance", actor.id)
            own = [record["token"] for record in out if record["instance_token"] == this]
            if own:
                instances.append(
                    {
                        "token": this,
                        "category_token": token("category", CATEGORIES[actor.category].nuscenes),
                        "nbr_annotations": len(own),
                        "first_annotation_token": own[0],
                        "last_annotation_token": own[-1],
                        EXTRA: {
                            "actor": actor.id,
                            "category": actor.category,
                            "colour": list(actor.colour),
                            "parked": actor.parked,
                        },
                    }
                )
        return instances, out

    def _annotation(self, sample: int, label: Label) -> Record:
        actor, state = label.actor, label.state
        pose = box_pose(state.x + self.origin[0], state.y + self.origin[1], state.yaw, actor.size[2])
        kind = attribute(actor, state.speed)
        return {
            "token": self._token("annotation", actor.id, sample),
            "sample_token": self._token("sample", sample),
            "instance_token": self._token("instance", actor.id),
            "visibility_token": visibility_token(label.visible),
            "attribute_tokens": [token("attribute", kind)] if kind else [],
            "translation": _rounded(pose[:3, 3]),
            "size": _rounded(actor.size),
            "rotation": _rounded(yaw_quaternion(state.yaw)),
            "num_lidar_pts": label.lidar_points,
            "num_radar_pts": 0,
        }


def _chain(records: list[Record], group: Callable[[Record], str]) -> None:
    """Set prev and next among the records of one group, which are in order of time."""
    last: dict[str, Record] = {}
    for record in records:
        record |= {"prev": "", "next": ""}
        if before := last.get(group(record)):
            before["next"], record["prev"] = record["token"], before["token"]
        last[group(record)] = record


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(float(v), _DIGITS) for v in values]
