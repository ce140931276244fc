"""How the one agent of a run on one machine meets itself: at once.

torchrun's c10d rendezvous first waits up to 0.3 s, so that many nodes do not crowd its store. There is one node here.
"""

from __future__ import annotations

from torch._C._distributed_c10d import PrefixStore, TCPStore
from torch.distributed.elastic.rendezvous import RendezvousInfo, RendezvousParameters, rendezvous_handler_registry
from torch.distributed.elastic.rendezvous.api import RendezvousStoreInfo
from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous

from batchlab.runner.launch.environment import LOOPBACK, check_loopback

BACKEND = "one_machine"
TIMEOUT = 600
"""Seconds that ranks wait for each other in their store."""


class OneMachine(StaticTCPRendezvous):
    """A static rendezvous of one node whose port the kernel picks, so that runs cannot race for one."""

    def get_backend(self) -> str:
        """The name that it is registered by."""
        return BACKEND

    def next_rendezvous(self) -> RendezvousInfo:
        """This node is the first of one; its ranks meet in the store made here."""
        check_loopback()
        store = TCPStore(self.master_addr, 0, self.world_size, True, self.timeout)
        self._store = store
        meeting = RendezvousStoreInfo(self.master_addr, store.port)
        return RendezvousInfo(PrefixStore(self.run_id, store), self.rank, self.world_size, meeting)


def _create(parameters: RendezvousParameters) -> OneMachine:
    return OneMachine(LOOPBACK, 0, 0, 1, parameters.run_id, TIMEOUT)


rendezvous_handler_registry.register(BACKEND, _create)
