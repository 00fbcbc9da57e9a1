"""The outlines of the demo world's objects, as plain vector primitives.

A shape is a list of primitives in its own frame: x to the right, y down, the whole shape inside [-1, 1]².
Primitives: ("poly", [(x, y), ...]), ("oval", x, y, rx, ry), ("ring", x, y, r, thickness).
`BODY` primitives make the mask and take the object's colour and pattern; `MARKS` (an eye, a window) are
drawn on top in one dark tone and lie inside the body.
"""

import math


def _star(points: int, inner: float) -> list[tuple[float, float]]:
    """Corner points of a star with `points` tips; tips at radius 1, notches at radius `inner`."""
    corners = []
    for i in range(2 * points):
        radius = 1.0 if i % 2 == 0 else inner
        angle = math.pi * i / points - math.pi / 2
        corners.append((radius * math.cos(angle), radius * math.sin(angle)))
    return corners


def _leaf() -> list[tuple[float, float]]:
    """A leaf blade with toothed edges, tip up, stalk end down."""
    right = []
    for i in range(13):
        t = i / 12
        width = 0.62 * math.sin(math.pi * t) ** 0.8
        right.append((width + (0.11 if i % 2 else 0.0), -1.0 + 1.62 * t))
    return right + [(-x, y) for x, y in reversed(right)]


def _petals(count: int, distance: float, radius: float) -> list[tuple]:
    ring = []
    for i in range(count):
        angle = 2 * math.pi * i / count - math.pi / 2
        ring.append(("oval", distance * math.cos(angle), -0.3 + distance * math.sin(angle), radius, radius))
    return ring


BODY: dict[str, list[tuple]] = {
    "fish": [
        ("oval", 0.18, 0.0, 0.8, 0.5),
        ("poly", [(-0.4, 0.0), (-1.0, -0.62), (-0.86, 0.0), (-1.0, 0.62)]),
        ("poly", [(-0.1, -0.42), (0.3, -0.78), (0.45, -0.4)]),
    ],
    "bird": [
        ("oval", 0.0, 0.15, 0.62, 0.44),
        ("oval", 0.5, -0.42, 0.3, 0.3),
        ("poly", [(0.72, -0.55), (1.0, -0.38), (0.72, -0.26)]),
        ("poly", [(-0.4, 0.2), (-1.0, -0.2), (-0.95, 0.3)]),
        ("poly", [(0.0, 0.5), (0.1, 0.5), (0.14, 0.95), (-0.02, 0.95)]),
        ("poly", [(0.22, 0.5), (0.32, 0.46), (0.4, 0.95), (0.24, 0.95)]),
    ],
    "cat": [
        ("oval", 0.0, 0.18, 0.82, 0.72),
        ("poly", [(-0.8, 0.1), (-0.78, -0.95), (-0.15, -0.45)]),
        ("poly", [(0.8, 0.1), (0.78, -0.95), (0.15, -0.45)]),
    ],
    "car": [
        (
            "poly",
            [
                (-1.0, 0.38),
                (-1.0, -0.02),
                (-0.6, -0.1),
                (-0.38, -0.55),
                (0.38, -0.55),
                (0.62, -0.1),
                (1.0, 0.0),
                (1.0, 0.38),
            ],
        ),
        ("oval", -0.52, 0.38, 0.24, 0.24),
        ("oval", 0.52, 0.38, 0.24, 0.24),
    ],
    "boat": [
        ("poly", [(-1.0, 0.3), (1.0, 0.3), (0.62, 0.85), (-0.62, 0.85)]),
        ("poly", [(-0.07, 0.32), (-0.07, -0.98), (0.07, -0.98), (0.07, 0.32)]),
        ("poly", [(0.05, -0.95), (0.82, 0.12), (0.05, 0.12)]),
        ("poly", [(-0.05, -0.7), (-0.6, 0.12), (-0.05, 0.12)]),
    ],
    "house": [
        ("poly", [(-0.72, 0.9), (-0.72, -0.1), (0.72, -0.1), (0.72, 0.9)]),
        ("poly", [(-1.0, -0.05), (0.0, -0.95), (1.0, -0.05)]),
    ],
    "tree": [
        ("poly", [(-0.16, 0.98), (-0.16, 0.1), (0.16, 0.1), (0.16, 0.98)]),
        ("oval", 0.0, -0.45, 0.55, 0.52),
        ("oval", -0.45, -0.1, 0.42, 0.4),
        ("oval", 0.45, -0.1, 0.42, 0.4),
    ],
    "mug": [
        ("poly", [(-0.75, -0.75), (0.4, -0.75), (0.4, 0.75), (-0.75, 0.75)]),
        ("ring", 0.45, 0.0, 0.42, 0.2),
    ],
    "star": [("poly", _star(5, 0.45))],
    "rose": [
        *_petals(6, 0.38, 0.31),
        ("oval", 0.0, -0.3, 0.3, 0.3),
        ("poly", [(-0.08, 0.2), (0.08, 0.2), (0.08, 1.0), (-0.08, 1.0)]),
        ("poly", [(0.0, 0.8), (0.5, 0.38), (0.6, 0.62), (0.1, 0.95)]),
    ],
    "orange": [
        ("oval", 0.0, 0.14, 0.82, 0.82),
        ("poly", [(-0.06, -0.6), (-0.06, -0.85), (0.06, -0.85), (0.06, -0.6)]),
        ("poly", [(0.0, -0.72), (0.3, -1.0), (0.62, -0.92), (0.4, -0.7)]),
    ],
    "mint": [("poly", _leaf()), ("poly", [(-0.08, 0.5), (0.08, 0.5), (0.08, 1.0), (-0.08, 1.0)])],
}

MARKS: dict[str, list[tuple]] = {
    "fish": [("oval", 0.62, -0.12, 0.1, 0.1)],
    "bird": [("oval", 0.55, -0.48, 0.08, 0.08)],
    "cat": [
        ("oval", -0.32, 0.05, 0.11, 0.15),
        ("oval", 0.32, 0.05, 0.11, 0.15),
        ("poly", [(-0.12, 0.36), (0.12, 0.36), (0.0, 0.52)]),
    ],
    "car": [
        ("poly", [(-0.42, -0.08), (-0.28, -0.42), (-0.05, -0.42), (-0.05, -0.08)]),
        ("poly", [(0.06, -0.08), (0.06, -0.42), (0.3, -0.42), (0.46, -0.08)]),
        ("oval", -0.52, 0.38, 0.12, 0.12),
        ("oval", 0.52, 0.38, 0.12, 0.12),
    ],
    "boat": [],
    "house": [("poly", [(-0.18, 0.9), (-0.18, 0.35), (0.18, 0.35), (0.18, 0.9)])],
    "tree": [],
    "mug": [],
    "star": [],
    "rose": [("oval", 0.0, -0.3, 0.12, 0.12)],
    "orange": [],
    "mint": [("poly", [(-0.035, -0.7), (0.035, -0.7), (0.035, 0.6), (-0.035, 0.6)])],
}
