"""Weights that packages name by URL: the only place that asks the network for anything, and only on command."""
