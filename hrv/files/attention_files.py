"""Attention files (.safetensors): a recording and the latent that it belongs to, to be read again another day.

docs/file_formats.md says what is in a file. Reading checks everything that the header promises before memory is taken.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..heads.layout import Layout
from ..recording.recording import Entry, Match, Recording, Run
from ..runs.latents import Traces, fingerprints, size_of, thumbnails
from ..wording import said
from . import tensor_files, writing
from .attention_metadata import FORMAT, KIND, layer_name, metadata_of, runs_of

LATENT = "latent"
MAX_HEADER = 2**24
MAX_BYTES = 2**36  # as much as Record Attention's memory_limit_mb allows
MAX_SIDE = 4096
HALF = np.dtype("<f2")
NAME = re.compile(
    r"prompt(\d{1,4})\.picture(\d{1,4})\.time(\d{1,4})\.([a-z]{1,10})\.(\d{1,6})\.(\d{1,6})(\.mass)?",
    re.ASCII,
)
MASS = ".mass"


class BadAttentionFile(tensor_files.BadFile):
    """A file that holds no recording, or a damaged one. One line: the file's name and the fault."""


def write(path: Path | str, recording: Recording, latent: torch.Tensor, new: bool = False) -> list[Match]:
    """Writes the runs that a latent belongs to, and the latent, into one file in one step.

    latent: (batch, channel, height, width), what the sampler gave. Returns where its images were found; read from the file, the
    same latent finds the same. Raises NoRecording, ValueError for what does not fit a file, and OSError, which leaves what was
    there before as it was; new: FileExistsError where a file is there.
    """
    if not _is_shape_of_latent(latent.shape):
        raise ValueError(
            f"The latent must be (batch, channel, height, width) with sides of 1 to {MAX_SIDE}, or have frames "
            f"before its height; this one is {tuple(latent.shape)}."
        )
    matches = recording.match(latent)
    names = fingerprints(latent)
    runs = [_part(run, matches, names) for run in recording.runs if any(m.run is run for m in matches)]
    metadata = _checked_metadata(runs)
    latent = latent.detach().to("cpu", torch.float32).contiguous()
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {LATENT: ("F32", tuple(latent.shape))}
    maps: list[torch.Tensor] = []
    for name, part in _named_maps(runs):
        _check_values(part.numpy(), name)
        tensors[name] = ("F16", tuple(part.shape))
        maps.append(part)
    header = tensor_files.header_bytes(tensors, metadata)
    if len(header) - 8 > MAX_HEADER:
        raise ValueError(
            f"This recording has {len(maps)} maps, more than one file can hold. Save fewer images at a "
            "time, or record with fewer time_bins."
        )
    arrays = itertools.chain([latent.numpy()], (part.numpy() for part in maps))
    writing.write(path, itertools.chain([header], map(_little_endian, arrays)), new)
    return matches


