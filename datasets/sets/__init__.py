"""The data sets: one reader file each. A published one declares an `ENTRY` beside its reader."""
