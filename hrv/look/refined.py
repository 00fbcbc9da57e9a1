"""The masks of tiles, moved to the edges of their images."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import torch

from ..maps.bicubic import resize
from ..maps.normalize import low_and_span
from ..maps.refine import refined_mask
from ..threads import share_out
from ..wording import quoted, said
from .tiles import Tile

NO_IMAGE = said(
    "The masks do not follow the edges of the image, because no image is connected. Connect `image`, or set `refine` to none."
)
LEFT = "The plain mask is kept for {words}: the image has no clear edge where the heatmap is."


def refine_masks(
    tiles: list[Tile], mask: torch.Tensor, threshold: float, progress: Callable[[int, int], None]
) -> list[str]:
    """Refines masks (mask, height, width) in place, in the order of the tiles and of their parts; returns warnings, in plain words.

    A mask stays as it is where there is no image, and where `refined_mask` says nothing. progress(done, total) may raise to stop.
    """
    size, firsts = mask.shape[1:], list(accumulate((len(tile.maps) for tile in tiles), initial=0))
    left: set[str] = set()
    pictures = [tile.picture for tile in tiles if tile.picture is not None]
    if len(pictures) < len(tiles):
        return [NO_IMAGE]

    def refine(number: int) -> None:
        tile = tiles[number]
        large = resize(tile.maps, size)
        low, span = low_and_span(large.view(1, -1, size[1]))  # all parts of a word have one range
        for part, one in enumerate(large):
            plain = mask[firsts[number] + part]
            if not plain.any():
                continue
            found = refined_mask((one - low[0]) / span[0], pictures[number], threshold)
            if found is None:
                left.add(tile.name)
            else:
                plain.copy_(found)

    share_out(refine, range(len(tiles)), lambda number: progress(number, len(tiles)))
    progress(len(tiles), len(tiles))
    words = [name for name in dict.fromkeys(tile.name for tile in tiles) if name in left]
    return [said(LEFT, words=quoted(words))] if words else []