def read(path: Path | str) -> tuple[Recording, torch.Tensor]:
    """The recording and the latent, float32 (batch, channel, height, width), in a file. Raises BadAttentionFile,
    before memory is taken for tensors whose header is wrong."""
    try:
        with open(path, "rb") as file:
            header = _read_header(file)
            latent = _read_latent(file, header)
            return _read_runs(file, header, latent), latent
    except MemoryError:
        raise BadAttentionFile(path, "does not fit into memory") from None
    except OSError as error:
        raise BadAttentionFile(path, f"cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise BadAttentionFile(path, error) from None


def _is_shape_of_latent(shape) -> bool:
    return len(shape) in (4, 5) and all(0 < side <= MAX_SIDE for side in shape)


def is_attention_file(path: Path | str) -> bool:
    """Whether a file says that it is one, told from its header alone. Raises OSError when it cannot be read."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return length <= MAX_HEADER and FORMAT.encode() in file.read(length)


# -- writing ------------------------------------------------------------------------------------------------


def _part(run: Run, matches: list[Match], names: list[str]) -> Run:
    """A run with only the images that were matched, known by the latents that were asked for too. names: of these latents."""
    rows = sorted({match.element for match in matches if match.run is run})
    places = {row: place for place, row in enumerate(rows)}
    asked = {name: places[m.element] for name, m in zip(names, matches, strict=True) if m.run is run}
    notes = [match.note for match in matches if match.run is run and match.note]
    entries = []
    for entry in run.entries:
        kept = [row for row in rows if row < entry.batch]
        if kept != list(range(entry.batch)):
            maps = {block: sums[kept] for block, sums in entry.maps.items()}
            entry = dataclasses.replace(entry, batch=len(kept), maps=maps)
        entries.append(entry)
    own = [run.fingerprints[row] for row in rows] if run.fingerprints else []
    others = {name: place for name, place in asked.items() if name not in own}
    return Run(run.layout, entries, Traces(own, others), list(dict.fromkeys([*notes, *run.warnings])))


def _checked_metadata(runs: list[Run]) -> dict[str, str]:
    """Metadata that can be read again. Raises ValueError for a recording beyond what a file may hold."""
    metadata = metadata_of(runs)
    try:
        runs_of(metadata)
    except ValueError as error:
        raise ValueError(f"This recording cannot be saved: {error}.") from None
    return metadata


def _named_maps(runs: list[Run]) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and half precision map of each tensor, in file order: (head, token, height, width), and the text mass beside it, where there
    is one, (head, height, width)."""
    entries = [(run, entry) for run in runs for entry in run.entries]
    for number, (run, entry) in enumerate(entries):
        for block in sorted(entry.maps):
            sums = entry.maps[block].to("cpu", torch.float16).contiguous()
            for picture, bins in enumerate(sums):
                for time_bin, part in enumerate(bins):
                    name = _name(number, picture, time_bin, run.layout.blocks[block].key)
                    yield name, part[:, : len(entry.columns)].contiguous()
                    if entry.has_mass:
                        yield name + MASS, part[:, len(entry.columns)].contiguous()


def _name(conditioning: int, picture: int, time_bin: int, key: tuple[str, int, int]) -> str:
    return f"prompt{conditioning}.picture{picture}.time{time_bin}.{layer_name(key)}"


def _little_endian(array: np.ndarray) -> memoryview:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).data.cast("B")


# -- reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Maps:
    """The maps of one layer for one conditioning: height and width, and the first byte of each (image, bin), and of its text mass."""

    grid: tuple[int, int]
    begins: dict[tuple[int, int], int]
    masses: dict[tuple[int, int], int]


@dataclass(frozen=True)
class _Header:
    """What a checked header promises. maps: by (conditioning, block number); latent: its shape and its first byte."""

    runs: list[Run]
    entries: list[Entry]
    maps: dict[tuple[int, int], _Maps]
    latent: tuple[tuple[int, ...], int]


def _read_header(file) -> _Header:
    raw = tensor_files.read_header(file, MAX_HEADER, KIND)
    runs, entries = runs_of(raw.metadata)
    if raw.size > MAX_BYTES:
        raise ValueError(f"it has {raw.size} bytes; at most {MAX_BYTES} are read")
    shape, span = _latent_place(raw)
    maps, spans = _map_places(raw, runs[0].layout, entries)
    tensor_files.check_filled(raw, [span, *spans])
    return _Header(runs, entries, maps, (shape, span[0]))


