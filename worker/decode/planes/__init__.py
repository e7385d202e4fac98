"""Planes: where each image lies, and what kind of image it is."""
