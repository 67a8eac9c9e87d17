"""Scores of a driving world against the source world."""

PARTS = ("rollout", "rig", "detector", "loop", "speed")
"""What can be asked for: pictures, boxes, overlap and ego motion; another rig; detectors trained on it; planners; speed."""
