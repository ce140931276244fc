"""The environment of a launched process: what an outer job or another program left there is not meant for it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
"""Where the processes of one machine meet. By number: neither localhost nor the host's own name need have one."""
ONE_MACHINE = "one_machine"
"""How torchrun calls the rendezvous that binds nothing but the loopback interface (`rendezvous.py`)."""
OUTER = ("PET_", "TORCHELASTIC_", "TORCH_ELASTIC_")
"""How the variables begin that torchrun and its agent take for options; they overwrite RANK, MASTER_ADDR and so on."""
STRICT = ("PYTHONOPTIMIZE", "PYTHONWARNINGS")
"""They take away what libraries rely on: that assertions are carried out, and that a warning ends nothing."""


def check_loopback() -> None:
    """See that this machine reaches itself: torch would try for ten minutes, deaf to signals, where it does not.

    Raises:
        OSError: it does not.
    """
    try:
        with socket.create_server((LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=10).close()
    except OSError as error:
        why = f"this machine cannot reach itself at {LOOPBACK} ({error.strerror}): bring up its loopback interface"
        raise OSError(why) from error


def launched(environment: Mapping[str, str], *, nodes: int = 1) -> dict[str, str]:
    """The environment in which processes of a run are started; to ask twice changes nothing.

    Args:
        environment: of this process.
        nodes: how many the run's ranks are split over; those of one meet on its loopback interface.
    """
    kept = {key: value for key, value in environment.items() if key not in STRICT and not key.startswith(OUTER)}
    level = kept.pop("LOGLEVEL", "").strip().upper()
    # torch's agent takes no other; below INFO torch speaks of itself, in the middle of what the runs say.
    if logging.getLevelNamesMapping().get(level, logging.NOTSET) >= logging.INFO:
        kept["LOGLEVEL"] = level
    kept["PYTHONIOENCODING"] = "utf-8:backslashreplace"  # they print into logs, not to the user's terminal
    loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    if nodes == 1 and loopback:
        kept |= dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), loopback[0])
    return kept
