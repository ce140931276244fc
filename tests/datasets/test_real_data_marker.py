"""A test on real data is skipped where the files that it needs itself are missing, with the reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("test_real_data.py")


@pytest.mark.slow
def test_each_test_needs_its_own_files(tmp_path):
    (tmp_path / "libsvm").mkdir()
    for name in ("a9a", "a9a.t"):
        (tmp_path / "libsvm" / name).touch()
    options = ["-rs", "--setup-plan", "-p", "no:cacheprovider", "-m", "slow or not slow"]
    command = [sys.executable, "-m", "pytest", *options, str(TESTS)]
    environment = os.environ | {"BATCHLAB_DATA": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert "3 skipped" in done.stdout, done.stdout
    assert sum("needs cifar10.npz under BATCHLAB_DATA" in line for line in skipped) >= 1
    assert sum("needs MNIST/raw under BATCHLAB_DATA" in line for line in skipped) == 1
    assert "a9a" not in "".join(skipped)
