"""Whether the kernel killed a process for want of memory, as far as its control group counts that (Linux)."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
LIMITS = ("memory.events", "memory.oom_control")
"""Where cgroups of the second and of the first version count."""


def oom_kills() -> int:
    """How many processes of this one's control group were killed; 0 where nobody counts.

    In a container the group's own path may not be there: what is mounted is the group then.
    """
    groups = [MOUNTED]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                mounts = (MOUNTED / "memory",) if controllers else (MOUNTED, MOUNTED / "unified")
                groups = [*(mount / path.lstrip("/") for mount in mounts), *mounts, *groups]
    for group in groups:
        for name in LIMITS:
            with suppress(OSError):
                if found := re.search(r"^oom_kill (\d+)$", (group / name).read_text(), re.MULTILINE):
                    return int(found[1])
    return 0
