"""Head layouts of the networks that published vectors exist for, written out."""

from __future__ import annotations

import hashlib

from .layout import Block, Layout


def _level(part: str, indices, transformers: int, heads: int) -> list[Block]:
    return [
        Block(part, index, transformer, heads) for index in indices for transformer in range(transformers)
    ]


SD1 = Layout(
    (
        *_level("input", (1, 2, 4, 5, 7, 8), 1, 8),
        *_level("middle", (0,), 1, 8),
        *_level("output", range(3, 12), 1, 8),
    )
)
SDXL = Layout(
    (
        *_level("input", (4, 5), 2, 10),
        *_level("input", (7, 8), 10, 20),
        *_level("middle", (0,), 10, 20),
        *_level("output", (0, 1, 2), 10, 20),
        *_level("output", (3, 4, 5), 2, 10),
    )
)
KNOWN = {"SD1": SD1, "SDXL": SDXL}
PUBLISHED_PARTS = {"input": "down", "middle": "mid", "output": "up"}


def name_of(layout: Layout) -> str | None:
    """`SD1`, `SDXL`, or None for a layout that has no name here."""
    return next((name for name, known in KNOWN.items() if known == layout), None)


def layout_in_words(layout: Layout, unit: str = " heads") -> str:
    """A number of heads as an artist reads it: `1300 heads (SDXL)`, or with unit="" `1300 (SDXL)`."""
    name = name_of(layout)
    return f"{layout.heads}{unit}" + (f" ({name})" if name else "")


def head_labels(layout: Layout) -> list[str]:
    """What the HRV authors' head_index files call each head: "down, layer: 0, head: 0" and so on.

    Layers are counted anew in each part of the network, transformers of one block one after the other.
    """
    labels, layers = [], dict.fromkeys(PUBLISHED_PARTS, 0)
    for block in layout.blocks:
        layer, layers[block.part] = layers[block.part], layers[block.part] + 1
        labels += [
            f"{PUBLISHED_PARTS[block.part]}, layer: {layer}, head: {head}" for head in range(block.heads)
        ]
    return labels


def head_index_sha256(layout: Layout) -> str:
    """SHA-256 of the head_index file (.npy, format 1.0) that this layout would have been published with."""
    labels = head_labels(layout)
    longest = max(map(len, labels))
    description = f"{{'descr': '<U{longest}', 'fortran_order': False, 'shape': ({len(labels)},), }}"
    header = description.ljust(128 - 10 - 1) + "\n"
    text = "".join(label.ljust(longest, "\0") for label in labels)
    return hashlib.sha256(
        b"\x93NUMPY\x01\x00"
        + len(header).to_bytes(2, "little")
        + header.encode("latin1")
        + text.encode("utf-32-le")
    ).hexdigest()
