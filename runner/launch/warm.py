"""What a run imports, imported once in the process that runs are forked from."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module


def imports(more: Sequence[str] = ()) -> None:
    """Import the training side, the elastic agent and `more` modules. Nothing here may touch CUDA or start a thread."""
    import pandas  # noqa: F401 (pyarrow asks for it at its first array: 0.3 s)
    import torch
    import torch._dynamo  # every torch optimizer asks for it: 2 s
    import torch.distributed.elastic.agent.server.local_elastic_agent
    import torch.distributed.launcher.api

    from batchlab.runner.launch import (
        worker,  # noqa: F401
    )
    from batchlab.runner.train import facts

    facts.versions()
    facts.commit()  # of the code as it is imported

    for module in more:
        with suppress(Exception):  # the check of the runs tells the user what cannot be imported
            import_module(module)
    if "numba" in sys.modules:  # the finite-sum solvers were asked for: the compiler's tables, 0.4 s at the first call
        sys.modules["numba"].njit(lambda: 0)()
    touched: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    assert not touched, "a process that touched CUDA cannot be forked"
