"""Writes locales/*/nodeDefs.json: in English what the nodes say of themselves, in other languages what tools/translations has for it.

    .host/venv/bin/python tools/make_locale.py        # needs a host: `python3 dev.py test` makes one

tools/translations/<language>.json has `titles` by node id, `names` of inputs and outputs (`output grid` where an output's name means
something else than the input's), and `texts`: descriptions and tooltips by the English ones. In a text, {HRVLens} stands for that node's
title, and a `name` in backquotes for the name of an input. A text that is not there stays English: this script prints how many.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCALES, TRANSLATIONS = ROOT / "locales", ROOT / "tools" / "translations"
QUOTES = {
    "zh": "“{}”", "ja": "「{}」", "ko": "‘{}’", "fr": "« {} »", "de": "„{}“", "es": "«{}»", "ru": "«{}»", "pt-BR": "“{}”",
}  # fmt: skip


def node_definitions(object_info: dict) -> dict:
    """The texts of the pack's nodes, by node id, from a server's /object_info."""
    return {name: _texts(info) for name, info in sorted(object_info.items()) if name.startswith("HRV")}


def _texts(info: dict) -> dict:
    inputs = {}
    for group in ("required", "optional"):
        for name, spec in info["input"].get(group, {}).items():
            options = spec[1] if len(spec) > 1 else {}
            inputs[name] = _named(options.get("display_name") or name, options.get("tooltip"))
    tooltips = info.get("output_tooltips") or [None] * len(info["output_name"])
    outputs = {
        str(i): _named(name, tip)
        for i, (name, tip) in enumerate(zip(info["output_name"], tooltips, strict=True))
    }
    texts = {"display_name": info["display_name"], "description": info["description"]}
    return {**texts, "inputs": inputs, "outputs": outputs}


def _named(name: str, tooltip: str | None) -> dict:
    return {"name": name, "tooltip": tooltip} if tooltip else {"name": name}


class Language:
    """What is translated into one language. `missing`: English texts that are not."""

    def __init__(self, language: str):
        found = json.loads((TRANSLATIONS / f"{language}.json").read_text(encoding="utf-8"))
        self.titles, self.names, self.texts = found["titles"], found["names"], found["texts"]
        self._quotes, self.missing = QUOTES[language], set()

    def definitions(self, english: dict) -> dict:
        """`node_definitions` in this language."""
        return {node: self._node(node, texts) for node, texts in english.items()}

    def _node(self, node: str, texts: dict) -> dict:
        return {
            "display_name": self.titles.get(node) or self._missing(texts["display_name"]),
            "description": self._text(texts["description"]),
            "inputs": {key: self._slot(one, "input") for key, one in texts["inputs"].items()},
            "outputs": {key: self._slot(one, "output") for key, one in texts["outputs"].items()},
        }

    def _slot(self, slot: dict, side: str) -> dict:
        """The tooltip also gives the English name: messages and help pages call the input so."""
        english = slot["name"]
        own = self.names.get(f"{side} {english}") or self.names.get(english) or self._missing(english)
        if "tooltip" not in slot:
            return {"name": own}
        called = "" if own == english else f" [{english}]"
        return {"name": own, "tooltip": self._text(slot["tooltip"]) + called}

    def _text(self, english: str) -> str:
        text = self.texts.get(english) or self._missing(english)
        text = re.sub(r"\{(HRV\w+)\}", lambda m: self._quotes.format(self.titles[m[1]]), text)
        return re.sub(r"`(\w+)`", lambda m: f"`{self.names.get(m[1], m[1])}`", text)

    def _missing(self, text: str) -> str:
        self.missing.add(text)
        return text


def write(language: str, definitions: dict) -> None:
    target = LOCALES / language / "nodeDefs.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(definitions, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Starts the default host, asks it, writes the files."""
    sys.path.append(str(ROOT))
    from devtools.releases import DEFAULT
    from devtools.server import ComfyServer

    with ComfyServer(ROOT / ".host" / f"comfyui-{DEFAULT}") as server:
        english = node_definitions(server.object_info())
    write("en", english)
    for path in sorted(TRANSLATIONS.glob("*.json")):
        language = Language(path.stem)
        write(path.stem, language.definitions(english))
        print(f"{path.stem}: {len(english)} nodes, {len(language.missing)} texts still English")
        for text in sorted(language.missing):
            print(f"    {text}")


if __name__ == "__main__":
    main()
