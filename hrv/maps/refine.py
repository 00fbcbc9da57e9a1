"""Masks that follow the edges of the image instead of the blur of the map (docs/formulas.md, "Refined mask").

>>> mask = refined_mask(heat, picture, 0.4)      # (height, width), 0 or 1; None: the image says something else than the map
"""

from __future__ import annotations

import numpy as np
import torch

IMAGE_EDGES = "image edges"
REFINE = ("none", IMAGE_EDGES)
WORKED_SIDE = 384  # pixels of the longer side at which outlines are sought
ROUNDS = 2  # of colour models and cut
SURE, NOWHERE = 0.6, 0.3  # seeds: this far from the threshold to the top; below this share of the threshold
HOT, KEPT, GROWN = (
    0.4,
    0.6,
    3.0,
)  # how much of what is this hot the result keeps at least, and how much larger it is at most
SEEDS_OUTLINE = 0.2  # share of the outline that may be that of the seeds: there the image had no say
NO_BOX = (0, 0, 0, 0)
ONLY_SOME = 1  # pixel of either side, below which there are no two colours to tell apart


def refined_mask(heat: torch.Tensor, picture: torch.Tensor, threshold: float) -> torch.Tensor | None:
    """The mask `heat ≥ threshold` moved to the edges of the picture: float32 0 or 1, (height, width).

    heat: (height, width), from 0 (the word's lowest value) to 1 (its highest); picture: (height, width, 3), 0 to 1, of the same size.
    GrabCut (Rother, Kolmogorov and Blake 2004), begun with the heat. Returns None where there is nothing to refine, or where
    the image says nothing: the result has lost much of the hottest part, is several times as large as the plain mask, or
    has the outline of its own seeds.
    The same input gives the same mask.
    """
    import cv2

    size = heat.shape[1], heat.shape[0]  # as OpenCV has it: (width, height)
    scale = min(1.0, WORKED_SIDE / max(size))
    worked = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    hot = cv2.resize(heat.numpy(), worked, interpolation=cv2.INTER_AREA)
    colours = cv2.resize((picture * 255).round().byte().numpy(), worked, interpolation=cv2.INTER_AREA)
    plain = hot >= threshold
    found = _cut(np.ascontiguousarray(colours), hot, plain, threshold)
    if found is None:
        return None
    found = _touching(found, plain)
    hottest, sure = (hot >= threshold + share * (1 - threshold) for share in (HOT, SURE))
    outline = _outline(found)
    if (
        (found & hottest).sum() < KEPT * hottest.sum()
        or found.sum() > GROWN * plain.sum()
        or (outline & _outline(sure)).sum() > SEEDS_OUTLINE * outline.sum()
    ):
        return None
    large = cv2.resize(found.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy((large >= 0.5).astype(np.float32))


def _cut(colours: np.ndarray, hot: np.ndarray, plain: np.ndarray, threshold: float) -> np.ndarray | None:
    """GrabCut's foreground: bool (height, width). colours: uint8 (height, width, RGB); hot: 0 to 1."""
    import cv2

    labels = np.where(plain, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[hot < NOWHERE * threshold] = cv2.GC_BGD
    labels[hot >= threshold + SURE * (1 - threshold)] = cv2.GC_FGD
    if min(plain.sum(), (~plain).sum()) <= ONLY_SOME:
        return None
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its clusters begin at random
    try:
        cv2.grabCut(colours, labels, NO_BOX, models[0], models[1], ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # no two sides that differ
        return None
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask that have a neighbour outside it."""
    import cv2

    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    return mask & (inner == 0)


def _touching(found: np.ndarray, plain: np.ndarray) -> np.ndarray:
    """The connected parts of what was found that have a pixel in the plain mask."""
    import cv2

    _, part = cv2.connectedComponents(found.astype(np.uint8))
    return found & np.isin(part, np.unique(part[found & plain]))
