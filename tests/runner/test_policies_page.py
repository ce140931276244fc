"""What docs/policies.md shows runs as it stands, and it has every option and exit code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from pages import DOCS, bash, blocks

from batchlab.runner import exits
from batchlab.runner.options import SweepOptions

PAGE = (DOCS / "policies.md").read_text()


def test_every_option_and_exit_code_is_there() -> None:
    options = set(re.findall(r"^\| `(--[a-z-]+)", PAGE, re.MULTILINE))
    known = {f"--{field.name.replace('_', '-')}" for field in fields(SweepOptions)}
    assert options <= known
    assert (
        known - options
        == {
            "--dry-run",
            "--on-error",
            "--jobs-per-device",
            "--fuse",
            "--trust-code",
            "--rerun",
            "--detach",
            "--profile",
        }
        & known
    )
    codes = set(map(int, re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)))
    assert codes == {0, exits.FAILED, exits.WRONG, exits.INTERRUPTED}


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    said = bash("\n".join(blocks(PAGE, "bash")), tmp_path)
    assert "--max-runs: 1 run left, the same command goes on" in said
    assert "4 runs: 3 done already, 1 to go" in said
    assert "test accuracy" in said
