"""Writes js/lens/colormaps.js: the pack's colour maps for the browser, the same 256 colours as hrv/draw/overlay.py has.

    python tools/make_colormaps.py

Run it with a Python that has torch and opencv (.host/venv/bin/python).
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "js" / "lens" / "colormaps.js"
HEAD = """// Made by tools/make_colormaps.py. 256 colours from low to high, as bytes (red, green, blue) in base64.

const TABLES = {
"""
TAIL = """};

export const COLORMAPS = Object.keys(TABLES);

/** 256 colours as one Uint32Array of opaque pixels in the byte order of ImageData. */
export function colorTable(name) {
  const bytes = Uint8Array.from(atob(TABLES[name] ?? TABLES.turbo), (c) => c.charCodeAt(0));
  const pixels = new Uint8ClampedArray(4 * 256);
  for (let i = 0; i < 256; i++) {
    pixels.set(bytes.subarray(3 * i, 3 * i + 3), 4 * i);
    pixels[4 * i + 3] = 255;
  }
  return new Uint32Array(pixels.buffer);
}
"""


def text(names, table_of) -> str:
    """The file's text; table_of(name) gives (256, 3) colours from 0 to 1."""
    lines = []
    for name in names:
        colours = (table_of(name) * 255).round().byte().numpy()
        lines.append(f'  {name}: "{base64.b64encode(colours.tobytes()).decode()}",\n')
    return HEAD + "".join(lines) + TAIL


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from hrv.draw.overlay import COLORMAPS, color_table

    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(text(COLORMAPS, color_table), encoding="utf-8")


if __name__ == "__main__":
    main()
