"""The head relevance vectors that an artist can choose from: files, and what can be downloaded."""

from __future__ import annotations

import functools
import threading
from pathlib import Path

from ...hrv.files import vector_files
from ...hrv.files.catalogue import Entry, convert, convert_by_hand, read_catalogue
from ...hrv.files.writing import reason
from ...hrv.relevance.vectors import HeadRelevance
from ..facts import paths
from ..page.progress import Progress
from . import saving
from .downloads import DownloadFailed, fetch
from .file_listing import stamp_of

_one_at_a_time = threading.Lock()  # a second request for the same file waits, and then finds it


@functools.cache
def catalogue() -> dict[str, Entry]:
    """What can be downloaded, by label."""
    return {entry.label: entry for entry in read_catalogue(paths.DATA / "catalogue.json")}


def choices() -> list[str]:
    """Labels of the catalogue, then files: .safetensors in any folder of `hrv`, and .npy files put there by hand."""
    by_hand = {file.name for folder in paths.folders() for file in folder.glob("*.npy")}
    by_hand = sorted(name for name in by_hand if not name.startswith("head_index_"))
    return [*catalogue(), *paths.names(), *by_hand]


def concepts() -> list[str]:
    """Concepts of all vectors that could be loaded: first those of the catalogue, then those of files."""
    names = dict.fromkeys(concept for entry in catalogue().values() for concept in entry.concepts)
    for name in paths.names():
        path = paths.full_path(name)
        if path is None:
            continue
        try:
            names.update(dict.fromkeys(_concepts_of(path, stamp(name))))
        except vector_files.BadVectorFile:  # which loading it will say
            continue
    return list(names)


@functools.lru_cache(maxsize=1024)
def _concepts_of(path: str, stamp: str) -> tuple[str, ...]:
    """Concepts in a file's header. Raises BadVectorFile, which is not remembered: on Windows a file may be busy for a moment."""
    return vector_files.read_header(path).concepts


def load(name: str, progress: Progress) -> HeadRelevance:
    """The vectors of one of the `choices`; a catalogue label downloads its file if it is not there yet.

    Raises ValueError or OSError in one line that names the file, or the address and the path to save it at.
    """
    entry = catalogue().get(name)
    if entry is not None:
        with _one_at_a_time:
            return _published(entry, progress)
    path = find(name)
    if path is None:
        raise ValueError(
            f"{name} is not in {paths.own_folder()}. Choose other vectors, or put the file there."
        )
    if path.suffix == ".npy":
        return convert_by_hand(path, tuple(catalogue().values()))
    return vector_files.read(path)


def find(name: str) -> Path | None:
    """Where the file of a choice is; None when it is not there (yet)."""
    entry = catalogue().get(name)
    name = entry.file if entry else name
    found = paths.full_path(name)
    if found is None and entry:
        found = paths.full_path(entry.original)
    return Path(found) if found else None


def stamp(name: str | None) -> str:
    """Changes when the file of a choice is replaced by another. Downloading does not change it: what comes is known. None: a
    choice that another node makes, which is not known yet; then it changes with any of the files."""
    if name is None:
        return " ".join(stamp(choice) for choice in choices())
    entry = catalogue().get(name)
    if entry is not None:
        return entry.sha256
    return stamp_of(find(name))


def save(vectors: HeadRelevance, prefix: str) -> Path:
    """Writes vectors into the user's folder under a new numbered name, and returns the file's path.

    prefix: may name a subfolder with "/". Raises ValueError when it names no file in the folder, and OSError in one line.
    """
    return saving.save_numbered(
        "The vectors", paths.own_folder(), prefix, lambda path: vector_files.write(path, vectors, new=True)
    )


def _published(entry: Entry, progress: Progress) -> HeadRelevance:
    target = paths.own_folder() / entry.file
    by_hand = paths.own_folder() / entry.original
    there = find(entry.label)
    if there is not None and there.suffix == ".safetensors":
        return vector_files.read(there)
    if there is not None:
        by_hand = there
        try:
            vectors = convert(there.read_bytes(), entry)
        except ValueError as error:
            raise vector_files.BadVectorFile(
                there, f"{error}. Delete it, or download it from {entry.address}"
            ) from None
    else:
        try:
            vectors = convert(fetch(entry.address, entry.size, entry.sha256, progress), entry)
        except DownloadFailed as error:
            raise ValueError(
                f"The vectors could not be downloaded: {error}. You can download them yourself: save "
                f"{entry.address} as {by_hand} and run again."
            ) from None
    replace(target, vectors)
    return vectors


def replace(path: Path, vectors: HeadRelevance) -> None:
    """Writes a file in one step. Raises OSError in one line, and leaves what was there as it was."""
    try:
        vector_files.write(path, vectors)
    except OSError as error:
        why = reason(error, path)
        raise OSError(f"{path} could not be written: {why}. Nothing was changed.") from None
