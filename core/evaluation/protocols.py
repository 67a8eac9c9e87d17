"""The questions asked of a world, each over a batch of held-out episodes, each answered with one plain row an episode.

rollout: after a few real frames, imagine what follows with the recorded keys.
tour:    see a whole lap, then imagine the second one; everything in it has been shown before.
return:  look around at home, go away for long (all real frames), then imagine the way back into the home view.

Every row holds plain numbers (JSON), per frame `*_curve` or at the asked horizons only. Horizon h is the h-th imagined frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.episodes.episode import Episode
from core.evaluation import metrics
from core.evaluation.dream import Dream, World, actions, contexts, play, real
from core.evaluation.places import Gallery, Nearness, gap, home_again, longest_absence, same_place
from core.evaluation.probe import Probe, confusions

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolConfig:
    horizons: tuple[int, ...] = (1, 4, 16, 64, 256)
    context: int = 32
    """Real frames before a rollout."""
    tour: int = 96
    """Frames imagined of a second lap, where it is that long."""
    return_frames: int = 32
    """Frames imagined before the walker is back; the home view is scored from there on."""
    return_scored: int = 8
    """Frames scored once it is back."""
    return_away: int = 150
    """Frames without the home view that a return must have."""
    actions: int = 64
    """Frames of each rollout from which actions are read; later the dream's walls are no longer the recording's."""
    no_memory: int = 64
    """Frames of each rollout imagined once more without memory."""
    near: Nearness | None = None
    """What counts as the same place; None for a world whose poses are not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One episode to be asked about."""

    index: int
    episode: Episode
    seed: int


@dataclass(slots=True)
class Clip:
    """Pictures worth keeping for the page: name of each strip -> uint8 (T, V, H, W, 3)."""

    strips: dict[str, np.ndarray] = field(default_factory=dict)


def rollout(world: World, cases: Sequence[Case], config: ProtocolConfig, probe: Probe | None) -> tuple[list[Row], list[Clip]]:
    """Imagine up to the last horizon after `config.context` real frames; equally many for all, as far as the shortest goes."""
    episodes = [case.episode for case in cases]
    start = config.context
    count = min(max(config.horizons), min(map(len, episodes)) - start)
    session = world.open(contexts(episodes, start), seed=[case.seed for case in cases])
    plain = session.fork()
    truth = real(episodes, start, count)
    dream = play(session, actions(episodes, start, count))
    plain.use(spatial=False, packed=False)
    bare = play(plain, actions(episodes, start, min(count, config.no_memory)))
    rows, clips = [], []
    for b, case in enumerate(cases):
        row = _compare(case, dream, truth, b, start, config, world)
        row |= _baselines(dream, bare, truth, b, case.episode.frames[start - 1], config)
        if probe is not None:
            row |= _read_actions(probe, case.episode, dream.frames[b, : config.actions], start)
        rows.append(row)
        clips.append(_clip(dream, bare, truth, b))
    return rows, clips


def tour_start(episode: Episode, config: ProtocolConfig) -> int | None:
    """Frames of the first lap, and so the real frames before a tour; None when the walk never came home."""
    if episode.pose is None or config.near is None:
        return None
    home = home_again(episode.pose[:, 0], config.near)
    return None if home is None or home < config.context or len(episode) - home < 16 else home


def tour(
    world: World, cases: Sequence[Case], starts: Sequence[int], config: ProtocolConfig, galleries: Sequence[Gallery]
) -> tuple[list[Row], list[Clip]]:
    """Imagine the second lap. A batch shares the longest first lap of its episodes as context."""
    episodes = [case.episode for case in cases]
    start = max(starts)
    count = min(config.tour, min(map(len, episodes)) - start)
    session = world.open(contexts(episodes, start), seed=[case.seed for case in cases])
    truth = real(episodes, start, count)
    dream = play(session, actions(episodes, start, count))
    rows = []
    for b, (case, gallery) in enumerate(zip(cases, galleries)):
        row = _compare(case, dream, truth, b, start, config, world)
        row["lap_frames"] = start
        row |= _places(case, dream.frames[b], truth[b], start, config, gallery)
        last = case.episode.frames[start - 1]
        row["psnr_repeat_curve"] = _rounded(metrics.psnr(np.broadcast_to(last, truth[b].shape), truth[b]))
        rows.append(row)
    return rows, [_clip(dream, None, truth, b) for b in range(len(cases))]


def return_span(episode: Episode, config: ProtocolConfig) -> tuple[int, int] | None:
    """(first frame away, frame of return) of the longest absence from the home view; None when it is too short to count."""
    if episode.pose is None or config.near is None:
        return None
    span = longest_absence(episode.pose[:, 0], config.near)
    if span is None or span[1] - config.return_frames < config.context or len(episode) - span[1] < config.return_scored:
        return None
    return span if span[1] - span[0] >= max(config.return_away, config.return_frames + 1) else None


def come_back(
    world: World, cases: Sequence[Case], spans: Sequence[tuple[int, int]], config: ProtocolConfig
) -> tuple[list[Row], list[Clip]]:
    """Imagine the last frames of the way home, with and without memory; score the home view from the moment it is back.

    A batch starts imagining together, before the first of its walkers is home.
    """
    episodes = [case.episode for case in cases]
    start = min(back for _, back in spans) - config.return_frames
    count = max(back for _, back in spans) + config.return_scored - start
    count = min(count, min(map(len, episodes)) - start)
    session = world.open(contexts(episodes, start), seed=[case.seed for case in cases])
    plain = session.fork()
    plain.use(spatial=False, packed=False)
    keys, truth = actions(episodes, start, count), real(episodes, start, count)
    dream, bare = play(session, keys), play(plain, keys)
    rows = []
    for b, (case, (away, back)) in enumerate(zip(cases, spans)):
        at = slice(back - start, back - start + config.return_scored)
        now, before = truth[b, at], case.episode.frames[start - 1]
        row = _header(case) | {"away_frames": back - away, "imagined_before": back - start}
        pictures = {
            "psnr_return": dream.frames[b, at],
            "psnr_return_no_memory": bare.frames[b, at],
            "psnr_return_repeat": np.broadcast_to(before, now.shape),
            "psnr_return_ceiling": world.reconstruct(now),
            "psnr_return_rendering": None if dream.rendering is None else dream.rendering[b, at],
        }
        for name, picture in pictures.items():
            row[name] = None if picture is None else float(metrics.psnr(picture, now).mean())
        row["perceptual_return"] = float(metrics.perceptual(dream.frames[b, at], now).mean())
        row["perceptual_return_no_memory"] = float(metrics.perceptual(bare.frames[b, at], now).mean())
        rows.append(row)
    return rows, [_clip(dream, bare, truth, b) for b in range(len(cases))]


# -- what the rows are made of -----------------------------------------------------------------------------------------


def _header(case: Case) -> Row:
    return {"episode": case.index, "level": case.episode.metadata.get("level", str(case.index))}


def _at(horizons: Sequence[int], count: int) -> list[int]:
    return [h for h in horizons if h <= count]


def _by_horizon(values: np.ndarray, horizons: Sequence[int]) -> dict[str, float]:
    return {str(h): float(v) for h, v in zip(horizons, values)}


def _rounded(values: np.ndarray, digits: int = 2) -> list[float]:
    return [round(float(v), digits) for v in values]


def _compare(case: Case, dream: Dream, truth: np.ndarray, b: int, start: int, config: ProtocolConfig, world: World) -> Row:
    """How the dream fares against what really happened, and how the tokenizer alone would have."""
    horizons = _at(config.horizons, truth.shape[1])
    index = np.array(horizons) - 1
    shown, wanted = dream.frames[b, index], truth[b, index]
    ceiling = world.reconstruct(wanted)
    row = _header(case)
    row["psnr_curve"] = _rounded(metrics.psnr(dream.frames[b], truth[b]))
    row["energy_curve"] = _rounded(metrics.gradient_energy(dream.frames[b]), 6)
    row["energy_real_curve"] = _rounded(metrics.gradient_energy(truth[b]), 6)
    row["energy_ceiling"] = _by_horizon(metrics.gradient_energy(ceiling), horizons)
    for name, metric in (("psnr", metrics.psnr), ("ssim", metrics.ssim), ("perceptual", metrics.perceptual)):
        row[name] = _by_horizon(metric(shown, wanted), horizons)
        row[f"{name}_ceiling"] = _by_horizon(metric(ceiling, wanted), horizons)
    if dream.pose is not None and case.episode.pose is not None:
        distance, degrees = gap(dream.pose[b, :, 0], case.episode.pose[start : start + truth.shape[1], 0])
        row["camera_distance_curve"], row["camera_degrees_curve"] = _rounded(distance), _rounded(degrees)
    return row


def _baselines(dream: Dream, bare: Dream, truth: np.ndarray, b: int, last: np.ndarray, config: ProtocolConfig) -> Row:
    """The same scores for what needs no model: the last frame repeated, memory's rendering alone, the model without memory."""
    row: Row = {}
    others = {
        "repeat": np.broadcast_to(last, truth[b].shape),
        "rendering": None if dream.rendering is None else dream.rendering[b],
        "no_memory": bare.frames[b],
    }
    for name, frames in others.items():
        if frames is None:
            continue
        count = min(len(frames), truth.shape[1])
        horizons = _at(config.horizons, count)
        index = np.array(horizons) - 1
        row[f"psnr_{name}_curve"] = _rounded(metrics.psnr(frames[:count], truth[b, :count]))
        for metric_name, metric in (("psnr", metrics.psnr), ("ssim", metrics.ssim), ("perceptual", metrics.perceptual)):
            row[f"{metric_name}_{name}"] = _by_horizon(metric(frames[index], truth[b, index]), horizons)
    return row


