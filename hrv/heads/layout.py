"""Where a network's cross-attention heads sit, and in which order they are numbered.

Head order (docs/formulas.md, "Head order"): execution order, that is input blocks, middle block, output
blocks; inside a block by transformer index; inside a transformer by head. SD1 has 128 heads, SDXL 1300.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

UNET_PARTS = ("input", "middle", "output")
PARTS = (*UNET_PARTS, "double", "single", "cross")
"""Parts of a network, in execution order: of a UNet; then of transformers, layers in which text and image have weights of their own
(double) or share them (single), and layers in which the image looks at the text alone (cross)."""
MAX_BLOCKS = 10_000
MAX_HEADS = 100_000


@dataclass(frozen=True)
class Block:
    """One layer in which the image looks at the text: `part` of the network, block number, transformer number inside it, heads."""

    part: str
    index: int
    transformer: int
    heads: int

    @cached_property
    def key(self) -> tuple[str, int, int]:
        """The name ComfyUI gives the layer in `patches_replace["attn2"]`."""
        return (self.part, self.index, self.transformer)

    def __str__(self) -> str:
        return f"{self.part} {self.index}" + (f".{self.transformer}" if self.part in UNET_PARTS else "")


@dataclass(frozen=True)
class Head:
    """One head: its layer and its number inside that layer."""

    block: Block
    index: int


@dataclass(frozen=True)
class Layout:
    """All cross-attention layers of a network in execution order.

    >>> layout = Layout((Block("input", 1, 0, 8), Block("middle", 0, 0, 8)))
    >>> layout.heads, layout.span(1), layout.head(9).index
    (16, slice(8, 16, None), 1)
    """

    blocks: tuple[Block, ...]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Number of the first head of each block, and the number of heads as the last entry."""
        total, out = 0, []
        for block in self.blocks:
            out.append(total)
            total += block.heads
        return (*out, total)

    @cached_property
    def numbers(self) -> dict[tuple[str, int, int], int]:
        """Number of each block by its key."""
        return {block.key: number for number, block in enumerate(self.blocks)}

    @property
    def heads(self) -> int:
        """Number of cross-attention heads of the network."""
        return self.offsets[-1]

    @property
    def is_unet(self) -> bool:
        """Whether the network is a UNet, or a transformer."""
        return any(block.part in UNET_PARTS for block in self.blocks)

    def span(self, block: int) -> slice:
        """Head numbers of block number `block`."""
        return slice(self.offsets[block], self.offsets[block + 1])

    def head(self, number: int) -> Head:
        """The head with this number. Raises IndexError outside 0 … heads − 1."""
        if not 0 <= number < self.heads:
            raise IndexError(f"There is no head {number}: this model has heads 0 to {self.heads - 1}.")
        for position, block in enumerate(self.blocks):
            span = self.span(position)
            if number < span.stop:
                return Head(block, number - span.start)
        raise IndexError(number)

    def to_json(self) -> str:
        """JSON list of [part, block, transformer index, heads]."""
        return json.dumps([[b.part, b.index, b.transformer, b.heads] for b in self.blocks])

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Reads `to_json`. Raises ValueError that says what is wrong when the text is anything else."""
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the head layout is not JSON ({error})") from None
        if not isinstance(rows, list) or not 0 < len(rows) <= MAX_BLOCKS:
            raise ValueError(f"the head layout must be a list of 1 to {MAX_BLOCKS} blocks")
        blocks = []
        for row in rows:
            if not isinstance(row, list) or len(row) != 4 or row[0] not in PARTS:
                raise ValueError(
                    f"a block of the head layout must be [part, block, transformer, heads], found {row!r:.80}"
                )
            if not all(type(n) is int and 0 <= n <= MAX_HEADS for n in row[1:]) or row[3] < 1:
                raise ValueError(f"a block of the head layout has a number out of range: {row!r:.80}")
            blocks.append(Block(*row))
        layout = cls(tuple(blocks))
        if layout.heads > MAX_HEADS:
            raise ValueError(f"the head layout has {layout.heads} heads; at most {MAX_HEADS} are read")
        return layout
