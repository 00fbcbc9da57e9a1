"""Recordings kept as files: saved into ComfyUI's output folder, found again there and in its input folder."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import torch

from ...hrv.files import attention_files
from ...hrv.maps.pairing import warnings_of
from ...hrv.recording.recording import Recording
from ...hrv.runs.latents import image_size_of
from ..facts import paths
from ..facts.paths import OUTPUT
from . import saving
from .file_listing import Found, Listing, stamp_of

SUFFIX = ".safetensors"
_listing = Listing(SUFFIX)


def choices() -> list[str]:
    """Attention files in the output folder, newest first, then those in the input folder; subfolders too."""
    found = []
    for folder, mark in ((paths.output(), OUTPUT), (paths.input(), "")):
        files = [(file.time, file.name) for file in _listing.files(folder) if _is_ours(file)]
        found.extend(name + mark for _, name in sorted(files, reverse=True))
    return found


def find(name: str) -> Path | None:
    """The file of a choice; None when it is not there, or the name leads out of its folder."""
    folder, name = (
        (paths.output(), name.removesuffix(OUTPUT)) if name.endswith(OUTPUT) else (paths.input(), name)
    )
    path = Path(os.path.abspath(folder / name))
    try:
        inside = path.is_relative_to(os.path.abspath(folder)) and path.suffix == SUFFIX
        return path if inside and path.is_file() else None
    except (OSError, ValueError):  # e.g. a name that is too long, or with a zero character
        return None


def missing(name: str) -> str:
    """What to say when `find` finds nothing."""
    return (
        f"{name!r:.200} is not in ComfyUI's output or input folder. Choose another recording, or save one with Save "
        "Attention."
    )


def stamp(name: str | None) -> str:
    """Changes when the file of a choice is replaced by another. None: a choice that another node makes, which is not known
    yet; then it changes with any of the files."""
    if name is None:
        return str(
            hash(tuple(file for folder in (paths.output(), paths.input()) for file in _listing.files(folder)))
        )
    return stamp_of(find(name))


def load(name: str) -> tuple[Recording, torch.Tensor]:
    """The recording and the latent of one of the `choices`. Raises ValueError in one line that names the file."""
    path = find(name)
    if path is None:
        raise ValueError(missing(name))
    return attention_files.read(path)


def save(recording: Recording, latent: torch.Tensor, prefix: str) -> tuple[Path, list[str]]:
    """Writes the runs of a latent into the output folder under a new numbered name.

    prefix: may name a subfolder with "/", and hold %date% marks as in Save Image. Returns the file's path and
    what the artist must know of the recording. Raises ValueError, NoRecording and OSError in one line.
    """
    matches = []

    def write(path: Path) -> None:
        matches[:] = attention_files.write(path, recording, latent, new=True)

    height, width = image_size_of(latent)
    path = saving.save_numbered("The attention", paths.output(), prefix, write, (width, height))
    return path, warnings_of(matches)


def _is_ours(file: Found) -> bool:
    try:
        return _says_so(file.path, file.time, file.size)
    except OSError:  # at this moment; not to be remembered
        return False


@functools.lru_cache(maxsize=4096)
def _says_so(path: str, time: int, size: int) -> bool:
    """Whether a file is an attention file; asked once for each state of a file, since lists are made often."""
    return attention_files.is_attention_file(path)
