"""Custody of instances: admitted, indexed, recovered after a crash, deleted when finished and old."""
