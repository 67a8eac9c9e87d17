"""Short programs that show how the robot worlds are used from Python."""
