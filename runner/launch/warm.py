"""What a run imports, imported once in the process that runs are forked from."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules


def imports(more: Sequence[str] = ()) -> None:
    """Import the training side, the elastic agent and `more`. Nothing here may touch CUDA or start a thread.

    What is left out each run imports anew: of a run of a second, what stands here would take a tenth.

    Args:
        more: dotted paths of what the runs are made of, each an object in a module.
    """
    import encodings.cp437
    import encodings.idna  # noqa: F401 (of ZIP files, and of sockets)
    import multiprocessing.popen_fork
    import multiprocessing.queues  # noqa: F401

    import pandas  # noqa: F401 (pyarrow asks for it at its first array: 0.3 s)
    import pyarrow.parquet  # noqa: F401
    import torch
    import torch._dynamo  # every torch optimizer asks for it: 2 s
    import torch.distributed.elastic.agent.server.local_elastic_agent
    import torch.distributed.launcher.api
    import yaml  # noqa: F401

    from batchlab.datasets import bundled, content, sets, standardize, validation  # noqa: F401
    from batchlab.runner.launch import (
        rendezvous,  # noqa: F401
        worker,  # noqa: F401
    )
    from batchlab.runner.train import facts

    facts.versions()
    facts.commit()  # of the code as it is imported

    for name in ("pyarrow.pandas_compat", "pyarrow.vendored.version"):  # its own affair, and asked for at a first array
        with suppress(ImportError):
            import_module(name)
    for found in iter_modules(sets.__path__):  # each reader imports its own when it is called: 0.03 s for all of them
        import_module(f"{sets.__name__}.{found.name}")
    for path in more:
        module, _, name = path.rpartition(".")
        with suppress(Exception, SystemExit):  # the check of the runs tells the user what cannot be imported
            getattr(import_module(module), name)  # some are imported as they are asked for
    if "numba" in sys.modules:  # the finite-sum solvers were asked for: the compiler's tables, 0.4 s at the first call
        sys.modules["numba"].njit(lambda: 0)()
    touched: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    assert not touched, "a process that touched CUDA cannot be forked"
