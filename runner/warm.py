"""What a run imports, imported once in the process that runs are forked from."""


def imports() -> None:
    """Import the training side and the elastic agent. Nothing here may touch CUDA or start a thread."""
    import pyarrow.parquet  # noqa: F401
    import torch.distributed.elastic.agent.server.local_elastic_agent
    import torch.distributed.launcher.api  # noqa: F401

    from . import worker  # noqa: F401
