"""How the one agent of a run on one machine meets itself: at once, and where no other machine can come in.

torchrun's c10d rendezvous first waits up to 0.3 s, so that many nodes do not crowd its store. There is one node here.
And its store listens on all of the machine's addresses.
"""

from __future__ import annotations

import socket

from torch._C._distributed_c10d import HashStore, PrefixStore, Store, TCPStore
from torch.distributed.elastic.rendezvous import RendezvousInfo, RendezvousParameters, rendezvous_handler_registry
from torch.distributed.elastic.rendezvous.api import RendezvousStoreInfo
from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous

from batchlab.runner.launch.environment import LOOPBACK, ONE_MACHINE, check_loopback

TIMEOUT = 600
"""Seconds that ranks wait for each other in their store."""


class OneMachine(StaticTCPRendezvous):
    """A static rendezvous of one node whose port the kernel picks, so that runs cannot race for one.

    Args:
        run_id: of the run.
        ranks: how many are to meet. One meets nobody: then nothing listens.
    """

    def __init__(self, run_id: str, ranks: int) -> None:
        super().__init__(LOOPBACK, 0, 0, 1, run_id, TIMEOUT)
        self.ranks = ranks

    def get_backend(self) -> str:
        """The name that it is registered by."""
        return ONE_MACHINE

    def next_rendezvous(self) -> RendezvousInfo:
        """This node is the first of one; its ranks meet in the store made here."""
        if self.ranks == 1:
            self._store: Store = HashStore()
        else:
            check_loopback()
            listener = socket.create_server((LOOPBACK, 0))
            self.master_port = listener.getsockname()[1]
            self._store = TCPStore(
                LOOPBACK,
                self.master_port,
                self.world_size,
                True,
                self.timeout,
                master_listen_fd=listener.detach(),  # the store's from now on
            )
        meeting = RendezvousStoreInfo(LOOPBACK, self.master_port)
        return RendezvousInfo(PrefixStore(self.run_id, self._store), self.rank, self.world_size, meeting)


def _create(parameters: RendezvousParameters) -> OneMachine:
    return OneMachine(parameters.run_id, int(parameters.config["ranks"]))


rendezvous_handler_registry.register(ONE_MACHINE, _create)
