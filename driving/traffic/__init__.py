"""Who moves on a road, and how."""
