"""What a recording is in memory: the one contract that every source fills and everything else reads.

Shape letters: T frames, V synchronized cameras, H height, W width, A action size.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from core.errors import ZoetropeError

FACTS = "facts"
"""The condition that says what is known of a frame as a whole, float (T, G)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """One recording. `action[t]` is what was done between frame t and frame t+1.

    Coordinates: `pose` maps camera to world, camera axes x right, y down, z forward (OpenCV); lengths in the source's unit.
    """

    frames: np.ndarray
    """uint8 (T, V, H, W, 3) RGB."""
    action: np.ndarray
    """float32 (T, A), or int64 (T,) for a single discrete choice."""
    pose: np.ndarray | None = None
    """float32 (T, V, 4, 4) camera to world."""
    intrinsics: np.ndarray | None = None
    """float32 (V, 3, 3) in pixels of `frames`."""
    depth: np.ndarray | None = None
    """float16 (T, V, H, W) distance along the optical axis."""
    reward: np.ndarray | None = None
    """float32 (T,): earned by action[t]."""
    terminated: np.ndarray | None = None
    """bool (T,): action[t] ended the episode."""
    conditions: dict[str, np.ndarray] = field(default_factory=dict)
    """What a product adds per frame (layout boxes, maps, robot state), each (T, ...)."""
    text: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    """Where it came from: source, level, policy, seed, split."""

    def __post_init__(self) -> None:
        frames = self.frames
        if frames.ndim != 5 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ZoetropeError(f"episode frames: expected uint8 (T, V, H, W, 3), found {frames.dtype} {frames.shape}")
        steps, cameras, height, width, _ = frames.shape
        wanted = {
            "pose": (steps, cameras, 4, 4),
            "intrinsics": (cameras, 3, 3),
            "depth": (steps, cameras, height, width),
            "reward": (steps,),
            "terminated": (steps,),
        }
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ZoetropeError(f"episode {name}: expected shape {shape}, found {value.shape}")
        per_frame = {"action": self.action, **self.conditions}
        for name, value in per_frame.items():
            if len(value) != steps:
                raise ZoetropeError(f"episode {name}: expected {steps} entries, one a frame, found {len(value)}")

    def __len__(self) -> int:
        return len(self.frames)

    def window(self, start: int, length: int) -> Episode:
        """Frames [start, start + length) as an episode of their own; arrays are views."""
        cut = slice(start, start + length)
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("frames", "action", "pose", "depth", "reward", "terminated"):
            values[name] = None if values[name] is None else values[name][cut]
        values["conditions"] = {k: v[cut] for k, v in self.conditions.items()}
        return Episode(**values)
