"""How the one agent of a run on one machine meets itself: at once, and where no other machine can come in.

torchrun's c10d rendezvous first waits up to 0.3 s, so that many nodes do not crowd its store. There is one node here.
And its store listens on all of the machine's addresses.
"""

from __future__ import annotations

import signal
import socket

from torch._C._distributed_c10d import HashStore, PrefixStore, Store, TCPStore
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.rendezvous import RendezvousInfo, RendezvousParameters, rendezvous_handler_registry
from torch.distributed.elastic.rendezvous.api import RendezvousStoreInfo
from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous

from batchlab.runner.launch.environment import LOOPBACK, ONE_MACHINE, check_loopback
from batchlab.runner.launch.process import Told

TIMEOUT = 600
"""Seconds that ranks wait for each other in their store."""


class OneMachine(StaticTCPRendezvous):
    """A static rendezvous of one node whose port the kernel picks, so that runs cannot race for one.

    Args:
        run_id: of the run.
        ranks: how many are to meet. One meets nobody: then nothing listens.
        told: whether the agent is to stop, where it does not hear of that by torch's own handlers.
    """

    def __init__(self, run_id: str, ranks: int, told: Told | None = None) -> None:
        super().__init__(LOOPBACK, 0, 0, 1, run_id, TIMEOUT)
        self.ranks = ranks
        self.told = told

    def get_backend(self) -> str:
        """The name that it is registered by."""
        return ONE_MACHINE

    def next_rendezvous(self) -> RendezvousInfo:
        """This node is the first of one; its ranks meet in the store made here."""
        self._check_told()
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

    def num_nodes_waiting(self) -> int:
        """No other ever comes. The agent asks it each time that it looks after its ranks.

        Raises:
            SignalException: the agent was told to stop; it knows what to do then.
        """
        self._check_told()
        return 0

    def _check_told(self) -> None:
        if self.told is not None and self.told.heard:
            raise SignalException("told to stop", signal.SIGTERM)


def _create(parameters: RendezvousParameters) -> OneMachine:
    return OneMachine(parameters.run_id, int(parameters.config["ranks"]), parameters.config.get("told"))


rendezvous_handler_registry.register(ONE_MACHINE, _create)