def _latent_place(raw: tensor_files.RawHeader) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Shape of the latent, and its (first, last + 1) byte."""
    info = raw.tensors.get(LATENT)
    shape = info.get("shape") if isinstance(info, dict) else None
    if not tensor_files.is_whole(shape) or not _is_shape_of_latent(shape):
        raise ValueError(f"it has no latent (batch, channel, height, width) with sides of 1 to {MAX_SIDE}")
    return tuple(shape), tensor_files.place(raw, LATENT, "F32", tuple(shape), "latents")


def _map_places(
    raw: tensor_files.RawHeader, layout: Layout, entries: list[Entry]
) -> tuple[dict[tuple[int, int], _Maps], list[tuple[int, int]]]:
    """Where all maps are, by (conditioning, block number), and the (first, last + 1) byte of each tensor."""
    numbers = {block.key: number for number, block in enumerate(layout.blocks)}
    maps: dict[tuple[int, int], _Maps] = {}
    spans = []
    for name in raw.tensors:
        if name == LATENT:
            continue
        conditioning, picture, time_bin, block = _parts_of_name(name.removesuffix(MASS), numbers)
        entry = entries[conditioning] if 0 <= conditioning < len(entries) else None
        if entry is None or picture >= entry.batch or time_bin >= len(entry.counts):
            raise ValueError(f"it holds a tensor {name!r:.60} that does not belong there")
        is_mass, heads = name.endswith(MASS), layout.blocks[block].heads
        layer = maps.setdefault((conditioning, block), _Maps(_grid(raw, name), {}, {}))
        shape = (heads, *layer.grid) if is_mass else (heads, len(entry.columns), *layer.grid)
        spans.append(tensor_files.place(raw, name, "F16", shape, "its head layout, columns and other maps"))
        (layer.masses if is_mass else layer.begins)[picture, time_bin] = spans[-1][0]
        entry.own_columns |= is_mass
    for (conditioning, block), layer in maps.items():
        entry = entries[conditioning]
        expected = entry.batch * len(entry.counts)
        if len(layer.begins) != expected or len(layer.masses) != expected * entry.own_columns:
            raise ValueError(f"maps of its layer {layout.blocks[block]} are missing")
    return maps, spans


def _parts_of_name(name: str, numbers: dict[tuple[str, int, int], int]) -> tuple[int, int, int, int]:
    """(conditioning, image, bin, block number) of a tensor's name; -1 for the conditioning of a name that
    `_name` does not give."""
    found = NAME.fullmatch(name)
    if found is not None:
        conditioning, picture, time_bin = (int(number) for number in found.group(1, 2, 3))
        key = (found[4], int(found[5]), int(found[6]))
        if key in numbers and name == _name(conditioning, picture, time_bin, key):
            return conditioning, picture, time_bin, numbers[key]
    return -1, 0, 0, 0


def _grid(raw: tensor_files.RawHeader, name: str) -> tuple[int, int]:
    """Height and width that a tensor (head, token, height, width) says it has."""
    info = raw.tensors[name]
    shape = info.get("shape") if isinstance(info, dict) else None
    axes = "(head, height, width)" if name.endswith(MASS) else "(head, token, height, width)"
    if not tensor_files.is_whole(shape, axes.count(",") + 1) or not all(
        0 < side <= MAX_SIDE for side in shape[-2:]
    ):
        raise ValueError(f"its tensor {name} is not {axes}, with sides up to {MAX_SIDE}")
    return shape[-2], shape[-1]


def _read_runs(file, header: _Header, latent: torch.Tensor) -> Recording:
    layout = header.runs[0].layout
    for (conditioning, block), layer in header.maps.items():
        entry = header.entries[conditioning]
        heads, columns = layout.blocks[block].heads, len(entry.columns)
        shape = (entry.batch, len(entry.counts), heads, columns + entry.own_columns, *layer.grid)
        sums = np.empty(shape, dtype=HALF)
        for place, begin in layer.begins.items():
            sums[place][:, :columns] = _read_maps(file, begin, (heads, columns, *layer.grid))
        for place, begin in layer.masses.items():
            sums[place][:, columns] = _read_maps(file, begin, (heads, *layer.grid))
        _check_values(sums, str(layout.blocks[block]))
        entry.maps[block] = torch.from_numpy(sums.astype(np.float16, copy=False))
    recording = Recording(layout, sum(run.nbytes for run in header.runs))
    recording.connect = said("Connect the latent that comes out of Load Attention.")
    for run in header.runs:
        run.traces = _seen(run.traces, latent)
        recording.add(run)
    return recording


def _read_maps(file, begin: int, shape: tuple[int, ...]) -> np.ndarray:
    maps = np.empty(shape, dtype=HALF)
    tensor_files.read_into(file, begin, maps, "its maps")
    return maps


def _seen(traces: Traces, latent: torch.Tensor) -> Traces:
    """With the looks of the latent in the file, so that it is known when a node has changed it."""
    rows = {name: row for row, name in enumerate(fingerprints(latent))}
    places = [rows.get(name) for name in traces.names]
    if None in places:  # the file has a changed latent, or that of denoised_output
        return dataclasses.replace(traces, size=size_of(latent))
    return dataclasses.replace(traces, thumbnails=thumbnails(latent[places]), size=size_of(latent))


def _read_latent(file, header: _Header) -> torch.Tensor:
    shape, begin = header.latent
    data = np.empty(shape, dtype="<f4")
    tensor_files.read_into(file, begin, data, LATENT)
    return torch.from_numpy(data.astype(np.float32, copy=False))


def _check_values(maps: np.ndarray, name: str) -> None:
    """Raises ValueError unless all values are finite and not negative. In half precision these are the bit patterns
    below that of infinity, which are much quicker to look at than the values."""
    if maps.size and int(maps.view(np.uint16).max()) >= 0x7C00:
        raise ValueError(
            f"the maps of {name} hold values that are not shares of attention (not numbers, or negative)"
        )
