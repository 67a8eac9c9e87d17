"""Import recordings of a front camera into episodes: one lens, RATE frames a second, the actions of the driving worlds.

Every recording gives all splits: its beginning to train on, then a stretch to validate, its end to test.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from core.config import to_dict
from core.episodes.episode import FACTS, Episode
from core.episodes.recording import Recorder, check_plan, record_missing
from core.errors import ZoetropeError
from driving.real.lens import Crop, Lens, crop
from driving.real.recordings import Recording, find, load
from driving.real.video import Frames
from driving.record import SPLITS
from driving.rig import Rig
from driving.scene import RATE
from driving.source.record import actions

SLOWEST = 0.95 * RATE
"""Frames a second below which a video is too slow to be resampled."""
INSTANT = 1e-6
"""Seconds that make no difference: of two frames as near as each other the earlier one is taken."""
FACTS_SIZE = 1
"""What is told of every frame: 1 where the ego's motion is not known (the action is then 0), else 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontRecordConfig:
    """What `zoetrope record driving_front` makes of real video."""

    rig: Rig
    """The one camera that all recordings are shown as: its lens and where it is taken to be mounted."""
    frames: int
    """Longest episode."""
    validation: float = 0.1
    """Share of every recording."""
    test: float = 0.1

    def __post_init__(self) -> None:
        if len(self.rig.cameras) != 1 or self.rig.cameras[0].yaw != 0:
            raise ZoetropeError("record: rig: expected one camera that looks ahead (yaw 0)")
        if self.frames < 2:
            raise ZoetropeError(f"record: frames: expected 2 or more, found {self.frames}")
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise ZoetropeError("record: validation and test: expected shares of a recording that leave some to train on")

    def bounds(self, split: str) -> tuple[float, float]:
        """From which to which share of a recording a split has it."""
        ends = (0.0, 1 - self.validation - self.test, 1 - self.test, 1.0)
        at = SPLITS.index(split)
        return ends[at], ends[at + 1]


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of a recording that becomes one episode."""

    recording: int
    numbers: np.ndarray
    """int64 (T,): which of the video's frames."""


def resampled(times: np.ndarray, rate: float = RATE) -> np.ndarray:
    """Which frames (N,) filmed at rising seconds `times` to show so that there are `rate` a second: the nearest ones.

    Where the camera paused, no frame stands for two: the motion over the pause is then in one action, as in the pictures.
    """
    wanted = times[0] + np.arange(int((times[-1] - times[0]) * rate + INSTANT) + 1) / rate
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    return np.unique(after - (wanted - times[after - 1] < times[after] - wanted + INSTANT))


def clips(config: FrontRecordConfig, split: str, recordings: list[Recording]) -> list[Clip]:
    """A split's episodes: equal parts, none longer than `config.frames`, none of a single frame."""
    out = []
    for at, recording in enumerate(recordings):
        numbers = resampled(recording.video.times)
        start, end = (round(len(numbers) * share) for share in config.bounds(split))
        part = numbers[start:end]
        pieces = np.array_split(part, -(-len(part) // config.frames)) if len(part) else []
        out += [Clip(at, piece) for piece in pieces if len(piece) > 1]
    return out


def lens_of(recording: Recording, rig: Rig) -> Lens:
    """How a recording was filmed; where nobody knows, its whole width is taken for the wanted camera's."""
    video = recording.video
    guess = Lens(
        width=video.width,
        height=video.height,
        focal=rig.cameras[0].focal * video.width,
        centre=(video.width / 2, video.height / 2),
    )
    return recording.lens or guess


def to_episode(recording: Recording, clip: Clip, frames: Frames, rig: Rig) -> Episode:
    """One clip. The action is float32 (T, 2), speed and yaw rate, as in the other driving worlds."""
    lens = lens_of(recording, rig)
    cut: Crop = crop(lens, rig.width, rig.height, rig.cameras[0].focal)
    shown = np.stack([cut.apply(frame) for frame in frames.read(clip.numbers)])
    known = recording.track is not None
    pose = None
    if recording.track is not None:
        pose = np.stack([rig.poses(*row[:3])[0] for row in recording.track[clip.numbers]])
        pose = (pose if recording.poses is None else recording.poses[clip.numbers])[:, None].astype(np.float32)
    begins = recording.video.times[clip.numbers[0]]
    return Episode(
        frames=shown[:, None],
        action=np.zeros((len(shown), 2), np.float32) if recording.track is None else actions(recording.track[clip.numbers]),
        pose=pose,
        intrinsics=cut.intrinsics(lens)[None],
        conditions={FACTS: np.full((len(shown), FACTS_SIZE), not known, np.float32)},
        metadata={
            "source": recording.name,
            "start": f"{begins:.2f}",
            "motion": recording.motion,
            "lens": "assumed" if recording.lens is None else "known",
        },
    )


def read(config: FrontRecordConfig, source: Path) -> list[Recording]:
    """All recordings in a folder, without their pictures. ZoetropeError for the first that cannot be used."""
    out = []
    for path in tqdm(find(source), desc="look at recordings", unit="recording"):
        recording = load(path, str(path.relative_to(source)), config.rig.cameras[0])
        times = recording.video.times
        if len(times) < 2 or (len(times) - 1) / times[-1] < SLOWEST:
            raise ZoetropeError(
                f"{recording.video.path}: expected a video of at least {RATE} frames a second, and of two frames"
            )
        out.append(recording)
    return out


def record(config: FrontRecordConfig, recordings: list[Recording], split: str, folder: Path, processes: int) -> int:
    """Import what `folder` does not hold yet of a split of the recordings. Returns how many episodes were made."""
    wanted = clips(config, split, recordings)
    made = {r.name: [len(r.video.times), r.motion, lens_of(r, config.rig).focal] for r in recordings}
    check_plan(folder, to_dict(config) | {"recordings": made, "episodes": len(wanted)}, grows="episodes")
    recorder = partial(_recorder, config.rig, recordings, wanted)
    return record_missing(folder, len(wanted), recorder, processes, f"record {split}")


def _recorder(rig: Rig, recordings: list[Recording], wanted: list[Clip]) -> Recorder:
    opened: dict[int, Frames] = {}

    def make(index: int) -> Episode:
        clip = wanted[index]
        recording = recordings[clip.recording]
        if clip.recording not in opened:  # one video at a time
            opened.clear()
            opened[clip.recording] = Frames(recording.video)
        return to_episode(recording, clip, opened[clip.recording], rig)

    return make
