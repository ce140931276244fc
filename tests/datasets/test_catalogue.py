"""The catalogue: what there is, without importing what is slow; and the configurations that lead to it."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from batchlab.datasets import available, prepare, sets
from batchlab.datasets.catalogue import entries, survey
from batchlab.datasets.files import write_npz
from batchlab.datasets.sets.npz import npz
from batchlab.runner.plan.build import load_dataset, locate

ENTRIES = entries()
CONF = Path(__file__).parents[2] / "conf" / "dataset"
OWN = {"npz", "libsvm", "csv", "frame", "image_folder", "torch_dataset", "huggingface"}
MADE = {"frame", "torch_dataset"}
"""Readers of what a function of the user's own makes: they look into no data root."""
CONFIGS = {path.stem: yaml.safe_load(path.read_text()) for path in CONF.glob("*.yaml")}


def test_listing_imports_nothing_slow(tmp_path):
    code = (
        "import sys, batchlab.datasets as d\n"
        "d.available(sys.argv[1])\n"
        "slow = {'torch', 'torchvision', 'sklearn', 'scipy', 'pandas', 'filelock', 'PIL'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_loading_digits_again_does_not_import_scikit_learn(tmp_path):
    prepare("digits", tmp_path)
    code = (
        "import sys\n"
        "from batchlab.datasets.images import digits\n"
        "digits(root=sys.argv[1])\n"
        "slow = {'torch', 'torchvision', 'sklearn', 'scipy', 'pandas', 'filelock'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_available(tmp_path):
    entries = {entry.name: entry for entry in available(tmp_path)}
    assert entries.keys() == ENTRIES.keys()
    assert {name for name, entry in entries.items() if entry.ready} == {
        "digits",
        "breast_cancer",
        "clicks",
        "linear_regression",
        "text",
    }
    path = prepare("digits", tmp_path)
    images, labels = np.zeros((3, 4, 5, 3), np.uint8), np.array([0, 6, 1])
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:1], "y_test": labels[:1]}
    write_npz(tmp_path / "mine.npz", arrays)
    write_npz(tmp_path / "lacking.npz", {"x_train": images})
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "mine.npz").read_bytes()[:-30])
    (tmp_path / "libsvm").mkdir()
    (tmp_path / "libsvm" / "a9a").write_text("+1 1:1\n")
    entries = {entry.name: entry for entry in available(tmp_path)}
    assert entries.keys() == ENTRIES.keys() | {"mine"}
    assert (entries["digits"].where, entries["digits"].size) == (path, path.stat().st_size)
    mine = entries["mine"]
    assert (mine.n, mine.n_test, mine.shape, mine.classes, mine.ready) == (3, 1, (3, 4, 5), 7, True)
    assert mine.source == "your file"
    assert (entries["a9a"].ready, entries["a9a"].size) == (True, 7)


def test_a_file_that_no_run_takes_is_named_with_why(tmp_path):
    """As a run refuses it too."""
    x, y = np.zeros((3, 2)), np.array([0, 1, 0])
    whole = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    own = {
        "scalar": whole | {"x_train": np.array(1.0)},
        "empty": {},
        "nobody": whole | {"x_train": x[:0], "y_train": y[:0]},
        "complex": whole | {"x_train": x.astype(complex)},
        "far": whole | {"y_train": np.array([0, 1, 10**9])},
        "texts": whole | {"y_train": np.array(["a", "b", "c"])},
        "short": whole | {"y_train": y[:2]},
    }
    for name, arrays in own.items():
        write_npz(tmp_path / f"{name}.npz", arrays)
    (tmp_path / "zero.npz").write_bytes(b"")
    lines = dict(line.split(": ", 1) for line in survey(tmp_path) if isinstance(line, str))
    for name, said in {
        "scalar": "x_train has shape ()",
        "empty": "it lacks x_train, y_train, x_test, y_test",
        "nobody": "x_train has no samples",
        "complex": "x_train has type complex128",
        "far": "labels go up to 1000000000 over 6 samples",
        "texts": "y_train has type <U1",
        "short": "y_train has shape (2,) for 3 samples",
        "zero": "File is not a zip file",
    }.items():
        assert said in lines.pop(f"{name}.npz")
        with pytest.raises(ValueError, match=r"."):
            npz(name, root=tmp_path)
    assert not lines
    assert {entry.name for entry in available(tmp_path)} == ENTRIES.keys()


def test_available_in_a_root_that_does_not_exist(tmp_path):
    assert {entry.name for entry in available(tmp_path / "none")} == ENTRIES.keys()
    assert not (tmp_path / "none").exists()


