"""What the pack's .safetensors files share: checking a header that cannot be trusted before memory is taken for
what it promises. (hrv/files/writing.py puts them in their place.)

A file is eight bytes (length of the header, little endian), the header (JSON: name → dtype, shape, data_offsets; and
`__metadata__`, strings), and the bytes of the tensors, without gaps. Nothing in it is ever unpickled or executed.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TypeGuard

import numpy as np

ITEM_SIZE = {"F16": 2, "F32": 4, "I64": 8}


class BadFile(ValueError):
    """A file that is damaged or foreign. One line: the file's name and the fault."""

    def __init__(self, path: Path | str, fault: object):
        super().__init__(f"{Path(path).name}: {' '.join(str(fault).split())}")


@dataclass(frozen=True)
class RawHeader:
    """A header that is JSON of the right form. tensors: name → what the file says of it, not checked yet;
    metadata: strings; start: where the tensors' bytes begin; size: bytes of the whole file."""

    tensors: dict[str, object]
    metadata: dict[str, str]
    start: int
    size: int


def read_header(file: BufferedReader, limit: int, kind: str) -> RawHeader:
    """The header of an open file, of at most `limit` bytes. kind: what the file should be, such as "head relevance
    file". Raises ValueError."""
    size = os.fstat(file.fileno()).st_size
    if size < 8:
        raise ValueError(f"it has {size} bytes, too few for a safetensors file")
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(limit, size - 8):
        raise ValueError(
            f"its header is longer than the file or than any {kind}'s; it is damaged or from another program"
        )
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_no_repetition)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"its header is not valid ({str(error):.80})") from None
    if not isinstance(header, dict):
        raise ValueError("its header is not a list of tensors")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata are not strings")
    for text in metadata.values():
        text.encode()  # raises ValueError for half characters, which no later step could print or write
    return RawHeader(header, metadata, 8 + length, size)


def check_format(metadata: dict[str, str], name: str, versions: Sequence[str], kind: str) -> None:
    """Raises ValueError unless the metadata say that the file is of this format and one of these versions."""
    if metadata.get("format") != name:
        raise ValueError(f"it is not {kind} (its metadata do not say format {name})")
    if metadata.get("format_version") not in versions:
        found, read = metadata.get("format_version", "none"), " and ".join(versions)
        raise ValueError(f"it has format version {found!s:.20}; this version of the nodes reads {read}")


def place(header: RawHeader, name: str, dtype: str, shape: tuple[int, ...], because: str) -> tuple[int, int]:
    """(first, last + 1) byte of a tensor in the file, if the header says dtype and shape as expected.

    because: what dtype and shape follow from, for the message. Raises ValueError.
    """
    info = header.tensors[name]
    if not isinstance(info, dict):
        raise ValueError(f"its tensor {name} is not described")
    said = info.get("shape")
    if info.get("dtype") != dtype or not is_whole(said) or tuple(said) != shape:
        found = f"{info.get('dtype')!s:.10} {said!s:.40}"
        raise ValueError(f"its tensor {name} is {found}; {because} ask for {dtype} {list(shape)}")
    need, offsets = math.prod(shape) * ITEM_SIZE[dtype], info.get("data_offsets")
    if not is_whole(offsets, 2) or offsets[1] - offsets[0] != need:
        raise ValueError(f"its tensor {name} does not take {need} bytes")
    return header.start + offsets[0], header.start + offsets[1]


def check_filled(header: RawHeader, places: Iterable[tuple[int, int]]) -> None:
    """Raises ValueError unless the tensors lie one behind the other from the header to the end of the file."""
    end = header.start
    for begin, stop in sorted(places):
        if begin != end:
            raise ValueError("its tensors overlap or leave gaps")
        end = stop
    if end != header.size:
        raise ValueError(f"it has {header.size} bytes; its header asks for {end} (cut off while copying?)")


def read_into(file: BufferedReader, begin: int, data: np.ndarray, name: str) -> None:
    """Fills a contiguous array with the file's bytes from `begin` on. Raises ValueError when they end."""
    file.seek(begin)
    if file.readinto(data.data.cast("B")) != data.nbytes:
        raise ValueError(f"it ends inside {name}")


def header_bytes(tensors: dict[str, tuple[str, tuple[int, ...]]], metadata: dict[str, str]) -> bytes:
    """The beginning of a file, up to the tensors' bytes. tensors: name → dtype and shape, in file order."""
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + math.prod(shape) * ITEM_SIZE[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors lie where a processor reads them fastest
    return len(text).to_bytes(8, "little") + text


def is_whole(numbers: object, count: int | None = None) -> TypeGuard[list[int]]:
    """Whether this is a list of whole numbers (`count` of them, if given), none of them negative."""
    return (
        isinstance(numbers, list)
        and (count is None or len(numbers) == count)
        and all(type(n) is int and n >= 0 for n in numbers)
    )


def _no_repetition(pairs: list[tuple[str, object]]) -> dict:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name is there twice")
    return names
