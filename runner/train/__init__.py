"""What a rank does: train or solve, measure, write, checkpoint."""
