"""Head relevance files (.safetensors): reading what cannot be trusted, and writing that leaves no half files.

Tensors: `relevance` float32 (concept, head) and optionally `votes` int64 of the same shape. Metadata, all
strings: format "hrv", format_version "1", concepts (JSON list), layout (JSON list of [part, block, transformer,
heads]), and optionally model, source, construction (JSON), modelspec.title.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from ..heads.layout import Layout
from ..relevance.vectors import HeadRelevance, check_concepts
from . import tensor_files, writing

FORMAT, VERSION, KIND = "hrv", "1", "head relevance file"
MAX_HEADER = 2**20
TITLE = "modelspec.title"
STORED_AS = {"model": "model", "source": "source", "construction": "construction", "title": TITLE}
DTYPES = {"F32": (np.dtype("<f4"), "float32"), "I64": (np.dtype("<i8"), "int64")}
TENSORS = {"relevance": "F32", "votes": "I64"}


class BadVectorFile(tensor_files.BadFile):
    """A file that holds no head relevance, or a damaged one. One line: the file's name and the fault."""


@dataclass(frozen=True)
class Header:
    """The checked header of a file. places: where each tensor's bytes begin in the file."""

    concepts: tuple[str, ...]
    layout: Layout
    metadata: dict[str, str]
    places: dict[str, int]

    @property
    def shape(self) -> tuple[int, int]:
        """(concepts, heads)."""
        return len(self.concepts), self.layout.heads


def read(path: Path | str) -> HeadRelevance:
    """The vectors in a file. Raises BadVectorFile, before memory is taken for tensors whose header is wrong."""
    try:
        with open(path, "rb") as file:
            header = _read_header(file)
            tensors = {name: _read_tensor(file, header, name) for name in header.places}
        return HeadRelevance(
            header.concepts, tensors["relevance"], header.layout, tensors.get("votes"), header.metadata
        )
    except OSError as error:
        raise BadVectorFile(path, f"cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise BadVectorFile(path, error) from None


def read_header(path: Path | str) -> Header:
    """Only the header: concepts, layout and metadata, without any tensor. Raises BadVectorFile."""
    try:
        with open(path, "rb") as file:
            return _read_header(file)
    except OSError as error:
        raise BadVectorFile(path, f"cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise BadVectorFile(path, error) from None


def write(path: Path | str, vectors: HeadRelevance, new: bool = False) -> None:
    """Writes a file, or raises OSError and leaves what was there before as it was. new: FileExistsError where one is there."""
    metadata = {
        "format": FORMAT,
        "format_version": VERSION,
        "concepts": json.dumps(vectors.concepts),
        "layout": vectors.layout.to_json(),
        **{STORED_AS[key]: text for key, text in vectors.metadata.items()},
    }
    tensors = {"relevance": vectors.relevance.contiguous()}
    if vectors.votes is not None:
        tensors["votes"] = vectors.votes.contiguous()
    data = save(tensors, metadata)
    if int.from_bytes(data[:8], "little") > MAX_HEADER:
        raise BadVectorFile(path, f"its names and construction take more than {MAX_HEADER} bytes")
    writing.write(path, [data], new)


def _read_header(file) -> Header:
    raw = tensor_files.read_header(file, MAX_HEADER, KIND)
    metadata = raw.metadata
    tensor_files.check_format(metadata, FORMAT, [VERSION], f"a {KIND}")
    concepts = _concepts(metadata)
    layout = Layout.from_json(metadata.get("layout", ""))
    if "construction" in metadata:
        _json(metadata, "construction")
    kept = {key: metadata[stored] for key, stored in STORED_AS.items() if stored in metadata}
    places = _places(raw, (len(concepts), layout.heads))
    return Header(concepts, layout, kept, places)


def _concepts(metadata: dict[str, str]) -> tuple[str, ...]:
    names = _json(metadata, "concepts")
    if not isinstance(names, list):
        raise ValueError("its concepts are not a list")
    check_concepts(names)
    return tuple(names)


def _json(metadata: dict[str, str], key: str):
    try:
        return json.loads(metadata.get(key, ""), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ValueError(
            f"its {key} are not JSON" if key == "concepts" else f"its {key} is not JSON"
        ) from None


def _places(raw: tensor_files.RawHeader, shape: tuple[int, int]) -> dict[str, int]:
    """Checks names, types, shapes and offsets of all tensors; their bytes must fill the file exactly."""
    if "relevance" not in raw.tensors:
        raise ValueError("it has no tensor named relevance")
    places = {}
    for name in raw.tensors:
        if name not in TENSORS:
            raise ValueError(f"it holds a tensor {name!r:.40} that does not belong there")
        places[name] = tensor_files.place(raw, name, TENSORS[name], shape, "its concepts and heads")
    tensor_files.check_filled(raw, places.values())
    return {name: begin for name, (begin, _) in places.items()}


def _read_tensor(file, header: Header, name: str) -> torch.Tensor:
    kind, native = DTYPES[TENSORS[name]]
    data = np.empty(header.shape, dtype=kind)
    tensor_files.read_into(file, header.places[name], data, name)
    return torch.from_numpy(data.astype(native, copy=False))


def _no_constant(name: str):
    raise ValueError(name)
