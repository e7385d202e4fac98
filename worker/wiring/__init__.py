"""Introduces the rooms to each other: the only place that names concrete classes.

One module for each role, so that a listener does not import what only a worker needs. Each adapter is assigned to a
name typed with its port; mypy checks the fit here.
"""
