"""`zoetrope drive play`: a window to drive in, or without a display a film of the car driving itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from apps.drive.ride import Ride, View
from apps.drive.worlds import Shown, at_least
from apps.play.controls import Keys
from apps.play.display import Keyboard, has_display, need_pygame
from apps.writing import writing
from core.episodes.video import VideoWriter
from core.episodes.video import writer as video_writer
from driving.scene import RATE

REST_SECONDS = 0.5


def run(args: argparse.Namespace) -> int:
    at_least(1, frames=args.frames)
    at_least(0, seed=args.seed)
    need_pygame()
    shown = Shown.open(args.world)
    window = not args.headless and has_display("filming a drive instead")
    ride = Ride(shown, args.scenario, args.seed, args.first, automatic=not window)
    try:
        if window:
            _drive(ride)
        else:
            out = args.out or Path(f"zoetrope-drive-{Path(args.scenario).stem}.mp4")
            with writing(out.parent):
                _film(ride, args.frames, out)
            print(out.resolve())
    finally:
        ride.close()
    return 0


def _drive(ride: Ride) -> None:
    """Drive until the driver leaves."""
    import pygame

    from apps.drive import cockpit
    from apps.drive.screen import Screen

    screen, keyboard, clock, camera = Screen("Zoetrope: drive"), Keyboard(), pygame.time.Clock(), _Camera()
    try:
        while not ride.leaving:
            if ride.resting:
                keyboard.wait(REST_SECONDS)
            keys = keyboard.read()
            if keyboard.closed:
                break
            view = ride.tick(keys)
            surface = cockpit.compose(view)
            screen.show(surface)
            camera.see(view, surface)
            clock.tick(RATE)
    finally:
        camera.close()
        screen.close()


def _film(ride: Ride, frames: int, out: Path) -> None:
    """Let the car drive itself."""
    from tqdm import tqdm

    from apps.drive import cockpit
    from apps.play.canvas import to_array

    with video_writer(out, RATE) as video:
        for _ in tqdm(range(frames), desc="drive", unit="frame"):
            video.add(to_array(cockpit.compose(ride.tick(Keys()))))


class _Camera:
    """Follows the view's wish to be filmed. A video keeps its first frame's size."""

    def __init__(self) -> None:
        self._writer: VideoWriter | None = None
        self._path: Path | None = None
        self._size = (0, 0)

    def see(self, view: View, surface) -> None:  # noqa: ANN001 - pygame is not imported at the top
        import pygame

        from apps.play.canvas import to_array

        if view.video != self._path:
            self.close()
            self._path, self._size = view.video, surface.get_size()
            if view.video is not None:
                self._writer = VideoWriter(view.video, RATE)
        if self._writer is not None and view.moved:
            fitted = surface if surface.get_size() == self._size else pygame.transform.smoothscale(surface, self._size)
            self._writer.add(to_array(fitted))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
