"""Pages of the documentation, whose blocks are written to files and run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    """What stands between the page's fences of a language."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def write_block(block: str, folder: Path) -> Path:
    """A block as it stands, in the file that its first line names, or its second below Hydra's `# @package`."""
    first = next(line for line in block.splitlines() if not line.startswith("# @package"))
    path = folder / first.removeprefix("# ")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block)
    return path


def bash(script: str, folder: Path, **environment: str) -> str:
    """Run a script there, in which each command must go well; what it printed.

    Args:
        script: its lines.
        folder: where.
        **environment: variables in place of this process's.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env=os.environ | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
