"""Proof that a package says the same as the framework that trained it."""
