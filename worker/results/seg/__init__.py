"""Encoders of segmentations (PS3.3 A.51)."""
