"""Which rows of a call are recorded into which entry, and which keys of a layer are the columns of the entry's prompt."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from ...hrv.prompt import Prompt
from ...hrv.recording.recording import ASKED, Entry, Run
from ...hrv.recording.schedule import Bin
from ...hrv.wording import said
from ..facts.conditionings import is_zeroed
from ..facts.families import Family
from ..facts.rows import POSITIVE, Chunk, Owner
from .base.following_tokens import TokenCall
from .base.layer_entries import LayerCall
from .recorded_schedule import Moment


@dataclass
class Row:
    """Rows of one call that are recorded: `rows` of the batch show `entry`, and of the latent the part `crop`:
    (height, width, y, x). length: tokens of the conditioning; repeats: how often the call's context holds it."""

    entry: Entry
    rows: slice
    crop: tuple[int, int, int, int]
    length: int
    repeats: int

    @property
    def keys(self) -> int:
        """How many keys a layer should see in these rows."""
        return self.repeats * self.entry.length


HELD_BYTES = 96 * 2**20
"""What layers may hold until they are recorded together."""


@dataclass
class Recorded:
    """What is recorded from one call of the model. batch: its rows; latent: (height, width) of the whole; held: layers that came by and
    are not recorded yet, of so many bytes."""

    rows: list[Row]
    moment: Moment
    batch: int
    latent: tuple[int, int]
    held: list[LayerCall | TokenCall] = field(default_factory=list)
    held_bytes: int = 0

    @property
    def is_full(self) -> bool:
        return self.held_bytes >= HELD_BYTES

    @property
    def time_bin(self) -> int:
        return cast(int, self.moment.bin)


class Entries:
    """The conditionings of one sampling that are recorded into a run. warn: says what is not known of a prompt."""

    def __init__(self, run: Run, registry, bins: Sequence[Bin], *, warn: Callable[[str], None]):
        self.family: Family | None = None  # of a transformer
        self.run = run
        self._registry = registry
        self._bins = tuple(bins)
        # a circle would keep the maps until the garbage collector comes
        self._warning = weakref.WeakMethod(warn)
        self._by_uuid: dict[Any, Entry] = {}
        self._settled: set[int] = set()  # ids of the entries whose columns are known
        self._beside: dict[int, Entry] = {}  # id of an entry → that of the words that are not in its prompt

    def of(self, owner: Owner, chunk: Chunk, length: int) -> Entry:
        """The entry of a chunk of so many tokens, made if there is none yet. It has no columns until a layer was seen."""
        if chunk.uuid in self._by_uuid:
            return self._by_uuid[chunk.uuid]
        prompt, warning = self._registry.prompt_of(owner.cond)
        if warning:
            self._warning()(warning)
        entry = Entry(
            owner.role,
            owner.index,
            prompt,
            length=length,
            columns=(),
            counts=[0] * len(self._bins),
            batch=chunk.batch,
            bins=self._bins,
        )
        entry.read = partial(read_filled, self._registry.read, self.family)
        entry.zeroed = prompt is None and is_zeroed(owner.cond)
        self._by_uuid[chunk.uuid] = entry
        self.run.entries.append(entry)
        return entry

    def fits(self, row: Row, keys: int) -> bool:
        """Whether so many keys of a layer are those of a row's prompt. The first that are decide which columns it has.

        Usually there is one key for each token of the conditioning. NegPip puts two vectors into the conditioning for each token
        of the text, and lets the model take its keys from the first of each pair, its values from the second.
        """
        entry, tokens = row.entry, row.repeats * row.length
        if id(entry) not in self._settled:
            known = entry.prompt
            in_pairs = row.length % 2 == 0 and (known is None or 2 * known.length == row.length)
            if not (keys == tokens or (in_pairs and 2 * keys == tokens)):
                return False
            self._settled.add(id(entry))
            self._settle(entry, row.length if keys == tokens else row.length // 2)
        return keys == row.keys

    def _settle(self, entry: Entry, length: int) -> None:
        entry.length = length
        if self.family is not None and entry.prompt is not None:
            entry.prompt = self.family.filled(entry.prompt, length)
        if entry.prompt is not None and entry.prompt.length != length:
            self._warning()(
                said(
                    "The prompt has {tokens} tokens, but the model sees {length}, so its words are not known.",
                    tokens=entry.prompt.length,
                    length=length,
                )
            )
            entry.prompt = None
        is_sure = entry.prompt is not None and not entry.prompt.is_guess
        entry.columns = entry.prompt.recorded_columns if is_sure else tuple(range(length))

    def beside(self, entry: Entry, words: Prompt, columns: tuple[int, ...]) -> Entry:
        """The entry of words that are not in an entry's prompt, made if there is none yet."""
        if id(entry) not in self._beside:
            made = Entry(
                ASKED,
                entry.index,
                words,
                length=words.length,
                columns=columns,
                counts=list(entry.counts),
                batch=entry.batch,
                bins=entry.bins,
            )
            self._beside[id(entry)] = made
            self.run.entries.append(made)
        return self._beside[id(entry)]

    def forget_beside(self) -> None:
        """Lets go of all words that are not in the prompts."""
        gone = {id(words) for words in self._beside.values()}
        self.run.entries = [entry for entry in self.run.entries if id(entry) not in gone]
        self._beside.clear()

    def close(self, owners: Iterable[Owner]) -> None:
        """Puts the run's entries into the order of the guider, positive ones first, words that are not in the prompts last. Keeps the
        counts of a layer only where it ran in other evaluations than the model."""
        recorded = [self._by_uuid[owner.uuid] for owner in owners if owner.uuid in self._by_uuid]
        beside = [(entry, self._beside[id(entry)]) for entry in recorded if id(entry) in self._beside]
        for entry, words in beside:
            words.counts = list(entry.counts)
            words.layer_counts = {number: list(own) for number, own in entry.layer_counts.items()}
        self.run.entries = sorted(recorded, key=lambda entry: entry.role != POSITIVE)
        self.run.entries += [words for _, words in beside]
        for entry in self.run.entries:
            counts = entry.layer_counts
            entry.layer_counts = {n: counts[n] for n in sorted(entry.maps) if counts[n] != entry.counts}
            entry.drop_empty_bins()


def read_filled(read: Callable, family: Family | None, text: str, length: int):
    """The prompt that a typed text is, as `TextRegistry.read` gives it, of as many columns as the model makes of it."""
    prompt = read(text, length)
    return prompt if prompt is None or family is None else family.filled(prompt, length)
