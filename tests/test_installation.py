"""What `make setup` asks pip for, with and without a build of torch of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "performance.md").read_text()


def asked(folder: Path, *more: str) -> list[str]:
    """The commands of pip that `make setup` would run, as they stand."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make here")
    command = [make, "-n", "setup", f"VENV={folder / 'venv'}", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "pip install" in line]


def test_torch_comes_first_and_alone_where_it_has_an_index_of_its_own(tmp_path: Path) -> None:
    """Nothing else is taken from there, and nothing of torch's needs is taken before the constraints are known."""
    (index,) = set(re.findall(r"TORCH_INDEX=(\S+)", PAGE))
    (usual,) = asked(tmp_path)
    torch, rest = asked(tmp_path, f"TORCH_INDEX={index}")
    assert torch.endswith(f"--constraint constraints.txt --no-deps --index-url '{index}' torch torchvision")
    assert rest == usual
    assert "index" not in usual


def test_a_build_for_the_processor_meets_the_pinned_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if re.match(r"torch(vision)?==", line)]
    assert [pin.name for pin in pins] == ["torch", "torchvision"]
    for pin in pins:
        (version,) = pin.specifier
        assert f"{version.version}+cpu" in pin.specifier
