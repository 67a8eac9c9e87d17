"""Recordings as they lie on disk: comma2k19 segments, and videos with or without a file that says how the car moved.

A segment is a folder with `video.hevc` (or another video of that name), `global_pose/frame_times` and, as in comma2k19
(arXiv 1812.05752), `global_pose/frame_positions` and `frame_orientations`; where these are missing, the speed of
`processed_log/CAN` and the gyroscope of `processed_log/IMU`. The arrays are NumPy's, with or without the suffix .npy.

A video NAME.mp4 may have NAME.csv beside it, with columns speed (m/s), yaw_rate (rad/s, to the left) and, unless there is one
row a frame, time (s since the first frame); or NAME.json with lists of the same names and, if known, the lens: focal (pixels)
and centre (column, row).
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.config import from_dict
from core.errors import ZoetropeError
from driving.real.lens import Lens
from driving.real.motion import camera_poses, integrate, track_of
from driving.real.video import SUFFIXES, Video
from driving.rig import Camera

POSE, LOGS = "global_pose", "processed_log"
COMMA_WIDTH, COMMA_FOCAL = 1164, 910.0
"""Of comma2k19's camera (an EON): pixels of its picture's width, and its focal length in such pixels; centre in the middle."""
DOWN = 2
"""Component of the gyroscope about the axis that points down: to turn left is negative there."""
LATE = 0.25
"""Seconds by which a log may begin after a video, or end before it."""
FASTEST, QUICKEST = 100.0, 4.0
"""m/s and rad/s beyond which a number was no car's, but another unit's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One drive, filmed by one camera; N frames."""

    name: str
    video: Video
    lens: Lens | None
    """None where nobody wrote it down."""
    motion: str
    """How the car's motion is known: poses, speed, or unknown."""
    track: np.ndarray | None
    """float64 (N, 4) x, y, yaw, speed of the rear axle; None where it is unknown."""
    poses: np.ndarray | None = None
    """float64 (N, 4, 4) camera to world; None where the track is all that is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sidecar:
    """The JSON beside a video."""

    speed: tuple[float, ...] | None = None
    yaw_rate: tuple[float, ...] | None = None
    time: tuple[float, ...] | None = None
    focal: float | None = None
    centre: tuple[float, float] | None = None


def find(folder: Path) -> list[Path]:
    """Segments and videos in a folder and those below it, in the order of their names. ZoetropeError where there are none."""
    if not folder.is_dir():
        raise ZoetropeError(f"{folder}: no such folder of recordings")
    there = [folder, *folder.rglob("*")]
    segments = [p for p in there if (p / POSE).is_dir() or (p / LOGS).is_dir()]
    videos = [p for p in there if p.suffix.lower() in SUFFIXES and p.is_file()]
    out = segments + [p for p in videos if not any(s in p.parents for s in segments)]
    if not out:
        raise ZoetropeError(f"{folder}: no recordings here; expected videos ({', '.join(SUFFIXES)}) or comma2k19 segments")
    return sorted(out)


def load(path: Path, name: str, camera: Camera) -> Recording:
    """A recording that `find` found, all but its pictures; `camera` says where on the car it was mounted.

    ZoetropeError naming the file where something is missing, unreadable, or of another length than the video.
    """
    return _segment(path, name, camera) if path.is_dir() else _video(path, name)


def _segment(folder: Path, name: str, camera: Camera) -> Recording:
    files = sorted(p for p in folder.glob("video.*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise ZoetropeError(f"{folder}: a segment without its video; expected {folder / 'video.hevc'}")
    video = Video.open(files[0])
    times = _array(folder / POSE / "frame_times", 1)
    if len(times) != len(video.times):
        raise ZoetropeError(
            f"{folder / POSE / 'frame_times'}: {len(times)} times for the {len(video.times)} frames of {files[0].name}"
        )
    if (np.diff(times) <= 0).any():
        raise ZoetropeError(f"{folder / POSE / 'frame_times'}: times do not rise")
    video = replace(video, times=times - times[0])
    lens = Lens(
        width=video.width,
        height=video.height,
        focal=COMMA_FOCAL * video.width / COMMA_WIDTH,
        centre=(video.width / 2, video.height / 2),
    )
    if _there(folder / POSE / "frame_positions"):
        places, turns = _array(folder / POSE / "frame_positions", 3), _array(folder / POSE / "frame_orientations", 4)
        for label, found in (("frame_positions", places), ("frame_orientations", turns)):
            if len(found) != len(times):
                raise ZoetropeError(f"{folder / POSE / label}: {len(found)} entries for {len(times)} frames")
        poses = camera_poses(places, turns, camera.position[2])
        track = track_of(poses, video.times, camera.position[0])
        return Recording(name=name, video=video, lens=lens, motion="poses", track=track, poses=poses)
    speed, turn = _log(folder / LOGS / "CAN" / "speed", 1), _log(folder / LOGS / "IMU" / "gyro", 3)
    clock = np.union1d(speed[0], turn[0])
    _check_cover(folder / LOGS, np.array([max(speed[0][0], turn[0][0]), min(speed[0][-1], turn[0][-1])]), times)
    rate = -np.interp(clock, turn[0], turn[1][:, DOWN])
    track = integrate(clock, np.interp(clock, speed[0], speed[1][:, 0]), rate, times)
    return Recording(name=name, video=video, lens=lens, motion="speed", track=track)


def _video(path: Path, name: str) -> Recording:
    video = Video.open(path)
    known = _sidecar(path.with_suffix(".json"))
    lens = None
    if known.focal is not None:
        centre = known.centre or (video.width / 2, video.height / 2)
        if known.focal <= 0 or not (0 < centre[0] < video.width and 0 < centre[1] < video.height):
            size, given = f"{video.width}x{video.height}", f"focal {known.focal:g} with centre {centre}"
            raise ZoetropeError(f"{path.with_suffix('.json')}: {given} is no lens of {size} pixels")
        lens = Lens(width=video.width, height=video.height, focal=known.focal, centre=centre)
    source, log = path.with_suffix(".json"), {n: getattr(known, n) for n in ("speed", "yaw_rate", "time")}
    log = {column: values for column, values in log.items() if values is not None}
    table = path.with_suffix(".csv")
    if table.exists():
        if log:
            raise ZoetropeError(f"{source}: says how the car moved, and so does {table.name}; keep one of them")
        source, log = table, _columns(table)
    if not log:
        return Recording(name=name, video=video, lens=lens, motion="unknown", track=None)
    return Recording(name=name, video=video, lens=lens, motion="speed", track=_track(source, log, video))


def _track(source: Path, log: dict[str, tuple[float, ...]], video: Video) -> np.ndarray:
    """The track at the times of a video's frames, from what `source` logs."""
    for column in ("speed", "yaw_rate"):
        if column not in log:
            raise ZoetropeError(
                f"{source}: missing '{column}'; expected speed, yaw_rate and, unless there is one a frame, time"
            )
    values = {column: np.array(entries, np.float64) for column, entries in log.items()}
    lengths = {column: len(entries) for column, entries in values.items()}
    if len(set(lengths.values())) != 1:
        raise ZoetropeError(f"{source}: columns of different lengths: {', '.join(f'{n} {k}' for n, k in lengths.items())}")
    for column, most in (("speed", FASTEST), ("yaw_rate", QUICKEST), ("time", np.finfo(float).max)):
        wrong = np.flatnonzero(~(np.abs(values.get(column, np.zeros(1))) <= most))
        if len(wrong):
            entry = f"{column}: entry {wrong[0] + 1} is {values[column][wrong[0]]:g}"
            raise ZoetropeError(f"{source}: {entry}; expected m/s, rad/s and seconds, at most {most:g}")
    times = values.get("time")
    if times is None:
        if lengths["speed"] != len(video.times):
            raise ZoetropeError(
                f"{source}: {lengths['speed']} entries for the {len(video.times)} frames of {video.path.name}; "
                "without a column 'time' there must be one a frame"
            )
        times = video.times
    elif not len(times) or (np.diff(times) <= 0).any():
        raise ZoetropeError(f"{source}: time: the times do not rise")
    _check_cover(source, times, video.times)
    return integrate(times, values["speed"], values["yaw_rate"], video.times)


