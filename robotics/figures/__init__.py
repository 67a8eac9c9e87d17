"""`zoetrope evaluate robotics`: what a robot world and its latent planner are worth, beside agreement on policies."""

PARTS = ("planning", "pseudo", "export", "replay", "speed")
"""What can be asked for, in the order in which it is measured; the last two need the generated world."""
