"""Scores of a driving world against the source world."""

PARTS = ("rollout", "motion", "rig", "detector", "loop", "planning", "speed")
"""What can be asked for: pictures, boxes and overlap; ego motion read back; another rig; detectors trained on it; planners that
drive in it; choices by imagination; speed."""
