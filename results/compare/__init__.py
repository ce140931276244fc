"""What the rows of many runs say: frames, metrics, tables, statistics, claims."""
