"""The source world: what cameras see of a scene, drawn by an engine of low-polygon bodies instead of a learned model."""
