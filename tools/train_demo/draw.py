"""Draws a Scene: background with a light texture, patterned objects with smooth edges, exact masks."""

import cv2
import numpy as np

from .shapes import BODY, MARKS
from .world import BACKGROUNDS, COLOURS, RGB, Scene, Thing

SUPERSAMPLING = 2  # masks are drawn this much larger and averaged down
STRIPE_PERIOD = 26  # pixels at a picture 256 high; coarse enough for a latent cell of 8 pixels
DOT_PERIOD = 28
MARK: RGB = (40, 36, 48)
LIGHT_COLOURS = ("yellow", "mint", "rose")


def render(scene: Scene, width: int = 256, height: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """The scene's picture and masks: uint8 (height, width, RGB) and bool (object, height, width)."""
    # image: (height, width, RGB) float 0..255
    image = _background(scene, width, height)
    masks = []
    for thing in scene.things:
        cover = _cover(BODY[thing.kind], thing, width, height)
        image += cover[..., None] * (_paint(thing, width, height) - image)
        if MARKS[thing.kind]:
            marks = _cover(MARKS[thing.kind], thing, width, height) * cover
            tone = np.float32((120, 120, 128) if thing.colour == "black" else MARK)
            image += marks[..., None] * (tone - image)
        masks.append(cover >= 0.5)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8), np.stack(masks)


def _to_pixels(points, thing: Thing, width: int, height: int) -> np.ndarray:
    """Shape frame → supersampled pixels. points: (point, xy) → float32 (point, xy)."""
    points = np.float32(points)
    if thing.mirrored:
        points = points * np.float32([-1, 1])
    angle = np.deg2rad(thing.angle)
    turn = np.float32([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    radius = thing.extent * min(width, height) / 2
    centre = np.float32([thing.x * width, thing.y * height])
    return (points @ turn.T * radius + centre) * SUPERSAMPLING


def _cover(primitives: list[tuple], thing: Thing, width: int, height: int) -> np.ndarray:
    """Share of each pixel that the primitives cover: float32 (height, width) in 0..1."""
    canvas = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.uint8)
    for primitive in primitives:
        kind, *values = primitive
        if kind == "poly":
            _fill(canvas, _to_pixels(values[0], thing, width, height), 255)
        elif kind == "oval":
            _fill(canvas, _to_pixels(_oval(*values), thing, width, height), 255)
        else:
            x, y, radius, thickness = values
            ring = np.zeros_like(canvas)
            _fill(ring, _to_pixels(_oval(x, y, radius, radius), thing, width, height), 255)
            inner = radius - thickness
            _fill(ring, _to_pixels(_oval(x, y, inner, inner), thing, width, height), 0)
            canvas = np.maximum(canvas, ring)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def _oval(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], axis=1)


def _fill(canvas: np.ndarray, points: np.ndarray, value: int) -> None:
    cv2.fillPoly(canvas, [np.round(points * 16).astype(np.int32)], value, shift=4)


def second_tone(colour: str) -> np.ndarray:
    """The tone of stripes and dots on a colour."""
    base = np.float32(COLOURS[colour])
    if colour == "white":
        return np.float32((150, 150, 164))
    if colour == "black":
        return np.float32((122, 122, 126))
    if colour in LIGHT_COLOURS:
        return base * 0.52
    return base + 0.78 * (255 - base)


def _paint(thing: Thing, width: int, height: int) -> np.ndarray:
    """Colour and pattern over the whole picture: float32 (height, width, RGB)."""
    base = np.float32(COLOURS[thing.colour])
    if thing.pattern == "plain":
        return np.broadcast_to(base, (height, width, 3))
    scale = min(width, height) / 256
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x = x - thing.x * width
    y = y - thing.y * height
    if thing.pattern == "striped":  # horizontal bands, 1-pixel soft edges
        phase = np.abs((y / (STRIPE_PERIOD * scale) + 0.25) % 1 - 0.5) * STRIPE_PERIOD * scale
        share = np.clip(phase - STRIPE_PERIOD * scale / 4 + 0.5, 0, 1)
    else:  # dots in staggered rows
        period = DOT_PERIOD * scale
        row = np.floor(y / period + 0.5)
        dx = (x / period + 0.5 * (row % 2) + 0.5) % 1 - 0.5
        dy = (y / period + 0.5) % 1 - 0.5
        share = np.clip(period * (0.3 - np.hypot(dx, dy)) + 0.5, 0, 1)
    return base + share[..., None] * (second_tone(thing.colour) - base)


def _background(scene: Scene, width: int, height: int) -> np.ndarray:
    """Base colour, slow change of brightness and the background's own light marks: float32 RGB."""
    rng = np.random.default_rng(scene.seed)
    base = np.float32(BACKGROUNDS[scene.background])
    slow = cv2.resize(
        rng.normal(0, 4, (4, 4)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    image = base + slow[..., None]
    scale = min(width, height) / 256
    marks = round(36 * width * height / 256**2)
    xs, ys = rng.uniform(0, width, marks), rng.uniform(0, height, marks)
    for x, y, draw in zip(xs, ys, rng.random(marks)):
        at = (int(x), int(y))
        if scene.background == "grass":
            tip = (int(x + 4 * scale * (draw - 0.5)), int(y - 12 * scale))
            cv2.line(image, at, tip, (base * 0.84).tolist(), max(1, round(3 * scale)), cv2.LINE_AA)
        elif scene.background == "sand":
            cv2.circle(image, at, max(1, round(2 * scale)), (base * 0.88).tolist(), -1, cv2.LINE_AA)
        elif scene.background == "night":
            if draw < 0.5:
                cv2.circle(image, at, max(1, round(2 * scale)), (170, 172, 196), -1, cv2.LINE_AA)
        elif scene.background == "snow":
            cv2.circle(image, at, round((2 + 3 * draw) * scale), (246, 249, 253), -1, cv2.LINE_AA)
        elif draw < 0.4:  # stone: short cracks
            end = (int(x + 22 * scale), int(y + 18 * scale * (draw - 0.2) / 0.2))
            cv2.line(image, at, end, (base * 0.82).tolist(), max(1, round(2 * scale)), cv2.LINE_AA)
    return image
