"""Checks of the input before a run and of the result after it."""
