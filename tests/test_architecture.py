"""Who may import whom, what a light command must not import, and what the package consists of."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("optimizers", "datasets", "results", "runner")
ALLOWED = {room: {room} for room in ROOMS} | {"runner": set(ROOMS)}


def imported(file: Path) -> set[str]:
    """Absolute module names that a file imports anywhere, inside functions too."""
    package = ["batchlab", *file.relative_to(ROOT).parent.parts]
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names |= {stem} | {f"{stem}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_its_own(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        rooms = {name.split(".")[1] for name in imported(file) if name.startswith("batchlab.")}
        assert rooms <= ALLOWED[room], f"{file.relative_to(ROOT)} imports {rooms - ALLOWED[room]}"


def test_results_never_imports_torch() -> None:
    for file in (ROOT / "results").rglob("*.py"):
        assert not any(name.split(".")[0] == "torch" for name in imported(file)), file


def test_the_package_list_is_what_there_is() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {file.parent.relative_to(ROOT) for room in ROOMS for file in (ROOT / room).rglob("__init__.py")}
    assert set(settings["packages"]) == {"batchlab." + ".".join(f.parts) for f in folders} | {
        "batchlab",
        "batchlab.conf",
    }


@pytest.mark.parametrize(
    "code",
    [
        "import batchlab.runner.cli",
        "import sys; sys.argv = ['batchlab', '--help']\nfrom batchlab.runner.cli import main\n"
        "try: main()\nexcept SystemExit: pass",
        "import sys; sys.argv = ['batchlab', 'status', '--runs', '{runs}']\nfrom batchlab.runner.cli import main\n"
        "try: main()\nexcept SystemExit: pass",
        "import os, sys\n"
        "os.environ |= dict(_BATCHLAB_COMPLETE='complete_bash', COMP_WORDS='batchlab sw', COMP_CWORD='1')\n"
        "sys.argv = ['batchlab']\nfrom batchlab.runner.cli import main\ntry: main()\nexcept SystemExit: pass",
    ],
    ids=["import", "help", "status", "completion"],
)
def test_light_commands_import_nothing_heavy(code: str, tmp_path: Path) -> None:
    heavy = "import sys\nprint('HEAVY', [m for m in ('torch', 'pandas', 'hydra', 'matplotlib') if m in sys.modules])"
    script = code.replace("{runs}", str(tmp_path)) + "\n" + heavy
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.rstrip().endswith("HEAVY []"), done.stdout + done.stderr
