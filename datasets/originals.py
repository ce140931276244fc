"""Published files, such as those of MNIST and CIFAR: downloaded and checked.

torchvision knows their addresses and MD5 sums. Importing it takes seconds, so this is done once: the arrays
are then written as NAME.npz. Downloads go to a temporary folder; an interrupted one leaves nothing behind.
"""

from __future__ import annotations

import http.client
import os
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from batchlab.datasets.entry import Entry
from batchlab.datasets.files import Arrays, first_line, writable

STALLED_SECONDS = 60.0  # a server that sends nothing for so long has failed; a slow one has not

UNPACKED = 2**31
"""Bytes of a published set, unpacked."""


def check(folder: Path, files: dict[str, str]) -> None:
    """See that every file is in the folder.

    Args:
        folder: where they should be.
        files: MD5 sums by file name.

    Raises:
        ValueError: one is missing or damaged.
    """
    from torchvision.datasets.utils import check_integrity

    for file, md5 in files.items():
        path = folder / file
        if not path.is_file():
            raise ValueError(f"no file {path}; restore it, or delete {folder} to download the set again")
        if not check_integrity(path, md5):
            raise ValueError(
                f"{path} is damaged (its MD5 is not {md5}); restore it, or delete {folder} to download the set again"
            )


def retrieve(url: str, path: Path, md5: str) -> None:
    """Download one file, saying so on stderr.

    Raises:
        OSError: it cannot be had, or is not the published one.
    """
    from torchvision.datasets.utils import check_integrity

    request = urllib.request.Request(url, headers={"User-Agent": "batchlab"})
    with urllib.request.urlopen(request, timeout=STALLED_SECONDS) as answer, path.open("wb") as file:
        total, done, shown = int(answer.headers.get("Content-Length") or 0), 0, 0.0
        print(f"downloading {url} ({total / 1e6:.1f} MB)", file=sys.stderr, flush=True)
        while block := answer.read(2**18):
            done += file.write(block)
            if sys.stderr.isatty() and time.monotonic() - shown > 1:
                shown = time.monotonic()
                print(f"\r{done / 1e6:.1f} MB", end="\r", file=sys.stderr, flush=True)
    if not check_integrity(path, md5):
        raise OSError(f"not the published file: its MD5 is not {md5}")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz whose members are plain files and folders below it, no more than `UNPACKED` bytes in all.

    Raises:
        OSError: a member is a link, a device, or would lie elsewhere; or they are larger.
    """
    size = 0
    with tarfile.open(archive) as opened:
        for member in opened:
            place = Path(member.name)
            if not (member.isfile() or member.isdir()) or place.is_absolute() or ".." in place.parts:
                raise OSError(f"{archive.name}: {member.name!r} is no plain file below it")
            size += member.size
            if size > UNPACKED:
                raise OSError(f"{archive.name} has more than {UNPACKED:,} bytes unpacked")
            opened.extract(member, folder, filter="data")


def download(entry: Entry, root: Path, urls: Sequence[str], fetch: Callable[[str, Path], Arrays]) -> Arrays:
    """The arrays of a set from the first of its addresses that has it, or from the mirror asked for.

    The mirror is BATCHLAB_NAME_URL: the address of the .tar.gz for CIFAR, of the folder of .gz files for MNIST.

    Args:
        entry: which set.
        root: the data root, where a temporary folder is made.
        urls: its addresses.
        fetch: called with (address, temporary folder).

    Raises:
        ValueError: no address has it, with what each of them said.
    """
    name, variable = entry.name, f"BATCHLAB_{entry.name.upper()}_URL"
    mirror = os.environ.get(variable)
    failures = []
    for url in (mirror,) if mirror else urls:
        with writable(root):
            temporary = TemporaryDirectory(dir=root, prefix=f".{name}-")
        with temporary as folder:
            try:
                return fetch(url, Path(folder))
            except (OSError, RuntimeError, ValueError, http.client.HTTPException, tarfile.TarError) as error:
                failures.append(f"{url}: {first_line(error)}")
    raise ValueError(
        f"cannot download {name} ({'; '.join(failures)}); set {variable} to a mirror, "
        f"or put the original files into {root / str(entry.original)}, or {name}.npz into {root}"
    )
