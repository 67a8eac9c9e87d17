"""Light scenes of our own in MuJoCo: one arm over a table, no meshes, pictures without OpenGL."""
