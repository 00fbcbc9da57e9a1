"""Translations of what the pack's areas in nodes say: nothing is missing, and every value is filled in."""

import importlib.util
import json
import re

import pytest
from said_templates import templates

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
    families = {"report.remedy.", "demo.", "before.not", "saved."}  # their names are put together
    assert {name for name in english if not name.startswith(tuple(families))} <= used
    asked = set(re.findall(r'\b(?:say|told|text)\("([\w.]+)"', code))
    assert asked <= set(english), asked - set(english)


VALUE = re.compile(
    r"\{[a-z_]+\}"
)  # what a sentence of the server fills in; {HRVLens} and the like are titles of nodes


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_of_the_server_is_translated(language):
    """With the same values, the same names of inputs, and the nodes of the pack by their titles in that language."""
    english = templates()
    titles = {node["display_name"]: name for name, node in of_nodes("en").items()}
    own = json.loads((ROOT / "js" / "languages" / "messages" / f"{language}.json").read_text("utf-8"))
    assert len(english) > 200
    missing = [f"{where}: {text}" for text, where in english.items() if not own.get(text, "").strip()]
    assert not missing, f"no translation in js/languages/messages/{language}.json for:\n" + "\n".join(missing)
    assert own.keys() == english.keys(), f"{own.keys() - english.keys()} is no longer said"
    for text, translated in own.items():
        assert set(VALUE.findall(translated)) == set(VALUE.findall(text)), text
        assert sorted(re.findall(r"`.*?`", translated)) == sorted(re.findall(r"`.*?`", text)), text
        meant = {name for title, name in titles.items() if re.search(rf"\b{title}\b", text)}
        assert meant <= set(re.findall(r"\{(HRV\w+)\}", translated)), text


def of_nodes(language: str) -> dict:
    """locales/<language>/nodeDefs.json, also for `pt` where the folder is called pt-BR."""
    (path,) = (ROOT / "locales").glob(f"{language}*/nodeDefs.json")
    return json.loads(path.read_text("utf-8"))


def slots(node: dict) -> dict[tuple[str, str], dict]:
    """The inputs and outputs of a node, by side and key."""
    return {(side, key): one for side in ("inputs", "outputs") for key, one in node[side].items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_name_and_no_tooltip_of_a_node_is_missing(language):
    english, own = of_nodes("en"), of_nodes(language)
    assert list(own) == list(english)
    assert len({node["display_name"] for node in own.values()}) == len(own)
    for name, node in english.items():
        assert slots(own[name]).keys() == slots(node).keys(), name
        for key, slot in slots(node).items():
            translated = slots(own[name])[key]
            assert translated.keys() == slot.keys() and all(text.strip() for text in translated.values()), (
                name,
                key,
            )


@pytest.mark.parametrize("language", LANGUAGES)
def test_few_texts_of_nodes_are_english(language):
    """A changed tooltip is English until somebody translates it anew."""
    english, own = of_nodes("en"), of_nodes(language)
    pairs = {(node["description"], own[name]["description"]) for name, node in english.items()}
    for name, node in english.items():
        for key, slot in slots(node).items():
            translated = slots(own[name])[key]
            called = "" if translated["name"] == slot["name"] else f" [{slot['name']}]"  # as messages call it
            assert translated["tooltip"].endswith(called), (name, key)
            pairs.add((slot["tooltip"], translated["tooltip"].removesuffix(called)))
    same = [text for text, translated in pairs if text == translated]
    assert len(pairs) > 200 and len(same) <= 0.05 * len(pairs), same


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_files_are_what_the_tool_makes_of_the_translations(language):
    spec = importlib.util.spec_from_file_location("make_locale", ROOT / "tools" / "make_locale.py")
    spec.loader.exec_module(tool := importlib.util.module_from_spec(spec))
    (path,) = tool.TRANSLATIONS.glob(f"{language}*.json")
    made = tool.Language(path.stem).definitions(of_nodes("en"))
    assert made == of_nodes(language), "run tools/make_locale.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_speaks_of_the_same_nodes_and_inputs(language):
    (path,) = (ROOT / "tools" / "translations").glob(f"{language}*.json")
    titles = {node["display_name"]: name for name, node in of_nodes("en").items()}
    for text, own in json.loads(path.read_text("utf-8"))["texts"].items():
        assert set(re.findall(r"`(\w+)`", own)) == set(re.findall(r"`(\w+)`", text)), text
        meant = {name for title, name in titles.items() if re.search(rf"\b{title}\b", text)}
        assert set(re.findall(r"\{(HRV\w+)\}", own)) == meant, text
