"""Capacity: both colours fit at full size, and whoever gets requests has the replicas for them."""
