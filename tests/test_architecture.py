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


WINGS = {
    "results": ("axes", "words", "legacy", "store", "compare", "show", "papers", "report", "page"),
    "runner": (
        *("interrupts", "exits", "streams", "options", "line"),
        *("models", "measures", "callbacks", "plan", "train", "launch"),
        *(
            "console",
            "stale",
            "before",
            "held",
            "policies",
            "timing",
            "waiting",
            "scheduler",
            "sweep",
            "bunch",
            "display",
            "training",
            "looks",
            "chosen",
            "contenders",
            "compare",
            "archives",
            "serve",
            "typed",
            "execute",
            "reproduction",
            "commands",
            "runs",
            "export",
        ),
        *("cli", "arguments", "notebook", "reference"),
    ),
    "optimizers": ("clock", "lr", "dense", "trust", "moments", "needs", "batch"),
    "datasets": (
        *(
            "names",
            "memory",
            "files",
            "parsed",
            "ids",
            "dataset",
            "augment",
            "resident",
            "batches",
            "validation",
            "shares",
        ),
        *("columns", "targets", "pictures", "entry", "originals", "bundled", "sets"),
    ),
}
"""From the ground up: a wing, or a file that stands beside them, imports only what is listed before it. Of optimizers
and datasets only what others stand on is listed; what is not listed may import all of it."""


def modules() -> dict[str, Path]:
    """Every module of the rooms by its name."""
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    return {
        ".".join(["batchlab", *f.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): f for f in files
    }


def arrows() -> dict[str, set[str]]:
    """module -> the modules of the rooms that it imports, those that it names for its types included.

    `from package import name` is an arrow to the package where the name is not a module of its own.
    """
    known = modules()
    found: dict[str, set[str]] = {}
    for module, file in known.items():
        targets = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= {name if name in known else node.module for name in inner}
        found[module] = {t for t in targets if t in known and t != module}
    return found


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


def rank(module: str) -> int:
    """How high a module stands in its room; what is not listed stands above all that is."""
    _, room, *rest = module.split(".")
    order = WINGS[room]
    return order.index(rest[0]) if rest and rest[0] in order else len(order)


def test_no_arrow_points_upwards() -> None:
    for module, targets in arrows().items():
        for target in targets:
            same_wing = module.split(".")[:3] == target.split(".")[:3]
            if target.split(".")[1] == module.split(".")[1] and not same_wing and target.count(".") > 1:
                up = rank(target) > rank(module) or rank(target) == rank(module) < len(WINGS[module.split(".")[1]])
                assert not up, f"{module} imports {target}, which does not stand below it"


def test_no_circle() -> None:
    """Packages count: who imports one imports what its __init__ imports, and may be none of that."""
    left = arrows()
    while free := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"these import each other: {sorted(left)}"


def test_every_wing_is_listed() -> None:
    for room in ("results", "runner"):
        there = {
            path.stem for path in (ROOT / room).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        assert there - {"__init__"} == set(WINGS[room])


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_its_own(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        rooms = {name.split(".")[1] for name in imported(file) if name.startswith("batchlab.")}
        assert rooms <= ALLOWED[room], f"{file.relative_to(ROOT)} imports {rooms - ALLOWED[room]}"


def test_the_picture_of_the_docs_is_what_is_imported() -> None:
    """Counted here once more, file by file: folders are told apart, and the files beside them are one."""
    from batchlab.runner.reference import wings

    def wing(module: str) -> tuple[str, str]:
        _, room, *rest = module.split(".")
        return room, rest[0] if rest and (ROOT / room / rest[0] / "__init__.py").exists() else ""

    def plain(one: tuple[str, str]) -> tuple[str, str]:
        return one[0], "" if one[1] == wings.GROUND else one[1]

    found = {(wing(module), wing(target)) for module, targets in arrows().items() for target in targets}
    drawn = {(plain(a), plain(b)) for a, b in wings.arrows()}
    assert {pair for pair in drawn if pair[0] != pair[1]} == {pair for pair in found if pair[0] != pair[1]}
    assert {(a[0], b[0]) for a, b in drawn if a[0] != b[0]} == {("runner", room) for room in ROOMS[:3]}


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
