"""The catalogue of head relevance vectors that can be downloaded, and their `.npy` form.

The HRV authors publish `.npy` files under Apache-2.0. The pack holds no copy: hrv_data/catalogue.json says where
they are and what they must contain, to the last byte.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..heads.known_layouts import KNOWN, head_index_sha256
from ..relevance.vectors import HeadRelevance, check_concepts
from .vector_files import BadVectorFile

MAX_BYTES = 2**24


@dataclass(frozen=True)
class Entry:
    """Vectors that can be downloaded.

    label: what the artist picks. file: the name they get in models/hrv. size, sha256: of the published `.npy` at
    `address`. head_index_sha256: of the authors' list of heads, which tells the order of the columns.
    """

    label: str
    file: str
    layout: str
    model: str
    address: str
    size: int
    sha256: str
    head_index_sha256: str
    licence: str
    citation: str
    concepts: tuple[str, ...]

    @property
    def original(self) -> str:
        """The published file's own name."""
        return self.address.rsplit("/", 1)[1]

    @property
    def shape(self) -> tuple[int, int]:
        """(concepts, heads)."""
        return len(self.concepts), KNOWN[self.layout].heads

    def holds(self, data: bytes) -> bool:
        """Whether these are the published file's bytes."""
        return len(data) == self.size and hashlib.sha256(data).hexdigest() == self.sha256


def read_catalogue(path: Path) -> tuple[Entry, ...]:
    """The entries of a catalogue file, checked: a wrong one is a mistake in the pack and raises ValueError."""
    catalogue = json.loads(path.read_text(encoding="utf-8"))
    if (catalogue["format"], catalogue["format_version"]) != ("hrv-catalogue", 1):
        raise ValueError(f"{path.name} is not a catalogue of format version 1")
    check_concepts(catalogue["concepts"])
    entries = []
    for row in catalogue["vectors"]:
        row = {**row, "size": row["bytes"], "concepts": tuple(catalogue["concepts"])}
        del row["bytes"]
        entry = Entry(**row)
        if (
            not entry.address.startswith("https://")
            or not 0 < entry.size <= MAX_BYTES
            or entry.layout not in KNOWN
        ):
            raise ValueError(f"{path.name}: the entry {entry.label!r} is not valid")
        entries.append(entry)
    return tuple(entries)


def convert(data: bytes, entry: Entry) -> HeadRelevance:
    """The published `.npy` as vectors. Raises ValueError unless these are the very bytes of the catalogue, and
    the order of heads written out in this pack is the one that the authors published."""
    if not entry.holds(data):
        raise ValueError(
            f"it is not the published file: {len(data)} bytes with SHA-256 {hashlib.sha256(data).hexdigest()}, expected "
            f"{entry.size} bytes with {entry.sha256}"
        )
    if head_index_sha256(KNOWN[entry.layout]) != entry.head_index_sha256:
        raise ValueError(f"its heads are in another order than those of {entry.layout} here")
    return _vectors(_npy(data, entry.shape), entry, f"{entry.address} ({entry.licence}); {entry.citation}")


def convert_by_hand(path: Path, entries: tuple[Entry, ...]) -> HeadRelevance:
    """A `.npy` file that somebody put into the folder.

    A published file is known by its bytes. Any other is taken to be made by the authors' script for one of the
    catalogue's models: same shape, same concepts, same order. Raises BadVectorFile.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        data = path.read_bytes()
        for entry in entries:
            if entry.holds(data):
                return convert(data, entry)
        shapes = {entry.shape: entry for entry in entries}
        relevance = _npy(data, *shapes)
        source = f"{path.name}, assumed to have its concepts and heads in the order of the published vectors"
        return _vectors(relevance, shapes[relevance.shape], source)
    except OSError as error:
        raise BadVectorFile(path, f"cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise BadVectorFile(path, error) from None


def _vectors(relevance: np.ndarray, entry: Entry, source: str) -> HeadRelevance:
    metadata = {"model": entry.model, "source": source, "title": f"Head relevance, {entry.model}"}
    return HeadRelevance(entry.concepts, torch.from_numpy(relevance), KNOWN[entry.layout], None, metadata)


def _npy(data: bytes, *shapes: tuple[int, int]) -> np.ndarray:
    """A `.npy` file of format 1.0 as a new array; type and shape are checked before memory is taken, and nothing
    is ever unpickled."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"format {version}")
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # numpy's parser raises more kinds than it tells
        raise ValueError(f"it is not a .npy file ({str(error):.80})") from None
    if dtype != np.dtype("<f4") or by_column or shape not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise ValueError(f"it holds {dtype} {shape}; expected float32 {wanted}, (concepts, heads)")
    if len(data) - file.tell() != 4 * shape[0] * shape[1]:
        raise ValueError("it is cut off, or has more bytes than its shape needs")
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape).astype(np.float32)
