"""The real sets, where BATCHLAB_DATA holds them: read, checked, batched."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from batchlab.datasets import Batches, data_root, evaluation_batches
from batchlab.datasets.files import read_npz
from batchlab.datasets.sets.cifar10 import ENTRY, make
from batchlab.runner.plan.build import load_dataset

CONF = Path(__file__).parents[2] / "conf" / "dataset"


def config(name):
    return yaml.safe_load((CONF / f"{name}.yaml").read_text())


@pytest.mark.slow
@pytest.mark.real_data("cifar10.npz")
def test_cifar10():
    dataset = load_dataset(config("cifar10"))
    assert (dataset.n, dataset.shape, dataset.classes) == (50_000, (3, 32, 32), 10)
    assert np.bincount(dataset.y_train).tolist() == [5000] * 10
    counts = np.stack([np.bincount(dataset.x_train[..., c].ravel(), minlength=256) for c in range(3)]) / 51_200_000
    values = np.arange(256)
    mean = counts @ values
    std = np.sqrt(counts @ values**2 - mean**2)
    np.testing.assert_allclose(mean, [125.3, 123.0, 113.9], atol=0.1)
    np.testing.assert_allclose(std, [63.0, 62.1, 66.7], atol=0.1)
    batch = Batches(dataset, seed=0, device="cpu", micro_batch=512).take(2048)
    assert [x.shape for x, _ in batch.micro] == [(512, 3, 32, 32)] * 4
    x = np.concatenate([x.numpy() for x, _ in evaluation_batches(dataset, "test", device="cpu", batch=1000)])
    assert abs(x.mean()) < 0.05
    assert abs(x.std() - 1) < 0.05


@pytest.mark.slow
@pytest.mark.real_data("cifar10.npz")
def test_the_original_files_of_cifar10_hold_the_same():
    root = data_root()
    if not (root / "cifar-10-batches-py").is_dir():
        pytest.fail(f"{root} holds cifar10.npz without the files that it was made from")
    arrays, stored = make(ENTRY, root), read_npz(root / "cifar10.npz")
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, stored[key])


@pytest.mark.slow
@pytest.mark.real_data("MNIST/raw")
def test_mnist():
    dataset = load_dataset(config("mnist"))
    assert (dataset.n, len(dataset.y_test), dataset.shape, dataset.classes) == (60_000, 10_000, (1, 28, 28), 10)
    assert np.bincount(dataset.y_train)[[0, 9]].tolist() == [5923, 5949]
    assert abs(dataset.x_train.mean() / 255 - 0.1307) < 1e-4
    [(x, y)] = Batches(dataset, seed=0, device="cpu").take(60_000).micro
    assert (float(x.min()), float(x.max()), len(y)) == (0.0, 1.0, 60_000)


@pytest.mark.real_data("libsvm/a9a", "libsvm/a9a.t")
def test_a9a():
    dataset = load_dataset(config("a9a"))
    assert (dataset.n, len(dataset.y_test), dataset.shape, dataset.classes) == (32_561, 16_281, (123,), 2)
    assert (int(dataset.y_train.sum()), int(dataset.y_test.sum())) == (7_841, 3_846)
    norms = np.sqrt(np.asarray(dataset.x_train.multiply(dataset.x_train).sum(1)).ravel())
    np.testing.assert_allclose(norms, 1, rtol=1e-12)
    [(x, _)] = Batches(dataset, seed=0, device="cpu").take(1000).micro
    assert x.shape == (1000, 123)
