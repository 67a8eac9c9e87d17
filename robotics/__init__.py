"""The robotics product: policies evaluated in generated rollouts on the shared core."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the weights that come with the program, one folder a world."""
ABOUT = {"push": "a robot arm that pushes a block onto a disc, seen by two cameras, and what its sensors say (64x64)"}
"""The robot worlds by name, a line of each."""
