"""Files under new numbered names, as Save Image gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...hrv.files.file_names import fault_of
from ...hrv.files.writing import reason
from ..facts import paths

ENDING = ".safetensors"
ATTEMPTS = 100  # names that another program may take at the same moment


def save_numbered(
    what: str, folder: Path, prefix: str, write: Callable[[Path], object], size: tuple[int, int] = (0, 0)
) -> Path:
    """Has `write` write a file into a folder, under a name that no file has yet, and returns its path.

    what: “The attention”, as a sentence begins. prefix: may name a subfolder with "/", and hold marks such as %width% as in
    Save Image; size: (width, height) in pixels, for such marks. write(path) raises FileExistsError when the name is taken. Raises ValueError for a prefix that names no file inside the
    folder, and OSError in one line, which names the folder.
    """
    _check(folder, prefix)
    try:
        free = paths.free_name(prefix, folder, size)
        for number in range(free.number, free.number + ATTEMPTS):
            path = free.folder / f"{free.name}_{number:05}_{ENDING}"
            try:
                write(path)
                return path
            except FileExistsError:  # another ComfyUI with the same folder was faster
                continue
        raise FileExistsError(f"{ATTEMPTS} names up to {path.name} are all taken")
    except OSError as error:
        why = reason(error, folder / f"{prefix}_00001_{ENDING}")
        raise OSError(f"{what} could not be saved in {folder}: {why}. Nothing was changed.") from None


def _check(folder: Path, prefix: str) -> None:
    fault = fault_of(prefix)
    if fault is None and prefix.strip() and (folder / prefix).resolve().is_relative_to(folder.resolve()):
        return
    because = f" ({fault})" if fault else ""
    raise ValueError(f"filename_prefix is {prefix!r}; it must name a file inside {folder}{because}.")
