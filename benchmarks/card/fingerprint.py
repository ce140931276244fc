"""A measure of the parameters' every bit, for comparing runs exactly."""

from __future__ import annotations

import hashlib

import torch

from batchlab.runner.measures import Measure
from batchlab.runner.measures.probe import Probe


class Fingerprint(Measure):
    """`fingerprint`: 48 bits of a hash of all parameters' bytes, which a float64 holds exactly.

    Args:
        deterministic: see to it that convolutions are computed the same way every time, which is not PyTorch's default.
    """

    def __init__(self, *, deterministic: bool = False) -> None:
        if deterministic:
            torch.backends.cudnn.deterministic = True
            torch.use_deterministic_algorithms(True, warn_only=True)

    def measure(self, probe: Probe) -> dict[str, float]:
        """Column `fingerprint`."""
        digest = hashlib.sha256()
        for parameter in probe.model.parameters():
            digest.update(parameter.detach().float().contiguous().cpu().numpy().tobytes())
        return {"fingerprint": float(int(digest.hexdigest()[:12], 16))}
