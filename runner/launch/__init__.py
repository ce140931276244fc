"""From a frozen run to its processes: executors, the warm process, torchrun, ranks."""
