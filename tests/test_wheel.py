"""A wheel built from the checkout works from an empty folder, and puts one name into site-packages."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel
ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    """What a command says; it must succeed."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "BATCHLAB_RUNS")}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the files that git knows, so that no leftover of an earlier build gets in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, cwd=source)
    (built,) = out.glob("*.whl")
    return built


def test_one_name_and_all_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {n.split("/", 1)[0] for n in names if ".dist-info/" not in n} == {"batchlab"}
    shipped = {n.removeprefix("batchlab/") for n in names}
    data = run(
        "git",
        "ls-files",
        "conf",
        "results/published",
        "results/reproduced",
        "results/report",
        "datasets/sets/text.gz",
        cwd=ROOT,
    ).split()
    wanted = [path for path in data if (ROOT / path).exists()]
    assert "datasets/sets/text.gz" in wanted
    assert set(wanted) <= shipped
    modules = run("git", "ls-files", "optimizers", "datasets", "results", "runner", cwd=ROOT).split()
    assert {m for m in modules if m.endswith(".py") and (ROOT / m).exists()} <= shipped


def test_installed_it_shows_and_trains(wheel: Path, tmp_path: Path) -> None:
    home, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    venv.create(home, with_pip=False)
    (site,) = (home / "lib").glob("python*/site-packages")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel, cwd=empty)
    # Dependencies come from this environment, listed after the wheel; its editable batchlab does not: .pth files
    # are read in site-packages folders only, not in those that a .pth file adds.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    python = home / "bin" / "python"
    where = run(python, "-c", "import batchlab.runner.plan.conf.files as c; print(c.__file__, c.PACKAGED)", cwd=empty)
    assert where.count(str(site)) == 2, where
    command = [python, "-c", "from batchlab.runner.cli import main; main()"]
    shown = run(*command, "show", "optimizer=nshb", cwd=empty)
    assert "batchlab.optimizers" in shown
    run(*command, "train", "model=mlp", "train.epochs=1", "train.device=cpu", cwd=empty)
    assert list(empty.glob("runs/*/metrics.parquet"))
    assert "done" in run(*command, "status", cwd=empty)
    run(*command, "reproduce", "sgdm_schedules", "--dry-run", cwd=empty)
