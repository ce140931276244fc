"""From overrides to trained runs: models, measures, plan, train and launch; the command line on top."""
