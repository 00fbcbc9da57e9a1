"""Pairs of prompts of the demo world that differ in one word, and where the object of a drawn picture is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hrv_pack.tools.train_demo import world
from hrv_pack.tools.train_demo.draw import render

QUESTIONS = {"colour": "Colours", "pattern": "Patterns", "kind": "Objects"}
"""What is changed → the concept of the changed word."""
BORDER, DIFFERENCE, MARGIN = 6, 36, 8
"""Pixels of a picture's edge that are taken for background; levels of 255 by which an object differs; pixels around it."""


@dataclass(frozen=True)
class Pair:
    """Two captions that differ in one word. noun: the first one's; question: what is asked of the judge; wanted: the new
    word."""

    question: str
    before: str
    after: str
    noun: str
    wanted: str


def pairs(count: int, seed: int) -> list[Pair]:
    """`count` pairs of each question, of scenes with one object."""
    rng = np.random.default_rng(seed)
    found: list[Pair] = []
    for number in range(count * len(QUESTIONS)):
        question = list(QUESTIONS)[number % len(QUESTIONS)]
        while True:
            scene = world.sample_scene(rng, two_objects=0.0)
            (thing,) = scene.things
            words = {"colour": tuple(world.COLOURS), "pattern": world.PATTERNS, "kind": world.KINDS}[question]
            wanted = words[rng.integers(len(words))]
            after = replace(thing, **{question: wanted})
            # the word must be new, tell a thing from a colour, and be seen on the background
            if (
                wanted != getattr(thing, question)
                and after.kind != after.colour
                and thing.kind != thing.colour
                and (after.colour, scene.background) not in world.CLASHES
            ):
                break
        texts = [world.full_caption(replace(scene, things=(one,))) for one in (thing, after)]
        found.append(Pair(question, *texts, thing.kind, wanted))
    return found


def object_mask(picture: np.ndarray) -> np.ndarray:
    """Where a picture, uint8 (height, width, RGB), differs from the median colour of its edge: bool (height, width).

    Specks are taken away and holes closed. Needs neither attention nor judge.
    """
    import cv2

    inner = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    is_edge = np.ones(picture.shape[:2], bool)
    is_edge[inner] = False
    background = np.median(picture[is_edge], axis=0)
    differs = (np.abs(picture.astype(np.float32) - background).max(-1) > DIFFERENCE).astype(np.uint8)
    differs = cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8)) > 0


def surroundings(mask: np.ndarray) -> np.ndarray:
    """Everything but the object and a margin around it: bool (height, width)."""
    import cv2

    size = 2 * MARGIN + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) == 0


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union; 1 where both are empty."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def check_masks(count: int, seed: int) -> float:
    """Mean IoU of `object_mask` with the exact mask, on new rendered scenes of one object."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        picture, masks = render(world.sample_scene(rng, two_objects=0.0))
        found.append(iou(object_mask(picture), masks[0]))
    return float(np.mean(found))
