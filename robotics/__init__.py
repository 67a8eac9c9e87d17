"""The robotics product: policies evaluated in generated rollouts on the shared core. To come."""
