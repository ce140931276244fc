"""How a process that trains is told when and how it was asked for. Standard library only."""

BEGAN = "BATCHLAB_BEGAN"
"""The variable that says when, in seconds of this machine's `time.monotonic`."""
TOGETHER = "BATCHLAB_TOGETHER"
"""The variable that is there where a number of runs was asked for that train together: whether it pays is not asked."""
COMMAND = "BATCHLAB_COMMAND"
"""The variable that says by which command, so that what each spent on a run is told apart."""
