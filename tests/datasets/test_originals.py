"""Published files: checked, downloaded once, from a mirror if need be. A small CIFAR-10 and MNIST stand in."""

import gzip
import hashlib
import http.server
import io
import multiprocessing
import os
import pickle
import struct
import tarfile
import threading
import time
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as published

from batchlab.datasets import available, prepare
from batchlab.datasets.files import read_npz
from batchlab.datasets.sets.cifar10 import cifar10

RNG = np.random.default_rng(0)
BATCH_NAMES = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]


def md5(raw: bytes) -> str:
    return hashlib.md5(raw).hexdigest()


def small_cifar() -> tuple[dict[str, bytes], bytes]:
    """The files of a CIFAR-10 with 4 images in each batch, and their archive."""
    files = {
        name: pickle.dumps({"data": RNG.integers(0, 256, (4, 3072), dtype=np.uint8), "labels": [0, 1, 2, 9]})
        for name in BATCH_NAMES
    }
    files["batches.meta"] = pickle.dumps({"label_names": [str(k) for k in range(10)]})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, raw in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return files, buffer.getvalue()


CIFAR_FILES, CIFAR_ARCHIVE = small_cifar()


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


MNIST_ARRAYS = {
    "train-images-idx3-ubyte.gz": RNG.integers(0, 256, (7, 28, 28)),
    "train-labels-idx1-ubyte.gz": np.arange(7),
    "t10k-images-idx3-ubyte.gz": RNG.integers(0, 256, (3, 28, 28)),
    "t10k-labels-idx1-ubyte.gz": np.arange(3),
}
MNIST_FILES = {name: idx(array) for name, array in MNIST_ARRAYS.items()}


