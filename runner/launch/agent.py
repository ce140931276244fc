"""The torchrun command, which also knows how a run on one machine meets (`rendezvous.py`): its own ways listen to all.

python -m batchlab.runner.launch.agent --rdzv-backend one_machine --rdzv-conf ranks=2 --nproc-per-node 2 ...
"""

from __future__ import annotations

import os

from torch.distributed.run import main

from batchlab.runner.launch import rendezvous  # noqa: F401 (registers it)
from batchlab.runner.launch.process import AGENT

if __name__ == "__main__":
    os.environ[AGENT] = str(os.getpid())
    main()
