"""Associations (PS3.8): who may open one, how many, for how long, and the listener that holds them."""
