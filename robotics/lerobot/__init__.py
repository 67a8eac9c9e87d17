"""LeRobot v3.0 datasets in and out, image mode: lossless frames, no video codec, and where every action comes from."""