def _check_cover(source: Path, times: np.ndarray, frames: np.ndarray) -> None:
    """A log must cover the video."""
    if times[0] > frames[0] + LATE or times[-1] < frames[-1] - LATE:
        begins, ends = times[0] - frames[0], times[-1] - frames[0]
        raise ZoetropeError(
            f"{source}: covers {begins:.1f} to {ends:.1f} s of a video that lasts from 0 to {frames[-1] - frames[0]:.1f} s"
        )


def _sidecar(path: Path) -> Sidecar:
    if not path.exists():
        return Sidecar()
    try:
        data = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ZoetropeError(f"{path}: not readable as JSON: {error}") from None
    return from_dict(Sidecar, data, str(path))


def _columns(path: Path) -> dict[str, tuple[float, ...]]:
    """The columns of a CSV file that are wanted, by their names."""
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ZoetropeError(f"{path}: not readable as CSV: {error}") from None
    if not rows:
        raise ZoetropeError(f"{path}: no rows; expected a header speed,yaw_rate[,time] and numbers below it")
    out = {}
    for column in ("speed", "yaw_rate", "time"):
        if column not in rows[0]:
            continue
        values = []
        for number, row in enumerate(rows, start=2):
            try:
                values.append(float(row[column]))
            except (TypeError, ValueError):
                raise ZoetropeError(f"{path}: line {number}: {column}: expected a number, found {row[column]!r}") from None
        out[column] = tuple(values)
    return out or {"time": ()}


def _there(path: Path) -> bool:
    return path.exists() or path.with_name(path.name + ".npy").exists()


def _array(path: Path, columns: int) -> np.ndarray:
    """float64 (N,) for one column, else (N, columns)."""
    path = path if path.exists() else path.with_name(path.name + ".npy") if _there(path) else path
    try:
        with path.open("rb") as file:
            values = np.asarray(np.load(file, allow_pickle=False), np.float64)
    except FileNotFoundError:
        raise ZoetropeError(f"{path}: missing from a comma2k19 segment") from None
    except (OSError, ValueError, EOFError) as error:
        raise ZoetropeError(f"{path}: not readable as a NumPy array ({error})") from None
    values = values[:, 0] if values.ndim == 2 and columns == 1 and values.shape[1] == 1 else values
    if values.shape[1:] != (() if columns == 1 else (columns,)) or not len(values):
        raise ZoetropeError(f"{path}: expected {columns} numbers an entry, found an array {values.shape}")
    if not np.isfinite(values).all():
        raise ZoetropeError(f"{path}: entry {int(np.argwhere(~np.isfinite(values))[0, 0])} is not a number")
    return values


def _log(folder: Path, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) and values (N, columns) of one of a segment's logs."""
    times, values = _array(folder / "t", 1), _array(folder / "value", columns)
    if len(times) != len(values):
        raise ZoetropeError(f"{folder / 'value'}: {len(values)} values for {len(times)} times in {folder / 't'}")
    return times, values.reshape(len(times), -1)
