"""From what is typed to the combinations of a sweep: Hydra's grammar, scopes, zips, draws, what is left out."""
