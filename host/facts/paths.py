"""ComfyUI's folders, and where the pack's own files lie: what it ships, and the folder `hrv` among ComfyUI's models."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import folder_paths

KIND = "hrv"
DATA = Path(__file__).resolve().parents[2] / "hrv_data"
SHIPPED_VECTORS = DATA / "vectors"
SHIPPED_CONCEPTS = DATA / "concepts"
LORAS = "loras"
DEMO_LORAS = DATA / "demo" / "loras"
OUTPUT = " [output]"
"""ComfyUI's mark for a file of the output folder; without one it is in the input folder."""
TEMP = "temp"
"""The page's name for the folder of previews."""


def register() -> None:
    """Tells ComfyUI of models/hrv, after any folder that the user gave in extra_model_paths.yaml, and limits it to
    .safetensors; and of the demo LoRA, behind the user's own. Doing it again changes nothing."""
    folder_paths.add_model_folder_path(KIND, str(Path(folder_paths.models_dir) / KIND))
    folder_paths.add_model_folder_path(KIND, str(SHIPPED_VECTORS))
    folder_paths.add_model_folder_path(LORAS, str(DEMO_LORAS))
    folders, extensions = folder_paths.folder_names_and_paths[KIND]
    folder_paths.folder_names_and_paths[KIND] = (folders, {*extensions, ".safetensors"})


def folders() -> list[Path]:
    """Folders that may hold vectors, the user's own first."""
    return [Path(folder) for folder in folder_paths.get_folder_paths(KIND)]


def own_folder() -> Path:
    """Where new files go: the user's own folder for `hrv` if one is configured, else models/hrv."""
    return next(folder for folder in folders() if folder != SHIPPED_VECTORS)


def concept_folders() -> list[Path]:
    """Folders of concept words, the user's own first."""
    return [*(folder / "concepts" for folder in folders() if folder != SHIPPED_VECTORS), SHIPPED_CONCEPTS]


def names() -> list[str]:
    """Files in any folder of `hrv`, each with its folders inside of it."""
    return folder_paths.get_filename_list(KIND)


def full_path(name: str) -> str | None:
    """Where one of the `names` lies."""
    return folder_paths.get_full_path(KIND, name)


def output() -> Path:
    return Path(folder_paths.get_output_directory())


def input() -> Path:
    return Path(folder_paths.get_input_directory())


def temp() -> Path:
    """For previews; emptied when ComfyUI starts."""
    return Path(folder_paths.get_temp_directory())


def embeddings() -> list[str]:
    """Folders of textual inversions."""
    return folder_paths.get_folder_paths("embeddings")


class FreeName(NamedTuple):
    """A numbered name that no file has yet: <folder>/<name>_<number>_…; subfolder: below the folder that was asked for."""

    folder: Path
    name: str
    number: int
    subfolder: str


def free_name(prefix: str, folder: Path, size: tuple[int, int]) -> FreeName:
    """As Save Image makes them. prefix: may name a subfolder with "/", and hold %width% and the like; size: (width, height)."""
    inside, name, number, subfolder, _ = folder_paths.get_save_image_path(prefix, str(folder), *size)
    return FreeName(Path(inside), name, number, subfolder)


register()
