"""Runs in one file that travels: a tar within xz, of which nothing is believed before it is checked.

    archive.json                                          which format it is
    .sweeps/NAME.json  .plans/NAME.json  .measured/PAPER.json
    RUN_ID/config.yaml  RUN_ID/run.json  RUN_ID/metrics.parquet  ...

It is laid out as a folder of runs is, with the files that tables are made of and none to go on from. Headers hold no
time, owner or mode, so that the same files have the same bytes. One stream of xz holds all of them: every Parquet file
repeats its configuration, which costs nothing the second time.

A reader takes plain files of these names and no others, each once, of bounded size and number, from a decoder whose
memory is bounded. Standard library only.
"""

from __future__ import annotations

import lzma
import re
import tarfile
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from batchlab.results.store.atomic import replace, writing
from batchlab.results.store.objects import formatted, parse_object
from batchlab.results.store.regular import open_file
from batchlab.results.store.run import STATE_FILE, STREAMS
from batchlab.results.store.shapes import has, whole
from batchlab.results.words import visible

SUFFIX = ".tar.xz"
MAGIC = b"\xfd7zXZ\x00"
"""How a file of xz begins."""
FORMAT = 1
FIRST = "archive.json"
KEPT = (".sweeps", ".plans", ".measured")
"""Folders of a store that travel with its runs."""
PARTS = ("config.yaml", STATE_FILE, *(f"{stream}.{kind}" for stream in STREAMS for kind in ("parquet", "jsonl")))
"""Files of a run that do."""
NAME = re.compile(
    rf"(?:{'|'.join(map(re.escape, KEPT))})/\w[\w.-]*\.json"
    rf"|[A-Za-z0-9_][A-Za-z0-9_.-]*/(?:{'|'.join(map(re.escape, PARTS))})"
)
NAME_BYTES = 100
"""Of what stands behind the slash, in a header of tar; before it there is room for 155."""
MEMBER_BYTES = 256 << 20
TOTAL_BYTES = 2 << 30
MEMBERS = 300_000
DECODER_BYTES = 160 << 20
"""Memory that a decoder may ask for; for what `write` leaves it takes a tenth of it."""
BLOCK = tarfile.BLOCKSIZE
CHUNK = 1 << 18
HEADER = has({"format": whole}, "format")
KINDS = {
    **dict.fromkeys((tarfile.LNKTYPE, tarfile.SYMTYPE), "a link"),
    **dict.fromkeys((tarfile.CHRTYPE, tarfile.BLKTYPE), "a device"),
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
}
BEYOND = f"an archive takes {MEMBERS:,} files of {MEMBER_BYTES >> 20} MiB at most, and {TOTAL_BYTES >> 30} GiB in all"

NOT_OURS = "is no archive of runs: it is not what `batchlab runs pack` wrote"


class _Bad(Exception):
    """What is wrong with an archive, in a phrase."""


def write(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write an archive, atomically: the same files leave the same bytes.

    Args:
        path: The archive; one that is there is replaced.
        files: Names, as above, and contents, in their order.

    Raises:
        ValueError: Naming what cannot be packed, or that the archive cannot be written.
    """
    with writing(path, "name another file"):
        replace(path, partial(_fill, files=files))


def _fill(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    total = 0
    with lzma.open(path, "wb", preset=6 | lzma.PRESET_EXTREME) as packed:
        for n, (name, content) in enumerate(chain([(FIRST, formatted({"format": FORMAT}))], files)):
            total += len(content)
            if len(content) > MEMBER_BYTES or total > TOTAL_BYTES or n > MEMBERS:
                raise ValueError(f"{name} is too much: {BEYOND}; --sweep NAME packs one sweep")
            packed.write(_header(name, len(content)))
            packed.write(content + bytes(-len(content) % BLOCK))
        packed.write(bytes(2 * BLOCK))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    try:
        return info.tobuf(tarfile.USTAR_FORMAT)
    except ValueError as error:
        raise ValueError(f"{name}: a name of more than {NAME_BYTES} bytes has no room in an archive") from error


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files of an archive, without its first one, each whole and under a name that is safe.

    Raises:
        ValueError: In one line, naming the archive and what is wrong with it.
    """
    try:
        with open_file(path) as file:
            yield from _members(_Unpacked(file))
    except _Bad as error:
        raise ValueError(f"{path} {visible(str(error).replace(chr(10), ' '))}") from None
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror})") from error


