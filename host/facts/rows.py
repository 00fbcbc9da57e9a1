"""Which rows of the UNet's batch belong to which conditioning of the guider.

ComfyUI concatenates chunks, one for each conditioning: row = chunk · batch + image. A chunk is known by the uuid of its
conditioning and by the number of the list it came from.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from . import options
from .conditionings import AREA, UUID, length_of
from .guider import NEGATIVE, conds_of

POSITIVE = "positive"


@dataclass(frozen=True)
class Owner:
    """The conditioning a uuid stands for: the guider's name for its list, and its place among those of its role.

    role: `negative` for every list that pushes away, `positive` for every list that pulls. cond: as the guider holds it.
    """

    uuid: Any
    guider_role: str
    role: str
    index: int
    cond: dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """The `rows` of the batch that show one conditioning, as it stands in list `number` of those evaluated."""

    uuid: Any
    number: int
    rows: slice

    @property
    def batch(self) -> int:
        """Number of images."""
        return self.rows.stop - self.rows.start


def chunks_of(rows: int, transformer_options: dict[str, Any]) -> list[Chunk]:
    """The chunks that this many rows of the batch are made of; none when they do not divide."""
    uuids, lists = transformer_options[options.UUIDS], transformer_options[options.COND_OR_UNCOND]
    batch, rest = divmod(rows, len(uuids))
    if rest:
        return []
    return [
        Chunk(uuid, number, slice(place * batch, (place + 1) * batch))
        for place, (uuid, number) in enumerate(zip(uuids, lists, strict=True))
    ]


class Conditionings:
    """The conditionings of one sampling."""

    def __init__(self, guider):
        self._owners: dict[Any, Owner] = {}
        self._lists: list[list[dict[str, Any]] | None] = []
        places: Counter[str] = Counter()
        for guider_role, conds in conds_of(guider).items():
            role = NEGATIVE if NEGATIVE in guider_role else POSITIVE
            for cond in conds or ():
                self._owners[cond[UUID]] = Owner(cond[UUID], guider_role, role, places[role], cond)
                places[role] += 1

    def __iter__(self):
        return iter(self._owners.values())

    @contextlib.contextmanager
    def evaluated(self, lists):
        """The lists that `cond_or_uncond` points into, for as long as they are evaluated."""
        before, self._lists = self._lists, lists
        try:
            yield
        finally:
            self._lists = before

    def cond(self, chunk: Chunk) -> dict[str, Any] | None:
        """The conditioning of a chunk as it is evaluated."""
        listed = self._lists[chunk.number] if chunk.number < len(self._lists) else None
        return next((c for c in listed or () if c[UUID] == chunk.uuid), None)

    def length(self, chunk: Chunk) -> int:
        """Number of tokens of a chunk's conditioning, before the host pads it."""
        return length_of(self.cond(chunk))

    def crop(self, chunk: Chunk, latent: tuple[int, int]) -> tuple[int, int, int, int]:
        """(height, width, y, x), in latent pixels, of the part of the latent that a chunk is to show."""
        area = self.cond(chunk).get(AREA)
        if area is None:
            return (*latent, 0, 0)
        y, x = (int(n) for n in area[-2:])
        height, width = area[: len(area) // 2][-2:]
        return min(int(height), latent[0] - y), min(int(width), latent[1] - x), y, x

    def owner(self, chunk: Chunk) -> Owner | None:
        """Whose a chunk is; None when that cannot be told, or when it is a copy in a list of another role.

        ComfyUI copies a positive conditioning with an area, uuid and all, into the negative list, with the negative text.
        """
        owner = self._owners.get(chunk.uuid)
        if owner is None or self.cond(chunk) is None:
            return None
        first = self._owners.get(self._lists[chunk.number][0][UUID])
        return owner if first is not None and first.guider_role == owner.guider_role else None


def go_innermost(model_options: dict[str, Any], kind: str, key: str) -> None:
    """Puts our wrapper of this kind last in this sampling's own options, so that it sees what the wrappers of other
    packs have put into transformer_options, and keeps it."""
    of_kind = model_options[options.TRANSFORMER_OPTIONS][options.WRAPPERS][kind]
    of_kind[key] = of_kind.pop(key)
