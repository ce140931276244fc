"""From overrides to runs that are known to work: compose, identify, validate."""
