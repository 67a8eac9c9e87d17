"""nuScenes in and out: datasets written, read back, drawn, and checked by the official evaluation."""
