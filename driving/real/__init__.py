"""Real front-camera video as episodes: what was filmed from a car, and what is known of how the car moved."""
