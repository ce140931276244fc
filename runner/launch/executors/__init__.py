"""Where runs are trained: this machine, a cluster, or an engine of one's own (a subclass of `base.Executor`)."""

from batchlab.runner.launch.executors.base import AskedExecutor, Ended, EngineLostError, Executor

__all__ = ["AskedExecutor", "Ended", "EngineLostError", "Executor"]
