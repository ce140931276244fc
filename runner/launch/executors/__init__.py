"""Where runs are trained: this machine, a Slurm cluster, or an engine of one's own (a subclass of `base.Executor`)."""

from batchlab.runner.launch.executors.base import Executor

__all__ = ["Executor"]
