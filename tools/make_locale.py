"""Writes locales/en/nodeDefs.json from what the nodes say of themselves: titles, descriptions, tooltips.

    .host/venv/bin/python tools/make_locale.py        # needs a host: `python3 dev.py test` makes one

Translations copy this file and change the texts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "locales" / "en" / "nodeDefs.json"


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


def main() -> None:
    """Starts the default host, asks it, writes the file."""
    sys.path.append(str(ROOT))
    from devtools.releases import DEFAULT
    from devtools.server import ComfyServer

    with ComfyServer(ROOT / ".host" / f"comfyui-{DEFAULT}") as server:
        definitions = node_definitions(server.object_info())
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(definitions, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{TARGET}: {len(definitions)} nodes")


if __name__ == "__main__":
    main()
