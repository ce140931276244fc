"""A Ray cluster of several nodes on this machine, for tests: Ray's own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MEMORY = 80 * 2**20
"""Of a node's object store: the least that Ray takes. Runs put nothing there."""
IMPATIENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
"""Nobody waits a minute for a head that is gone."""


class Nodes:
    """A cluster without CPUs on its head; its other nodes come and go.

    Args:
        cpus: Of each of the other nodes.
    """

    def __init__(self, *cpus: int) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False}
        self.cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self.workers = [self.cluster.add_node(num_cpus=n, object_store_memory=MEMORY) for n in cpus]
        self.cluster.wait_for_nodes()

    @property
    def address(self) -> str:
        """Of the head."""
        return str(self.cluster.address)

    def kill(self, place: int) -> None:
        """Let one of the other nodes die, with all that runs there."""
        self.cluster.remove_node(self.workers[place], allow_graceful=False)

    def behead(self) -> None:
        """Let the head die, and its nodes a little later. These are children of this process, which must hear of it.

        Until then they are not gone for what they have started, which waits for that.
        """
        self.cluster.head_node.kill_gcs_server()
        threading.Thread(target=self._bury, daemon=True).start()

    def _bury(self) -> None:
        raylets = [i.process for n in self.workers for i in n.all_processes.get("raylet", [])]
        while any(raylet.poll() is None for raylet in raylets):
            time.sleep(0.2)


@contextmanager
def nodes(*cpus: int) -> Iterator[Nodes]:
    """A cluster that is gone after the block."""
    before = {key: os.environ.get(key) for key in IMPATIENT}
    os.environ |= IMPATIENT
    cluster = Nodes(*cpus)
    try:
        yield cluster
    finally:
        cluster.cluster.shutdown()
        for key, value in before.items():
            os.environ.pop(key)
            os.environ |= {} if value is None else {key: value}
