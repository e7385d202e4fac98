"""Encoders of structured reports: TID 1500 (PS3.16) and Basic Text SR (PS3.3 A.35.1)."""
