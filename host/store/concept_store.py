"""The files of concept words that an artist can choose from."""

from __future__ import annotations

from pathlib import Path

from ...hrv.relevance import concepts
from ...hrv.relevance.concepts import ConceptWords
from ..facts import paths


def choices() -> list[str]:
    """Names of the .json files in the user's models/hrv/concepts and in the pack, without their ending.

    A file of the user hides one of the same name in the pack.
    """
    return sorted(_files())


def load(name: str) -> ConceptWords:
    """The words of one of the `choices`. Raises ValueError in one line that names the file."""
    path = _files().get(name)
    if path is None:
        raise ValueError(
            f"{name}.json is not in {paths.concept_folders()[0]}. Choose other concepts, or put the file there."
        )
    return concepts.read(path)


def _files() -> dict[str, Path]:
    return {file.stem: file for folder in reversed(paths.concept_folders()) for file in folder.glob("*.json")}


def prompts_for(name: str) -> str:
    """The text of the prompts that go with a set of concepts: a file of that name in the folders `prompts` beside
    `concepts`, else the pack's general list."""
    folders = [folder.parent / "prompts" for folder in paths.concept_folders()]
    files = [*(folder / f"{name}.txt" for folder in folders), paths.DATA / "prompts" / "general.txt"]
    path = next(file for file in files if file.is_file())
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors on Windows put a mark before the text
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from None
