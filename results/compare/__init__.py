"""What the rows of many runs say: frames, metrics, tables, tuned choices, statistics, claims."""
