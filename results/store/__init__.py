"""Runs on disk: their folders, states, rows and locks. Standard library only, but for Parquet."""