def test_prepare(tmp_path):
    assert prepare("breast_cancer", tmp_path / "new") == tmp_path / "new" / "breast_cancer.npz"
    assert prepare("linear_regression", tmp_path) is None
    with pytest.raises(ValueError, match=r"no data set 'digit' .*did you mean digits\?"):
        prepare("digit", tmp_path)
    with pytest.raises(ValueError, match=r"no data set 'xyz' .*there are text, breast_cancer, digits, cifar10, "):
        prepare("xyz", tmp_path)
    with pytest.raises(ValueError, match=r"no LIBSVM file .*libsvm/w8a"):
        prepare("w8a", tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"cannot write to the data root .*BATCHLAB_DATA"):
        prepare("digits", tmp_path / "file")


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "linear_regression", "text", "clicks"])
def test_configurations_lead_to_the_catalogues_sets(name, tmp_path):
    dataset = load_dataset(CONFIGS[name] | {"root": str(tmp_path)})
    entry = ENTRIES[name]
    assert (dataset.name, dataset.n, len(dataset.y_test), dataset.shape, dataset.classes) == (
        name,
        entry.n,
        entry.n_test,
        entry.shape,
        entry.classes,
    )


def test_every_published_set_is_one_module_and_one_yaml():
    files = Path(sets.__path__[0]).glob("*.py")
    trees = {file.stem: ast.parse(file.read_text()) for file in files}
    declaring = {
        stem
        for stem, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "Entry"
    }
    assert declaring == ENTRIES.keys()
    assert CONFIGS.keys() == ENTRIES.keys() | OWN
    for name, config in CONFIGS.items():
        assert config["name"] == name
        assert "root" in config or name in MADE
        reader = locate(config, "dataset")
        assert (reader.__module__, reader.__name__) == (f"batchlab.datasets.sets.{name}", name)
        assert name not in ENTRIES or ENTRIES[name].name == name


def test_a_readers_address_is_part_of_a_runs_identity():
    """Change one of these and every run on that data set is trained again."""
    targets = {name: config["_target_"].removeprefix("batchlab.datasets.") for name, config in CONFIGS.items()}
    images, tabular = ("npz", "digits", "mnist", "cifar10", "cifar100"), ("libsvm", "a9a", "w8a", "breast_cancer")
    old = {name: f"images.{name}" for name in images} | {name: f"tabular.{name}" for name in tabular}
    assert old.items() <= targets.items()
    assert targets["linear_regression"] == "tabular.linear_regression"


STRIPES = """
import numpy as np
from batchlab.datasets.entry import Entry
from batchlab.datasets.sets.npz import read_images

def make(entry, root):
    x, y = np.eye(4, dtype=np.uint8)[:, None, :, None], np.arange(4) % 2
    return {"x_train": x, "y_train": y, "x_test": x[:1], "y_test": y[:1]}

ENTRY = Entry("stripes", 4, 1, (1, 1, 4), 2, "bundled", make=make)

def stripes(root=None, **keys):
    return read_images(ENTRY, root, **keys)
"""


def test_a_new_set_is_two_files(tmp_path, monkeypatch):
    folder, root = tmp_path / "sets", tmp_path / "data"
    folder.mkdir()
    (folder / "stripes.py").write_text(STRIPES)
    node = yaml.safe_load(f"name: stripes\n_target_: batchlab.datasets.sets.stripes.stripes\nroot: {root}\npad: 2\n")
    before = {entry.name for entry in available(root)}
    monkeypatch.setattr(sets, "__path__", [*sets.__path__, str(folder)])
    importlib.invalidate_caches()
    try:
        assert {entry.name for entry in available(root)} - before == {"stripes"}
        assert prepare("stripes", root) == root / "stripes.npz"
        dataset = load_dataset(node)
        assert (dataset.name, dataset.n, dataset.preprocessing.pad) == ("stripes", 4, 2)
        with pytest.raises(ValueError, match=r"did you mean stripes\?"):
            prepare("stripe", root)
    finally:
        sys.modules.pop("batchlab.datasets.sets.stripes", None)
        vars(sets).pop("stripes", None)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "digits"])
def test_every_preprocessing_key_can_be_overridden(name):
    assert {"mean", "std", "standardize", "pad", "flip", "rotate"} <= CONFIGS[name].keys()


def test_the_papers_preprocessing():
    cifar10, cifar100, mnist = CONFIGS["cifar10"], CONFIGS["cifar100"], CONFIGS["mnist"]
    np.testing.assert_allclose(np.array(cifar10["mean"]) * 255, [125.3, 123.0, 113.9])
    np.testing.assert_allclose(np.array(cifar10["std"]) * 255, [63.0, 62.1, 66.7])
    assert (cifar10["pad"], cifar10["flip"], cifar10["rotate"], cifar10["standardize"]) == (4, True, 0, False)
    assert (cifar100["mean"], cifar100["std"]) == ([0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762])
    assert (cifar100["pad"], cifar100["flip"], cifar100["rotate"], cifar100["standardize"]) == (4, True, 15, False)
    assert (mnist["mean"], mnist["std"], mnist["pad"], mnist["flip"], mnist["rotate"]) == (None, None, 0, False, 0)
