"""Tiles: maps of words over their images, with a strip of text below each. Drawn straight into the outputs, shared out among threads;
and what the page needs to show them in the node (js/tiles), the strongest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import accumulate, chain

import torch

from ..draw.overlay import HOT, Caption, Strips, overlay
from ..maps.bicubic import resize
from ..maps.border_peaks import KEPT
from ..maps.mask import MASK_THRESHOLD, threshold_mask
from ..maps.normalize import normalize_maps
from ..maps.refine import REFINE
from ..threads import share_out
from .heatmap_memory import Order


@dataclass(frozen=True)
class Style:
    """How heat is shown; the fields are the inputs of the node."""

    normalize: str = "shared"
    threshold: float = MASK_THRESHOLD
    alpha: float = 0.6
    colormap: str = "turbo"
    caption: bool = True
    timeline: bool = False
    tint: str = HOT
    refine: str = REFINE[0]
    border_peaks: str = KEPT


@dataclass(frozen=True)
class Tile:
    """One word over one image: its maps on the working grid, (part, height, width), one part without a timeline; peak: the
    largest value of the prompt, in any part; picture: (height, width, channel) or None; captions: one for each part, or none."""

    name: str
    maps: torch.Tensor
    peak: float
    picture: torch.Tensor | None
    captions: list[Caption]


@dataclass(frozen=True)
class Label:
    """What the page says of one overlay. value: the largest share of the word, by which tiles are sorted; picture: its image, from 0;
    part: of the schedule, from 1, of `parts`; idle: whether the word can go; asked: whether it is not in the prompt."""

    word: str
    value: float
    picture: int
    part: int = 1
    parts: int = 1
    idle: bool = False
    asked: bool = False


def panel(labels: list[Label], overlays: torch.Tensor, height: int, style: Style, **scale) -> dict:
    """For the page: labels in the order of the overlays (n, height + strip, width, 3); height: of an image. scale: `kind`, what is
    shown ("attention" or "effect"), and `peaks`, the top of each image's scale."""
    return {
        "version": 1,
        "size": [height, overlays.shape[2]],
        "strip": overlays.shape[1] - height,
        "colormap": style.colormap,
        "normalize": style.normalize,
        "tiles": [asdict(label) for label in labels],
        **scale,
    }


def draw(
    tiles: list[Tile], order: Order, style: Style, progress: Callable[[int, int], None]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(overlays with their strips, heat, mask), in the order of the tiles and of their parts. progress(done, total) may raise to
    stop."""
    size = order.size
    captions = list(chain(*(tile.captions for tile in tiles)))
    strips = Strips(captions, size, style.colormap) if captions else None
    height, total = size[0], sum(len(tile.maps) for tile in tiles)
    overlays = order.empty(total, height + (strips.height if strips else 0), size[1], 3)
    heat, mask = order.empty(total, *size), order.empty(total, *size)

    def draw_tile(number: int) -> None:
        tile, first = tiles[number], firsts[number]
        rows = slice(first, first + len(tile.maps))
        large = resize(tile.maps, size, out=heat[rows])
        # one above the other, so that all parts of a word have one range
        tall = large.view(1, -1, size[1])
        threshold_mask(tall, style.threshold, out=mask[rows].view_as(tall))
        normalize_maps(tall, style.normalize, tile.peak, out=tall)
        for drawn, one in zip(overlays[rows], large, strict=True):
            overlay(tile.picture, one, style.alpha, style.colormap, out=drawn[:height], tint=style.tint)
        if strips is not None:
            for drawn, caption in zip(overlays[rows], tile.captions, strict=True):
                strips.draw(caption, drawn[height:])

    firsts = list(accumulate((len(tile.maps) for tile in tiles), initial=0))
    share_out(draw_tile, range(len(tiles)), lambda number: progress(number, len(tiles)))
    progress(len(tiles), len(tiles))
    return overlays, heat, mask