def _read_actions(probe: Probe, episode: Episode, imagined: np.ndarray, start: int) -> Row:
    """What the probe reads from the imagined frames and from the real ones of the same times, two real frames leading in."""
    lead, count = start - 2, len(imagined) + 2
    keys = episode.action[lead : lead + count]
    shown = np.concatenate([episode.frames[lead:start], imagined])
    return {
        "actions_read": confusions(shown, keys, probe).tolist(),
        "actions_read_real": confusions(episode.frames[lead : lead + count], keys, probe).tolist(),
    }


def _places(case: Case, imagined: np.ndarray, truth: np.ndarray, start: int, config: ProtocolConfig, gallery: Gallery) -> Row:
    """Whether the nearest real view of the level is the right place: for the dream, real frames, the last one repeated."""
    assert config.near is not None and case.episode.pose is not None
    horizons = _at(config.horizons, len(imagined))
    index = np.array(horizons) - 1
    wanted = case.episode.pose[start + index, 0]
    without = [(case.index, int(start + i)) for i in index]
    found = {
        "right_place": gallery.nearest(imagined[index]),
        "right_place_real": gallery.nearest(truth[index], without),
        "right_place_repeat": case.episode.pose[start - 1, 0][None],
    }
    return {name: _by_horizon(same_place(pose, wanted, config.near), horizons) for name, pose in found.items()}


def _clip(dream: Dream, bare: Dream | None, truth: np.ndarray, b: int) -> Clip:
    strips = {"real": truth[b], "dream": dream.frames[b]}
    if bare is not None:
        strips["no memory"] = bare.frames[b]
    if dream.rendering is not None:
        strips["memory alone"] = dream.rendering[b]
    return Clip(strips)
