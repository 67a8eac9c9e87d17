"""Playing without a window: the scripted tour and the replay of a log, filmed."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from apps.play.controls import Command, Keys
from apps.play.loop import THE_END, Player
from core.episodes.video import writer as video_writer
from games.registry import Game

PANELS = (Command.MEMORY.key, Command.ENGINE.key)
"""What a tour switches on first: the map of what is remembered, and the real engine beside."""


def tour(game: Game, engine: bool = True) -> Iterator[Keys]:
    """The game's tour as keyboards, over and over."""
    yield Keys(struck=PANELS if engine else PANELS[:1])
    while True:
        for pressed, frames in game.tour:
            held = tuple(key for key in pressed.split("+") if key)
            for _ in range(frames):
                yield Keys(held=held)


def tour_length(game: Game) -> int:
    """Frames of one round of the tour."""
    return 1 + sum(frames for _, frames in game.tour)


def film(player: Player, keys: Iterator[Keys], frames: int, out: Path | None) -> None:
    """Play `frames` frames of `keys` with a progress bar; write them to `out` as they would have been drawn."""
    from tqdm import tqdm

    from apps.play import draw
    from apps.play.canvas import to_array
    from apps.play.recorder import scale

    with ExitStack() as stack:
        writer = stack.enter_context(video_writer(out, player.rate)) if out is not None else None
        bar = stack.enter_context(tqdm(total=frames, unit="frame", desc="replay" if player.replay else "tour"))
        size: tuple[int, int] | None = None
        view = None
        for pressed in itertools.islice(keys, frames):
            if view is not None and view.label == THE_END:
                pressed = Keys(struck=(Command.NEW.key,))
            view = player.tick(pressed)
            if player.leaving or (player.replay is not None and player.replay.done):
                break
            if writer is not None:
                size = size or draw.size(view, scale(view))
                begun = time.perf_counter()
                writer.add(to_array(draw.compose(view, size, player.game.keys)))
                player.took("draw", time.perf_counter() - begun)
            bar.update(1)
