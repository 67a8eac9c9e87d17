"""The data engine: few demonstrations become many, imagined or shown in other looks, and only those that hold up are kept."""
