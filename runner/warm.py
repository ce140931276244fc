"""What a run imports, imported once in the process that runs are forked from."""


def imports() -> None:
    """Import the training side and the elastic agent. Nothing here may touch CUDA or start a thread."""
    import pandas  # noqa: F401 (pyarrow asks for it at its first array: 0.3 s)
    import pyarrow.parquet
    import torch
    import torch._dynamo  # every torch optimizer asks for it: 2 s
    import torch.distributed.elastic.agent.server.local_elastic_agent
    import torch.distributed.launcher.api  # noqa: F401

    from . import worker  # noqa: F401

    assert not torch.cuda.is_initialized(), "a process that touched CUDA cannot be forked"
