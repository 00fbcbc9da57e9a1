"""Writes the tables in js/lens/colormaps.js: the pack's colour maps for the browser, the same 256 colours as hrv/draw/overlay.py has.

    python tools/make_colormaps.py

Run it with a Python that has torch and opencv (.host/venv/bin/python).
"""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "js" / "lens" / "colormaps.js"
TABLES = re.compile(r"(?<=const TABLES = \{\n).*?(?=^\};)", re.MULTILINE | re.DOTALL)


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from hrv.draw.overlay import COLORMAPS, color_table

    lines = []
    for name in COLORMAPS:
        colours = (color_table(name) * 255).round().byte().numpy()
        lines.append(f'  {name}: "{base64.b64encode(colours.tobytes()).decode()}",\n')
    OUT.write_text(TABLES.sub("".join(lines), OUT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