def _members(packed: _Unpacked) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    while (header := packed.take(BLOCK)) != bytes(BLOCK):
        name, size = _read_header(header)
        if (seen and name == FIRST) or (not seen and name != FIRST):
            raise _Bad(NOT_OURS)
        if name in seen:
            raise _Bad(f"is refused: it holds {_said(name)} twice")
        seen.add(name)
        if size > MEMBER_BYTES or len(seen) > MEMBERS + 1:
            raise _Bad(f"is refused: {_said(name)} is too much ({BEYOND})")
        content = packed.take(size)
        packed.take(-size % BLOCK)
        if name == FIRST:
            _check_format(content)
        else:
            yield name, content
    if not seen:
        raise _Bad(NOT_OURS)
    packed.end()


def _read_header(header: bytes) -> tuple[str, int]:
    """A member's name and its size in bytes."""
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise _Bad(f"is damaged, or no archive of runs ({error})") from None
    name = info.name
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise _Bad(f"is refused: {_said(name)} is {KINDS.get(info.type, 'something else than a file')}")
    if name.startswith("/"):
        raise _Bad(f"is refused: {_said(name)} is an absolute path")
    if ".." in name.split("/"):
        raise _Bad(f"is refused: {_said(name)} leads out of its folder")
    if name != FIRST and not NAME.fullmatch(name):
        raise _Bad(f"is refused: {_said(name)} is no file of a run")
    if info.size < 0:
        raise _Bad(f"is damaged: {_said(name)} has {info.size} bytes")
    return name, info.size


def _said(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:59]}…"


def _check_format(content: bytes) -> None:
    try:
        found = parse_object(content, HEADER)["format"]
    except ValueError:
        raise _Bad(NOT_OURS) from None
    if found != FORMAT:
        raise _Bad(f"has format {found}, this batchlab reads format {FORMAT}: update it")


class _Unpacked:
    """What is behind xz, forwards and in bounds."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_BYTES)
        begins = file.read(len(MAGIC))
        if not MAGIC.startswith(begins):
            raise _Bad(NOT_OURS)
        self._there = self._decoder.decompress(begins)  # nothing yet
        self._left = TOTAL_BYTES + 2 * MEMBERS * BLOCK

    def take(self, n: int) -> bytes:
        """The next n bytes.

        Raises:
            _Bad: There are not so many, or they are not what was packed.
        """
        parts, length = [self._there[:n]], min(n, len(self._there))
        self._there = self._there[n:]
        while length < n:
            got = self._more()
            if not got:
                raise _Bad("is damaged: its end is missing")
            parts.append(got[: n - length])
            self._there = got[n - length :]
            length += len(parts[-1])
        return b"".join(parts)

    def end(self) -> None:
        """See that nothing follows but what pads an archive, and that all checksums were met."""
        rest = self._there
        while rest.count(0) == len(rest):
            rest = self._more()
            if not rest:
                break
        if rest or self._decoder.unused_data or self._file.read(1):
            raise _Bad("is damaged: something follows its end")

    def _more(self) -> bytes:
        """Some bytes; none at the end."""
        while not self._decoder.eof:
            read = self._file.read(CHUNK) if self._decoder.needs_input else b""
            if self._decoder.needs_input and not read:
                raise _Bad("is damaged: its end is missing")
            try:
                got = self._decoder.decompress(read, CHUNK)
            except lzma.LZMAError as error:
                raise _Bad(f"is damaged, or no archive of runs ({error})") from None
            if got:
                self._left -= len(got)
                if self._left < 0:
                    raise _Bad(f"is refused: it is too much when unpacked ({BEYOND})")
                return got
        return b""
