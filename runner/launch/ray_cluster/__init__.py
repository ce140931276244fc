"""Runs on a Ray cluster: a process that drives Ray (driver.py), and what Ray starts on a node for a run (place.py)."""
