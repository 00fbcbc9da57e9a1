"""One word in the heads of several concepts, side by side: heat above, what the mask keeps below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from ..draw import text
from ..draw.overlay import BACKGROUND, HOT, INK, Caption, caption_strips, overlay
from ..maps.normalize import normalize_maps

COLUMNS = 4
TILE = 384  # longest side of a tile; smaller images are shown as they are
GAP = 12
HEADING = 22
DIMMED = 0.15
COLORMAP = "turbo"


@dataclass(frozen=True)
class Tile:
    """title and source: for the caption; heat and mask: (height, width), in the size of the image."""

    title: str
    source: str
    heat: torch.Tensor
    mask: torch.Tensor


def comparison_picture(heading: str, picture: torch.Tensor | None, tiles: Sequence[Tile]) -> torch.Tensor:
    """A picture, float32 (height, width, 3), 0 to 1. picture: (height, width, channel) or None."""
    drawn = [_draw(tile, picture) for tile in tiles]
    size = drawn[0].shape[:2]
    captions = [
        Caption(
            tile.title,
            low=float(tile.heat.min()),
            high=float(tile.heat.max()),
            mark=None,
            note="own scale",
            source=tile.source,
        )
        for tile in tiles
    ]
    strips = caption_strips(captions, (size[0] // 2, size[1]), COLORMAP)
    drawn = [torch.cat([tile, strip]) for tile, strip in zip(drawn, strips, strict=True)]
    height, width = drawn[0].shape[:2]
    columns = min(COLUMNS, len(drawn))
    rows = -(-len(drawn) // columns)
    top = HEADING + 2 * GAP
    sheet = Image.new("RGB", (GAP + columns * (width + GAP), top + rows * (height + GAP)), BACKGROUND)
    text.write(ImageDraw.Draw(sheet), (GAP, GAP), heading, size=HEADING, ink=INK, room=sheet.width - 2 * GAP)
    result = torch.from_numpy(np.asarray(sheet).astype(np.float32) / 255)
    for number, tile in enumerate(drawn):
        y, x = top + number // columns * (height + GAP), GAP + number % columns * (width + GAP)
        result[y : y + height, x : x + width] = tile
    return result


def _draw(tile: Tile, picture: torch.Tensor | None) -> torch.Tensor:
    """Heat over the image, and below it the image where the mask is, dimmed elsewhere: (2 · height, width, 3)."""
    heat = normalize_maps(tile.heat[None], "per word")[0]
    if picture is None:
        kept = tile.mask[..., None].expand(*tile.mask.shape, 3)
    else:
        kept = picture * (DIMMED + (1 - DIMMED) * tile.mask[..., None])
    both = torch.stack([overlay(picture, heat, 0.6, COLORMAP, tint=HOT), kept]).movedim(-1, 1)
    scale = min(1.0, TILE / max(both.shape[-2:]))
    size = [max(1, round(side * scale)) for side in both.shape[-2:]]
    small = F.interpolate(both, size, mode="area") if scale < 1 else both
    return torch.cat(list(small.movedim(1, -1)))
