"""The driving product: rare multi-camera scenarios on the shared core."""