@pytest.fixture
def small(monkeypatch):
    """Let torchvision take the small sets for the published ones."""
    patch = monkeypatch.setattr
    patch(published.CIFAR10, "train_list", [[name, md5(CIFAR_FILES[name])] for name in BATCH_NAMES[:5]])
    patch(published.CIFAR10, "test_list", [["test_batch", md5(CIFAR_FILES["test_batch"])]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(CIFAR_FILES["batches.meta"])}
    patch(published.CIFAR10, "meta", meta)
    patch(published.CIFAR10, "tgz_md5", md5(CIFAR_ARCHIVE))
    patch(published.MNIST, "resources", [(name, md5(raw)) for name, raw in MNIST_FILES.items()])


@contextmanager
def serving():
    """A mirror on this machine; `served.gets` lists what was asked for, `served.files` is what it has."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            served.gets.append(self.path)
            time.sleep(served.delay)
            self.answer(body=True)

        def answer(self, body):
            raw = served.files.get(self.path)
            self.send_response(200 if raw is not None else 404)
            self.send_header("Content-Length", str(len(raw or b"")))
            self.end_headers()
            if raw and body:
                self.wfile.write(raw)

        def log_message(self, *args):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.gets, served.delay, served.files = [], 0.0, {"/here/cifar.tar.gz": CIFAR_ARCHIVE}
    served.files.update({f"/mnist/{name}": raw for name, raw in MNIST_FILES.items()})
    served.url = f"http://127.0.0.1:{served.server_address[1]}"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.shutdown()
        served.server_close()
        thread.join()


@pytest.fixture
def server():
    with serving() as served:
        yield served


def lay_out_cifar(root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, raw in CIFAR_FILES.items():
        (folder / name).write_bytes(raw)
    return folder


def assert_small_cifar(path: Path) -> None:
    arrays = read_npz(path)
    batches = [pickle.loads(CIFAR_FILES[name])["data"] for name in BATCH_NAMES]
    stored = np.concatenate(batches[:5]).reshape(20, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(arrays["x_train"], stored)
    np.testing.assert_array_equal(arrays["x_test"], batches[5].reshape(4, 3, 32, 32).transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(arrays["y_train"], [0, 1, 2, 9] * 5)
    assert arrays["y_test"].dtype == np.int64


def visible(root: Path) -> list[str]:
    return sorted(name for name in os.listdir(root) if not name.endswith(".lock"))


def test_files_already_there_need_no_network(small, tmp_path):
    lay_out_cifar(tmp_path)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in MNIST_FILES.items():
        (raw / name).write_bytes(content)
    assert {e.name for e in available(tmp_path) if e.ready} >= {"cifar10", "mnist"}
    assert_small_cifar(prepare("cifar10", tmp_path))
    arrays = read_npz(prepare("mnist", tmp_path))
    for key, array in zip(("x_train", "y_train", "x_test", "y_test"), MNIST_ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(arrays[key].squeeze(), array)
    assert arrays["x_train"].shape == (7, 28, 28, 1)


def test_mirrors(small, server, tmp_path, monkeypatch):
    monkeypatch.setenv("BATCHLAB_CIFAR10_URL", f"{server.url}/here/cifar.tar.gz")
    monkeypatch.setenv("BATCHLAB_MNIST_URL", f"{server.url}/mnist/")
    assert_small_cifar(prepare("cifar10", tmp_path))
    assert read_npz(prepare("mnist", tmp_path))["y_train"].tolist() == list(range(7))
    assert len(server.gets) == 1 + len(MNIST_FILES)
    prepare("cifar10", tmp_path)
    assert len(server.gets) == 1 + len(MNIST_FILES)
    assert visible(tmp_path) == ["cifar10.npz", "mnist.npz"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw[:-100], "not the published file: its MD5 is not"),
        (lambda raw: raw[:50] + b"x" + raw[51:], "not the published file: its MD5 is not"),
        (lambda raw: None, "404"),
    ],
    ids=["truncated", "changed", "absent"],
)
def test_a_bad_mirror(small, server, tmp_path, monkeypatch, change, message):
    url = f"{server.url}/here/cifar.tar.gz"
    monkeypatch.setenv("BATCHLAB_CIFAR10_URL", url)
    server.files["/here/cifar.tar.gz"] = change(CIFAR_ARCHIVE)
    with pytest.raises(ValueError, match=rf"{url}.*{message}.*set BATCHLAB_CIFAR10_URL.*cifar10\.npz into") as caught:
        prepare("cifar10", tmp_path)
    assert "\n" not in str(caught.value)
    assert visible(tmp_path) == []
    server.files["/here/cifar.tar.gz"] = CIFAR_ARCHIVE
    assert_small_cifar(prepare("cifar10", tmp_path))


def test_a_mirror_that_does_not_answer(small, tmp_path, monkeypatch):
    monkeypatch.setenv("BATCHLAB_MNIST_URL", "http://127.0.0.1:9/")
    with pytest.raises(ValueError, match=r"cannot download mnist .*127\.0\.0\.1:9.*BATCHLAB_MNIST_URL.*MNIST/raw"):
        prepare("mnist", tmp_path)
    assert visible(tmp_path) == []


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_damaged_and_missing_originals(small, tmp_path, name):
    path = lay_out_cifar(tmp_path) / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=rf"{name} is damaged \(its MD5 is not .*\); restore it, or delete"):
        prepare("cifar10", tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=rf"no file .*{name}; restore it, or delete"):
        prepare("cifar10", tmp_path)
    assert "cifar10.npz" not in os.listdir(tmp_path)


def test_a_set_that_is_not_what_its_name_says(small, tmp_path):
    lay_out_cifar(tmp_path)
    with pytest.raises(ValueError, match=r"holds \(20, 4, \(3, 32, 32\), 10\).* but cifar10 is \(50000, 10000"):
        cifar10(tmp_path)


def prepare_when_told(root: Path, mirror: Connection) -> None:
    os.environ["BATCHLAB_CIFAR10_URL"] = mirror.recv()
    prepare("cifar10", root)


def test_two_processes_download_once(small, tmp_path):
    """Both ask at once; the download takes long enough for them to meet at the lock."""
    fork = multiprocessing.get_context("fork")  # before the server's thread starts
    pipes = [fork.Pipe() for _ in range(2)]
    processes = [fork.Process(target=prepare_when_told, args=(tmp_path, theirs)) for _, theirs in pipes]
    for process in processes:
        process.start()
    with serving() as server:
        server.delay = 1.0
        for ours, _ in pipes:
            ours.send(f"{server.url}/here/cifar.tar.gz")
        for process in processes:
            process.join(timeout=60)
            assert process.exitcode == 0
    assert server.gets == ["/here/cifar.tar.gz"]
    assert visible(tmp_path) == ["cifar10.npz"]
    assert_small_cifar(tmp_path / "cifar10.npz")
