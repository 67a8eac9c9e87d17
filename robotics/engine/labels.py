"""Which action stands beside a generated frame, whose it is, and how far it is to be believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.episodes.episode import Episode
from robotics.engine import few
from robotics.engine.plan import Labels
from robotics.engine.readers import Reading
from robotics.latent.inverse import TOLERANCE
from robotics.lerobot.demonstration import GENERATED, Demonstration


def labelled(episode: Episode, reading: Reading, real: int, labels: Labels) -> Demonstration:
    """A generated episode with its actions' provenance; the first `real` actions led to real frames and stand.

    `checked`: an action that was sent stands where the frames bear it out, to within TOLERANCE in every component; elsewhere
    what is read from them takes its place. `pseudo`: what is read takes every place. Of the last frame nothing is known.
    """
    action, steps = episode.action.copy(), len(episode)
    pseudo, confidence = np.zeros(steps, bool), np.ones(steps, np.float32)
    apart = np.abs(reading.action - action[:-1]).max(1) > TOLERANCE
    pseudo[:-1] = apart if labels == "checked" else True
    pseudo[:real] = False
    pseudo[-1], confidence[-1] = True, 0
    replaced = pseudo[:-1]
    action[:-1][replaced] = reading.action[replaced]
    confidence[:-1][replaced] = reading.confidence[replaced].clip(0, 1)
    return few.demonstration(replace(episode, action=action), GENERATED, pseudo, confidence)
