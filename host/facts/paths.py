"""Where the pack's files lie: what it ships, and the folder `hrv` among ComfyUI's models."""

from __future__ import annotations

from pathlib import Path

import folder_paths

KIND = "hrv"
DATA = Path(__file__).resolve().parents[2] / "hrv_data"
SHIPPED_VECTORS = DATA / "vectors"
SHIPPED_CONCEPTS = DATA / "concepts"


def register() -> None:
    """Tells ComfyUI of models/hrv, after any folder that the user gave in extra_model_paths.yaml, and limits it to
    .safetensors. Doing it again changes nothing."""
    folder_paths.add_model_folder_path(KIND, str(Path(folder_paths.models_dir) / KIND))
    folder_paths.add_model_folder_path(KIND, str(SHIPPED_VECTORS))
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


register()
