"""What tensors free is kept for the next ones: counted in pages that the system hands out, not in seconds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from batchlab.runner.launch.allocator import keep_freed

PROGRAM = """
import resource, sys
import numpy as np
from batchlab.runner.launch.allocator import keep_freed
kept = keep_freed() if sys.argv[1] == "kept" else False
np.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(2**23)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **environment: str) -> tuple[bool, int]:
    """Whether freed memory was kept, and pages that ten arrays of 64 MiB took, one after the other."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")} | environment
    clean.pop("GLIBC_TUNABLES", None)
    made = subprocess.run([sys.executable, "-c", PROGRAM, how], env=clean, capture_output=True, text=True, check=True)
    kept, count = made.stdout.split()
    return kept == "True", int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_freed_memory_is_used_again() -> None:
    (kept, few), (_, many) = faults("kept"), faults("plain")
    if not kept:
        pytest.skip("no mallopt in this C library")
    assert few < many / 20, "each array would be made of new pages"


def test_who_tunes_malloc_has_the_word() -> None:
    assert not keep_freed({"MALLOC_ARENA_MAX": "2"})
    assert not keep_freed({"GLIBC_TUNABLES": "glibc.malloc.check=3"})
    assert not faults("kept", MALLOC_TOP_PAD_="131072")[0]
