"""What words that are not in the prompt would get: sums beside those of a prompt's own columns."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable

import torch

from ...hrv.recording.asked import asked_probabilities
from ...hrv.recording.recording import Entry
from ...hrv.recording.sums import Accumulator, place_crop
from ...hrv.wording import said
from ..facts.cancel import CANCELS
from ..text.asked_words import AskedWords
from .base.errors import cause_of
from .base.layer_entries import LayerCall
from .recorded_rows import Entries, Row

FAILED = "The words in `also_look_for` were not looked for in this run ({cause}). The image and the recording are not affected."
OTHER_MODEL = said(
    "The words in `also_look_for` were not looked for: that needs a model that reads each word through cross-attention, as SD and SDXL do. "
    "The image and the recording are not affected."
)


class AskedSums:
    """Of one sampling. Every positive conditioning has one more entry beside it, whose columns are those of the asked words. An error
    ends it with one warning; recording and sampling go on."""

    def __init__(
        self, words: AskedWords, entries: Entries, sums: Accumulator, *, warn: Callable[[str, str], None]
    ):
        self._words, self._entries, self._sums = words, entries, sums
        self._columns = tuple(column for columns in words.columns for column in columns)
        # a circle would keep the maps until the garbage collector comes
        self._warning = weakref.WeakMethod(warn)
        self._keys: dict[tuple[int, torch.device, torch.dtype], torch.Tensor] = {}
        self._failed = False

    def add(self, row: Row, at: LayerCall, time_bin: int, latent: tuple[int, int]) -> None:
        """Adds one layer in one call. latent: (height, width) of the whole, in latent pixels."""
        if self._failed:
            return
        try:
            self._add(row, at, time_bin, latent)
        except CANCELS:
            raise
        except Exception as error:
            self._failed = True
            self._entries.forget_beside()
            self._warning()(said(FAILED, cause=cause_of(error)), "asked words")
            logging.debug("[HRV] words that are not in the prompt", exc_info=error)

    def drop(self, entry: Entry, number: int) -> None:
        """Leaves a layer out, as it is left out of a conditioning's own entry."""
        if not self._failed:
            self._sums.drop(self._entry_of(entry), number)

    def close(self) -> None:
        """Lets go of the words' keys."""
        self._keys.clear()

    def _add(self, row: Row, at: LayerCall, time_bin: int, latent: tuple[int, int]) -> None:
        words, number, heads = self._entry_of(row.entry), at.layer.number, at.layer.block.heads
        room = None
        if row.crop[:2] == latent:
            shape = (words.batch, heads, len(words.columns), *at.grid)
            room = self._sums.room(words, number, time_bin, shape, at.q.device)
        # once, however often the host has repeated it
        prompt = at.k[row.rows, : row.entry.length]
        maps = asked_probabilities(
            at.q[row.rows],
            prompt,
            heads,
            self._keys_of(at),
            self._words.lengths,
            into=None if room is None else room.view(*room.shape[:3], -1),
        )
        if room is None:
            maps = place_crop(maps.unflatten(-1, at.grid), row.crop, latent)
            self._sums.add(words, number, time_bin, maps)

    def _entry_of(self, entry: Entry) -> Entry:
        return self._entries.beside(entry, self._words.prompt, self._columns)

    def _keys_of(self, at: LayerCall) -> torch.Tensor:
        """(token, heads · d): the layer's keys of the words, made when they are first needed."""
        place = (at.layer.number, at.q.device, at.q.dtype)
        if place not in self._keys:
            self._keys[place] = at.layer.module.to_k(self._words.table.to(at.q.device, at.q.dtype)[None])[0]
        return self._keys[place]
