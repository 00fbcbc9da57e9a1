"""Draws docs/icon.png and docs/banner.png, which the node registry shows.

    python tools/make_icon.py

A picture of a star on a hill, overlaid with the heat of the word "star" as a coarse attention map gives it.
Run it with the Python of a host that dev.py made (it needs numpy, opencv and Pillow).
"""

import math
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

DOCS = Path(__file__).resolve().parent.parent / "docs"
SCALE = 4  # drawn larger and reduced, for smooth edges
NIGHT, HILL, STAR, INK, DIM = (24, 28, 52), (34, 74, 72), (245, 208, 92), (238, 240, 248), (140, 148, 176)
CELLS = 12  # the attention map's width and height


def star(middle: tuple[float, float], radius: float, turn: float = -90) -> list[tuple[float, float]]:
    """The ten corners of a five-pointed star."""
    corners = []
    for corner in range(10):
        r = radius if corner % 2 == 0 else radius * 0.45
        angle = math.radians(turn + 36 * corner)
        corners.append((middle[0] + r * math.cos(angle), middle[1] + r * math.sin(angle)))
    return corners


def scene(size: int) -> tuple[Image.Image, np.ndarray]:
    """The picture, and the star's heat on a CELLS by CELLS grid, 0 to 1."""
    picture = Image.new("RGB", (size, size), NIGHT)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((-0.35 * size, 0.68 * size, 1.2 * size, 1.9 * size), fill=HILL)
    mask = Image.new("L", (size, size), 0)
    corners = star((0.55 * size, 0.42 * size), 0.33 * size)
    draw.polygon(corners, fill=STAR)
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    heat = np.asarray(mask.resize((CELLS, CELLS), Image.Resampling.BOX), np.float32) / 255
    return picture, cv2.GaussianBlur(heat, (3, 3), 0.7)


def overlay(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """The picture under turbo-coloured cells, the hotter the more opaque."""
    size = picture.width
    colours = cv2.applyColorMap((heat * 235).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    cells = cv2.resize(colours, (size, size), interpolation=cv2.INTER_NEAREST).astype(np.float32)
    alpha = cv2.resize(0.12 + 0.75 * heat, (size, size), interpolation=cv2.INTER_NEAREST)[..., None]
    mixed = np.asarray(picture, np.float32) * (1 - alpha) + cells * alpha
    return Image.fromarray(mixed.astype(np.uint8))


def split_scene(size: int) -> Image.Image:
    """Left of a slanted line the plain picture, right of it the same with heat."""
    picture, heat = scene(size)
    right = Image.new("L", (size, size), 0)
    line = [(0.62 * size, 0), (0.38 * size, size)]
    ImageDraw.Draw(right).polygon([line[0], (size, 0), (size, size), line[1]], fill=255)
    both = Image.composite(overlay(picture, heat), picture, right)
    ImageDraw.Draw(both).line(line, fill=INK, width=size // 90)
    return both


def rounded(picture: Image.Image, radius: int) -> Image.Image:
    mask = Image.new("L", picture.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, picture.width - 1, picture.height - 1), radius, fill=255)
    picture.putalpha(mask)
    return picture


def icon(size: int) -> Image.Image:
    large = rounded(split_scene(size * SCALE), size * SCALE // 7)
    return large.resize((size, size), Image.Resampling.LANCZOS)


def banner(width: int, height: int) -> Image.Image:
    w, h = width * SCALE, height * SCALE
    page = Image.new("RGB", (w, h), (15, 17, 32))
    side = round(h * 0.76)
    margin = (h - side) // 2
    tile = rounded(split_scene(side), side // 12)
    page.paste(tile, (w - side - margin, margin), tile)
    draw = ImageDraw.Draw(page)
    draw.text((margin, h * 0.17), "HRV", INK, ImageFont.load_default(h * 0.26))
    draw.text((margin, h * 0.47), "which word drew what", INK, ImageFont.load_default(h * 0.105))
    x = margin
    font = ImageFont.load_default(h * 0.075)
    for word in ("a", "gold", "star", "over", "a", "hill"):
        length = draw.textlength(word, font) + h * 0.06
        chosen = word == "star"
        box = (x, h * 0.70, x + length, h * 0.83)
        draw.rounded_rectangle(box, h * 0.03, fill=(231, 76, 36) if chosen else (38, 42, 66))
        draw.text(((box[0] + box[2]) / 2, h * 0.765), word, INK if chosen else DIM, font, anchor="mm")
        x += length + h * 0.022
    return page.resize((width, height), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    icon(400).save(DOCS / "icon.png", optimize=True)
    banner(1260, 540).save(DOCS / "banner.png", optimize=True)
