"""The driving product: rare multi-camera scenarios on the shared core."""

from pathlib import Path

NAME = "driving"
SHIPPED = Path(__file__).parent / "weights"
WEIGHTS, DETECTOR = SHIPPED / NAME, SHIPPED / "detector"
"""Folders of the weights that come with the program."""
