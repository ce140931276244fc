"""What Slurm needs: its commands, the worker that drains a queue on a node, runs over several nodes."""
