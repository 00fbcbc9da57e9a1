"""Where concept words are found."""

import json
from pathlib import Path

import pytest


def test_the_users_folder_adds_to_the_pack_and_hides_same_names(comfy):
    from hrv_pack.host.store import concept_store

    folder = Path(comfy.folder_paths.models_dir) / "hrv" / "concepts"
    assert concept_store.choices() == ["demo", "general"]
    folder.mkdir(parents=True)
    words = {"format": "hrv-concepts", "format_version": 1, "concepts": {"A": ["x"], "B": ["y"]}}
    try:
        for name in ("demo", "mine"):
            (folder / f"{name}.json").write_text(json.dumps(words))
        assert concept_store.choices() == ["demo", "general", "mine"]
        assert concept_store.load("demo").concepts == ("A", "B")
        assert len(concept_store.load("general").concepts) == 34
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    with pytest.raises(ValueError, match="mine.json is not in .*concepts. Choose other concepts"):
        concept_store.load("mine")


def test_prompts_that_were_written_with_notepad(comfy, tmp_path, monkeypatch):
    from hrv_pack.host.facts import paths
    from hrv_pack.host.store import concept_store
    from hrv_pack.hrv.relevance.building import parse_prompts

    monkeypatch.setattr(paths, "concept_folders", lambda: [tmp_path / "concepts"])
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "mine.txt").write_bytes(b"\xef\xbb\xbfa cat\r\n# no\r\na dog\r\n")
    assert parse_prompts(concept_store.prompts_for("mine")) == ["a cat", "a dog"]
