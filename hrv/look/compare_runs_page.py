"""Two recordings side by side: a row for each word, A, B, and what changed."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from ..draw import text
from ..draw.overlay import BACKGROUND, HOT, INK, QUIET_INK, overlay
from ..maps.bicubic import resize
from ..wording import share_text
from .compare_runs import Change, Compared

ROWS = 8  # words on the page, those that changed most
TILE, GAP = 256, 12
HEADING, NAME, NOTE = 32, 32, 21  # sizes of type, legible in a node that shows the page at six tenths
LINE = NAME + 8
LESS, MORE = (0.13, 0.40, 0.90), (0.90, 0.22, 0.14)  # RGB of a difference of −1 and +1
GRAY = 0.55  # how light the gray image under the differences is


def comparison_page(compared: Compared) -> torch.Tensor:
    """float32 (1, height, width, 3), 0 to 1. All heat has one scale, and so have all differences."""
    changes = compared.changes[:ROWS]
    top = max(float(map.max()) for one in compared.changes for map in (one.a, one.b)) or 1.0
    height, width = _tile_size(compared.size)
    row = height + LINE + GAP
    head = HEADING + NOTE + 3 * GAP
    sheet = Image.new("RGB", (GAP + 3 * (width + GAP), head + len(changes) * row + GAP), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(("A", "B", "B − A")):
        left = GAP + column * (width + GAP)
        text.write(pen, (left, GAP), title, size=HEADING, ink=INK, room=width)
    scale = (
        f"B − A: blue where there is less in B, red where there is more (up to {share_text(compared.scale)})"
    )
    text.write(pen, (GAP, GAP + HEADING + 8), scale, size=NOTE, ink=QUIET_INK, room=sheet.width - 2 * GAP)
    pictures = [None if one is None else _small(one, (height, width)) for one in compared.pictures]
    for number, one in enumerate(changes):
        y = head + number * row
        text.write(pen, (GAP, y), one.name, size=NAME, ink=INK, room=width)
        text.write(
            pen,
            (sheet.width - GAP, y + NAME - NOTE),
            one.note,
            size=NOTE,
            ink=INK,
            room=2 * width,
            align="right",
        )
        for column, tile in enumerate(_tiles(one, pictures, (height, width), top, compared.scale or 1.0)):
            drawn = Image.fromarray((tile.clamp(0, 1).numpy() * 255).round().astype(np.uint8))
            sheet.paste(drawn, (GAP + column * (width + GAP), y + LINE))
    return torch.from_numpy(np.asarray(sheet).astype(np.float32) / 255)[None]


def _tiles(
    one: Change, pictures: list[torch.Tensor | None], size: tuple[int, int], top: float, scale: float
) -> list[torch.Tensor]:
    """A, B, and the difference over B in gray: (height, width, 3) each."""
    tiles = []
    for map, picture in zip((one.a, one.b), pictures, strict=True):
        heat = resize(map[None], size)[0].div(top).clamp(0, 1)
        tiles.append(overlay(picture, heat, 0.7, "turbo", tint=HOT))
    change = resize(one.difference[None], size)[0].div(scale).clamp(-1, 1)[..., None]
    under = torch.full((*size, 3), GRAY)
    if pictures[1] is not None:
        under = GRAY + (1 - GRAY) * pictures[1].mean(-1, keepdim=True).expand(*size, 3)
    colour = torch.where(change > 0, torch.tensor(MORE), torch.tensor(LESS))
    return [*tiles, torch.lerp(under, colour, change.abs())]


def _tile_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = TILE / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _small(picture: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(height, width, 3) at this size."""
    return F.interpolate(picture.movedim(-1, 0)[None], size, mode="area")[0].movedim(0, -1).clamp(0, 1)
