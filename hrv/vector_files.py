"""Head relevance files (.safetensors): reading what cannot be trusted, and writing that leaves no half files.

Tensors: `relevance` float32 (concept, head) and optionally `votes` int64 of the same shape. Metadata, all
strings: format "hrv", format_version "1", concepts (JSON list), layout (JSON list of [part, block, transformer,
heads]), and optionally model, source, construction (JSON), modelspec.title.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from .layout import Layout
from .vectors import HeadRelevance, check_concepts

FORMAT, VERSION = "hrv", "1"
MAX_HEADER = 2**20
TITLE = "modelspec.title"
STORED_AS = {"model": "model", "source": "source", "construction": "construction", "title": TITLE}
DTYPES = {"F32": (np.dtype("<f4"), "float32"), "I64": (np.dtype("<i8"), "int64")}
TENSORS = {"relevance": "F32", "votes": "I64"}


class BadVectorFile(ValueError):
    """A file that holds no head relevance, or a damaged one. One line: the file's name and the fault."""

    def __init__(self, path: Path | str, fault: object):
        super().__init__(f"{Path(path).name}: {' '.join(str(fault).split())}")


@dataclass(frozen=True)
class Header:
    """The checked header of a file. places: where each tensor's bytes begin in the file, and how many."""

    concepts: tuple[str, ...]
    layout: Layout
    metadata: dict[str, str]
    places: dict[str, tuple[int, int]]

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


def write(path: Path | str, vectors: HeadRelevance) -> None:
    """Writes a file, or raises OSError and leaves what was there before as it was."""
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
    write_atomically(path, data)


def write_atomically(path: Path | str, data: bytes) -> None:
    """Replaces a file in one step: other programs see the old bytes or all of the new ones, never a part."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _read_header(file) -> Header:
    size = os.fstat(file.fileno()).st_size
    if size < 8:
        raise ValueError(f"it has {size} bytes, too few for a safetensors file")
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(MAX_HEADER, size - 8):
        raise ValueError(
            "its header is longer than the file or than any head relevance file's; it is damaged or foreign"
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
    if metadata.get("format") != FORMAT:
        raise ValueError("it is not a head relevance file (its metadata do not say format hrv)")
    if metadata.get("format_version") != VERSION:
        raise ValueError(
            f"it has format version {metadata.get('format_version', 'none')!s:.20}; this version of the nodes reads {VERSION}"
        )
    concepts = _concepts(metadata)
    layout = Layout.from_json(metadata.get("layout", ""))
    if "construction" in metadata:
        _json(metadata, "construction")
    kept = {key: metadata[stored] for key, stored in STORED_AS.items() if stored in metadata}
    places = _places(header, (len(concepts), layout.heads), 8 + length, size)
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


def _places(tensors: dict, shape: tuple[int, int], start: int, size: int) -> dict[str, tuple[int, int]]:
    """Checks names, types, shapes and offsets of all tensors; their bytes must fill the file exactly."""
    if "relevance" not in tensors:
        raise ValueError("it has no tensor named relevance")
    places, spans = {}, []
    for name, info in tensors.items():
        if name not in TENSORS:
            raise ValueError(f"it holds a tensor {name!r:.40} that does not belong there")
        if not isinstance(info, dict):
            raise ValueError(f"its tensor {name} is not described")
        kind, _ = DTYPES[TENSORS[name]]
        if (
            info.get("dtype") != TENSORS[name]
            or not _is_whole(info.get("shape"))
            or tuple(info["shape"]) != shape
        ):
            raise ValueError(
                f"its tensor {name} is {info.get('dtype')!s:.10} {info.get('shape')!s:.40}; its concepts and heads ask "
                f"for {TENSORS[name]} {list(shape)}"
            )
        need, offsets = shape[0] * shape[1] * kind.itemsize, info.get("data_offsets")
        if not _is_whole(offsets) or offsets[1] - offsets[0] != need:
            raise ValueError(f"its tensor {name} does not take {need} bytes")
        places[name] = (start + offsets[0], need)
        spans.append((offsets[0], offsets[1]))
    end = 0
    for begin, stop in sorted(spans):
        if begin != end:
            raise ValueError("its tensors overlap or leave gaps")
        end = stop
    if start + end != size:
        raise ValueError(f"it has {size} bytes; its header asks for {start + end} (cut off while copying?)")
    return places


def _read_tensor(file, header: Header, name: str) -> torch.Tensor:
    begin, length = header.places[name]
    kind, native = DTYPES[TENSORS[name]]
    data = np.empty(header.shape, dtype=kind)
    file.seek(begin)
    if file.readinto(memoryview(data).cast("B")) != length:
        raise ValueError(f"it ends inside {name}")
    return torch.from_numpy(data.astype(native, copy=False))


def _is_whole(pair) -> bool:
    """Whether this is a list of two whole numbers, neither of them negative."""
    return isinstance(pair, list) and len(pair) == 2 and all(type(n) is int and n >= 0 for n in pair)


def _no_repetition(pairs: list[tuple[str, object]]) -> dict:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name is there twice")
    return names


def _no_constant(name: str):
    raise ValueError(name)
