"""Translations of what the pack's areas in nodes say: nothing is missing, and every value is filled in."""

import json
import re

import pytest

from devtools.setup import ROOT

LINE = re.compile(r'^  "([\w.]+)": (".*"),$', re.MULTILINE)
LANGUAGES = ("zh", "ja", "ko", "fr", "de", "es", "ru", "pt")


def texts(path: str) -> dict[str, str]:
    return dict(LINE.findall((ROOT / "js" / path).read_text(encoding="utf-8")))


def test_every_language_is_offered():
    assert {file.stem for file in (ROOT / "js" / "languages").glob("*.js")} == set(LANGUAGES)
    offered = re.search(r"TRANSLATED = \[(.*)\]", (ROOT / "js" / "page" / "texts.js").read_text("utf-8"))
    assert re.findall(r'"(\w+)"', offered[1]) == list(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_missing(language):
    english, own = texts("page/texts.js"), texts(f"languages/{language}.js")
    assert len(english) > 50 and list(own) == list(english)
    for name, text in english.items():
        assert set(re.findall(r"\{\w+\}", own[name])) == set(re.findall(r"\{\w+\}", text)), name
    same = [name for name, text in english.items() if own[name] == text]
    assert len(same) <= 1, same


def test_every_text_is_used_and_every_used_text_is_there():
    code = "\n".join(
        file.read_text(encoding="utf-8")
        for file in (ROOT / "js").rglob("*.js")
        if "languages" not in file.parts and file.name != "texts.js"
    )
    english = texts("page/texts.js")
    used = set(re.findall(r'"([a-z]\w*(?:\.[a-z]\w*)+|previousImage|nextImage|openImage)"', code)) & set(
        english
    )
    families = {"report.remedy.", "demo."}  # their names are put together
    assert {name for name in english if not name.startswith(tuple(families))} <= used
    asked = set(re.findall(r'\b(?:say|told|text)\("([\w.]+)"', code))
    assert asked <= set(english), asked - set(english)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_has_a_title(language):
    """Titles only so far; the page falls back on English for the rest."""
    folder = ROOT / "locales"
    english = json.loads((folder / "en" / "nodeDefs.json").read_text("utf-8"))
    (own,) = folder.glob(f"{language}*/nodeDefs.json")
    titles = json.loads(own.read_text("utf-8"))
    assert set(titles) == set(english)
    assert all(one["display_name"].strip() and set(one) <= set(english[name]) for name, one in titles.items())
    assert len({one["display_name"] for one in titles.values()}) == len(titles)
