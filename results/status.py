"""What is done, running, failed and left: the answer of `batchlab status`. Standard library only."""

from __future__ import annotations
