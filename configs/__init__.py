"""YAML presets, one a world; typed on loading by `games.worlds`."""
