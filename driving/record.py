"""Record scenes of the source world into episodes: pictures, depth, labels, and what the network is told of every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from core.config import to_dict
from core.episodes.episode import FACTS, Episode
from core.episodes.recording import Recorder, check_plan, record_missing
from core.errors import ZoetropeError
from driving.facts import facts
from driving.gate.boxes import CONDITION, boxes_condition
from driving.rig import Rig, nuscenes_rig
from driving.road.network import Road
from driving.scenario import library
from driving.scenario.events import NOTHING
from driving.scenario.sample import sample
from driving.scene import Ambience, Images, Moment, Scene
from driving.sketch import Sketcher
from driving.source.imager import Imager
from driving.source.record import actions

SPLITS = ("train", "validation", "test")
SCENES_A_SPLIT = 1_000_000
SKY_DEPTH = 1000.0
"""Metres that stand for the sky's distance: remembered, it turns with the camera and comes no nearer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitConfig:
    """How much of one split to record."""

    scenes: int
    frames: int
    scenarios: tuple[str, ...] = ()
    """Names, in turn; none means the whole library."""
    weathers: tuple[str, ...] = ()
    """Drawn, with `times`, for scenes in which nothing rare happens, instead of their scenario's own; none keeps those."""
    times: tuple[str, ...] = ()
    other_rigs: float = 0.0
    """Share of scenes seen by a rig whose focal lengths, yaws and places differ."""
    bare: float = 0.0
    """Share of scenes whose buildings and plants the network is not told of, as where a map does not know them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RigSpread:
    """How far rigs differ from that of nuScenes, either way."""

    focal: float = 0.18
    """Share."""
    yaw: float = 8.0
    """Degrees."""
    place: float = 0.15
    """Metres."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordConfig:
    """What `zoetrope record driving` makes."""

    train: SplitConfig
    validation: SplitConfig
    test: SplitConfig
    width: int = 128
    height: int = 72
    spread: RigSpread = field(default_factory=RigSpread)

    def split(self, name: str) -> SplitConfig:
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def varied(rig: Rig, spread: RigSpread, rng: np.random.Generator) -> Rig:
    """A rig of the same cameras with other lenses and mounts; all lenses change alike."""
    zoom = float(rng.uniform(1 - spread.focal, 1 + spread.focal))
    cameras = tuple(
        replace(
            camera,
            focal=camera.focal * zoom,
            yaw=camera.yaw + float(rng.uniform(-spread.yaw, spread.yaw)),
            position=tuple(float(x) for x in np.add(camera.position, rng.uniform(-spread.place, spread.place, 3))),
        )
        for camera in rig.cameras
    )
    return replace(rig, cameras=cameras)


def scene_of(config: RecordConfig, split: str, index: int) -> Scene:
    """The scene number `index` of a split. Splits never share a seed, so neither roads nor actors."""
    wanted = config.split(split)
    if not 0 <= index < SCENES_A_SPLIT:
        raise ZoetropeError(f"scene {index} is outside a split's {SCENES_A_SPLIT} scenes")
    seed = SPLITS.index(split) * SCENES_A_SPLIT + index
    rng = np.random.default_rng((seed, 0))
    names = wanted.scenarios or library.names()
    description = library.load(names[index % len(names)])
    if wanted.weathers and wanted.times and description.event == NOTHING:
        weather, time = str(rng.choice(wanted.weathers)), str(rng.choice(wanted.times))
        description = replace(description, event=None, weather=(weather,), time=(time,))
    rig = nuscenes_rig(config.width, config.height)
    if rng.random() < wanted.other_rigs:
        rig = varied(rig, config.spread, rng)
    return sample(replace(description, rig=rig), seed, wanted.frames, f"{split}-{index:06d}")


def told(road: Road, rig: Rig, ambience: Ambience) -> Callable[[Moment], dict[str, np.ndarray]]:
    """What the network is told of a moment, by the names of `Episode.conditions`."""
    sketcher = Sketcher(road, rig)
    return lambda moment: sketcher.draw(moment) | {FACTS: facts(ambience, moment.ego)}


def bared(road: Road) -> Road:
    """The same as a map knows it that has neither buildings nor plants."""
    return replace(road, buildings=(), plants=())


def is_bare(config: RecordConfig, split: str, scene: Scene) -> bool:
    """Whether the network is not told what stands beside the road of this scene."""
    return bool(np.random.default_rng((scene.seed, 1)).random() < config.split(split).bare)


def to_episode(scene: Scene, images: Iterable[Images], moments: Sequence[Moment] = (), bare: bool = False) -> Episode:
    """A scene and its pictures as an episode; `moments` stand for the scene's own where it has no tracks yet.

    If `bare`, it is not told what stands beside the road.
    """
    shown = list(images)
    tell = told(bared(scene.road) if bare else scene.road, scene.rig, scene.ambience)
    known = [tell(moment) for moment in (moments or [scene.moment(t) for t in range(len(shown))])]
    depth = np.stack([i.depth for i in shown])
    return Episode(
        frames=np.stack([i.colour for i in shown]),
        action=actions(scene.ego[: len(shown)]),
        pose=np.stack([scene.rig.poses(*scene.ego[t, :3]) for t in range(len(shown))]),
        intrinsics=scene.rig.intrinsics(),
        depth=np.minimum(depth, SKY_DEPTH).astype(np.float16),
        conditions={name: np.stack([k[name] for k in known]) for name in known[0]} | {CONDITION: boxes_condition(scene)},
        text=scene.text,
        metadata={"scenario": scene.scenario, "seed": str(scene.seed), "road": scene.road.kind, "scene": scene.name},
    )


def render(scene: Scene, imager: Imager) -> Iterable[Images]:
    """A scene's frames, one after another."""
    imager.begin(scene.road, scene.rig, scene.ambience, scene.seed)
    return (imager.show(scene.moment(t)) for t in range(len(scene)))


def record(config: RecordConfig, split: str, folder: Path, processes: int) -> int:
    """Record every scene of `split` that `folder` does not hold yet. Returns how many were made."""
    check_plan(folder, to_dict(config.split(split)) | {"size": [config.width, config.height]}, grows="scenes")
    recorder = partial(_recorder, config, split)
    return record_missing(folder, config.split(split).scenes, recorder, processes, f"record {split}")


def _recorder(config: RecordConfig, split: str) -> Recorder:
    from driving.source.panda import PandaSource

    source = PandaSource()

    def make(index: int) -> Episode:
        scene = scene_of(config, split, index)
        return to_episode(scene, render(scene, source), bare=is_bare(config, split, scene))

    return make
