"""Runs of samplings within a memory limit, found again by the latents that they left.

A latent that a kept run left finds that run. One whose run was forgotten is known as such. One that no run left, because a node
has changed it since, finds the run whose image it is; never one that merely is the newest.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar

import torch

from ..wording import percent_text, said, sentences
from .forgotten import Forgotten, Gone
from .latents import ALIKE, LATENT_PIXEL, Looks, Size, Traces, fingerprints_kept, size_of

MAX_RUNS = 256

FORGOTTEN = "This image is no longer kept in {node}."
CHANGED = "This latent did not come straight out of a sampler behind {node}."
TOO_MANY = (
    "Others were sampled after it ({count}), and memory_limit_mb ({limit}) is not enough for all of them. Raise memory_limit_mb in {node} "
    "and run again."
)
CROWDED = "Others were sampled after it ({count}), and {node} keeps no more than {most}."
INSTEAD = (
    "If a detailer or upscaler made them, you can also connect it to the model from before {node}, or give it its own {node}; then change "
    "memory_limit_mb slightly so that everything is sampled again."
)


class NoRecording(ValueError):
    """There is nothing to read; the message says what to connect or to run."""


class Kept(Protocol):
    """What a shelf asks of a run."""

    traces: Traces

    @property
    def nbytes(self) -> int: ...


R = TypeVar("R", bound=Kept)


@dataclass(frozen=True)
class Found(Generic[R]):
    """The run of one image and the image's place in its batch. note: what to say where the latent is not as a sampler left it;
    empty where it is."""

    run: R
    row: int
    note: str = ""

    @property
    def exact(self) -> bool:
        """Whether this very latent came out of the run."""
        return not self.note


@dataclass(eq=False)
class _Place(Generic[R]):
    """A run on the shelf. number: how many were added before it; used: when it was added or found last; superseded: a later run
    of the same image holds all that it holds, or was found in its stead."""

    run: R
    number: int
    used: int
    superseded: bool = False


class RunShelf(Generic[R]):
    """At most MAX_RUNS runs, which may take `memory_limit` bytes together. Beyond that, older ones are made smaller where
    `finest` and `pool` can do that; then the one that was neither added nor found for longest is forgotten. The newest is left
    as it is.

    problem: why there is nothing to keep, if that is known beforehand.
    """

    node: ClassVar[str]  # whose memory_limit_mb it is
    nothing: ClassVar[str]  # what to say before anything was added
    connect = said(
        "Connect the latent of the sampler that made the image. If an image has no latent of its own, as "
        "after a tiled upscale or a detailer, connect the latent of the first sampler: it fits the "
        "upscaled image too."
    )

    def __init__(self, memory_limit: int, problem: str | None = None):
        self.memory_limit = memory_limit
        self.problem = problem
        self._places: list[_Place[R]] = []
        self._names: dict[str, tuple[_Place[R], int]] = {}
        self._forgotten = Forgotten()
        self._images: Counter[Size | None] = Counter()  # runs of each size that there ever were
        self._added = self._clock = 0
        self._lock = threading.RLock()
        self._making_room: threading.Thread | None = None

    @property
    def runs(self) -> list[R]:
        """Kept runs, oldest first."""
        with self._settled():
            return [place.run for place in self._places]

    def add(self, run: R, instead_of: R | None = None) -> None:
        """Keeps a finished run. instead_of: an earlier run whose image it went on with and all of which it holds; that one is
        the first to make room. Room is made in a thread of its own, which who asks for runs waits for: making large maps smaller takes a while,
        and the next sampling need not wait for it."""
        with self._settled():
            newest = _Place(run, self._added, self._tick())
            self._added += 1
            self._places.append(newest)
            for name, row in _names_of(run.traces):
                self._names[name] = newest, row
                self._forgotten.remove(name)
            if run.traces.size is not None:
                self._images[run.traces.size] += 1
            for place in self._places[:-1]:
                if (place.run is instead_of or self._was_sampled_again(place)) and not place.superseded:
                    place.superseded = True
                    self._images[place.run.traces.size] -= 1
            if not self._fits():
                making = threading.Thread(target=self._make_room, name="hrv-runs")
                making.start()
                self._making_room = making

    def settle(self) -> None:
        """Waits until room has been made."""
        making = self._making_room
        if making is not None:
            making.join()

    @contextlib.contextmanager
    def _settled(self):
        """For who reads or changes what is kept: room has been made, and nobody else is at it."""
        self.settle()
        with self._lock:
            yield

    def known(self, latent: torch.Tensor) -> list[Found[R]] | None:
        """The run and row of each image of a latent (batch, …), if kept runs left them all exactly so."""
        with self._settled():
            found = [self._place(names, row) for row, names in enumerate(_names_asked(latent))]
            return [Found(place.run, row) for place, row in filter(None, found)] if all(found) else None

    def is_gone(self, latent: torch.Tensor) -> bool:
        """Whether an image of a latent is one whose run was forgotten."""
        with self._settled():
            return any(self._forgotten.of(names) is not None for names in _names_asked(latent))

    def find(self, latent: torch.Tensor) -> list[Found[R]]:
        """The run and row of each image of a latent (batch, channel, height, width).

        Raises NoRecording, which says what to connect, and ValueError for a latent without images.
        """
        with self._settled():
            if not self._places:
                raise NoRecording(self.problem or self.nothing)
            if not latent.numel():
                raise ValueError(
                    f"The latent holds no image (its shape is {tuple(latent.shape)}). Connect the latent that comes out of the "
                    "sampler."
                )
            return [
                self._find(names, latent[row : row + 1], row)
                for row, names in enumerate(_names_asked(latent))
            ]

    # -- finding ----------------------------------------------------------------------------------------------

    def _find(self, names: tuple[str, ...], image: torch.Tensor, row: int) -> Found[R]:
        """image: (1, …, height, width), row `row` of a latent."""
        exact = self._place(names, row)
        if exact is not None:
            return self._found(*exact)
        gone = self._forgotten.of(names)
        if gone is not None:
            raise NoRecording(sentences(said(FORGOTTEN, node=self.node), self._why_gone(gone)))
        changed = said(CHANGED, node=self.node)
        looks = Looks(image)
        alike, score = self._most_alike(looks)
        gone = self._forgotten.most_alike(looks, score)
        if gone is not None:
            like = said("It matches an image that is no longer kept.")
            raise NoRecording(sentences(changed, like, self._why_gone(gone)))
        if alike is not None:
            like = said(
                "It matches an image that did ({percent} alike), so that one is used.",
                percent=percent_text(min(score, 0.99)),
            )
            return self._found(*alike, sentences(changed, like))
        only = self._only_one_of(size_of(image)) if image.ndim > 2 else None
        if only is not None and row < len(only.run.traces.names):
            used = said("It matches none of the images that did. The only image of this size is used.")
            return self._found(only, row, sentences(changed, used, self.connect))
        none = said("It matches none of the images that did. Kept are: {sizes}.", sizes=self._sizes())
        raise NoRecording(sentences(changed, none, self.connect))

    def _place(self, names: tuple[str, ...], row: int) -> tuple[_Place[R], int] | None:
        """The run and row that left a latent of one of these names; of equal images in its batch, the one in this row."""
        place, known = next((self._names[name] for name in names if name in self._names), (None, row))
        if place is None:
            return None
        own = place.run.traces.names
        return place, row if row < len(own) and own[row] in names else known

    def _leads_to(self, name: str, place: _Place[R]) -> bool:
        """Of two runs that left the same latent, it leads to the newer."""
        return name in self._names and self._names[name][0] is place

    def _was_sampled_again(self, place: _Place[R]) -> bool:
        names = place.run.traces.names
        return bool(names) and not any(self._leads_to(name, place) for name in names)

    def _found(self, place: _Place[R], row: int, note: str = "") -> Found[R]:
        """Marks the run as used."""
        if place.superseded:
            place.superseded = False
            self._images[place.run.traces.size] += 1
        place.used = self._tick()
        return Found(place.run, row, note)

    def _most_alike(self, looks: Looks) -> tuple[tuple[_Place[R], int] | None, float]:
        """The kept image that this one is most like, if it is like enough, and how much it would have to be, at least."""
        best, found = ALIKE, None
        for place in self._places:
            score, row = looks.like(place.run.traces)
            if score >= best and not place.superseded:
                best, found = score, (place, row)
        return found, best

    def _only_one_of(self, size: Size) -> _Place[R] | None:
        """The only run that there ever was of images of this size."""
        if self._images[size] != 1:
            return None
        return next((p for p in self._places if p.run.traces.size == size and not p.superseded), None)

    def _why_gone(self, gone: Gone) -> str:
        values = {"count": self._added - gone.number - 1, "node": self.node}
        if gone.crowded:
            return sentences(said(CROWDED, **values, most=MAX_RUNS), said(INSTEAD, node=self.node))
        return sentences(
            said(TOO_MANY, **values, limit=self.memory_limit // 2**20), said(INSTEAD, node=self.node)
        )

    def _sizes(self) -> str:
        """How many images of which size are kept, in words."""
        sizes: Counter[Size] = Counter()
        for traces in (place.run.traces for place in self._places):
            if traces.size is not None:
                sizes[traces.size] += len(traces.names)
        parts = [
            f"{number} × {width * LATENT_PIXEL}×{height * LATENT_PIXEL}"
            for (height, width), number in sizes.items()
        ]
        return ", ".join(parts) or "0"

    # -- making room ------------------------------------------------------------------------------------------

    def finest(self, run: R) -> int:
        """Pixels of the finest maps of a run that could be made smaller; 0 where none could."""
        return 0

    def pool(self, run: R, later: int) -> None:
        """Makes the finest maps of a run smaller. later: how many samplings came after it."""

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _make_room(self) -> None:
        """What is superseded is pooled and forgotten before anything else is pooled, and all is pooled before anything else is
        forgotten."""
        with self._lock, torch.inference_mode():
            newest = self._places[-1]
            try:
                while len(self._places) > MAX_RUNS:
                    self._forget(self._oldest(newest), crowded=True)
                while not self._fits():
                    self._make_a_little_room(newest)
            except Exception as error:  # nobody waits for it; the next sampling tries again
                logging.warning(
                    "[HRV] Older recordings could not be made smaller (%s: %s), so they take more memory than memory_limit_mb. The next sampling "
                    "tries again. If memory is short, lower memory_limit_mb in %s.",
                    type(error).__name__,
                    error,
                    self.node,
                )

    def _fits(self) -> bool:
        size = sum(place.run.nbytes for place in self._places)
        return len(self._places) <= MAX_RUNS and (size <= self.memory_limit or len(self._places) < 2)

    def _make_a_little_room(self, newest: _Place[R]) -> None:
        oldest = self._oldest(newest)
        older = [oldest] if oldest.superseded else [p for p in self._places if p is not newest]
        place = max(older, key=lambda p: (self.finest(p.run), -p.used))
        fits = newest.run.nbytes <= self.memory_limit  # else no pooling helps
        if fits and self.finest(place.run):
            self.pool(place.run, self._added - place.number - 1)
        else:
            self._forget(oldest, crowded=False)

    def _oldest(self, newest: _Place[R]) -> _Place[R]:
        older = (place for place in self._places if place is not newest)
        return min(older, key=lambda place: (not place.superseded, place.used))

    def _forget(self, place: _Place[R], crowded: bool) -> None:
        self._places.remove(place)
        traces = place.run.traces
        names = [name for name, _ in _names_of(traces) if self._leads_to(name, place)]
        for name in names:
            del self._names[name]
        self._forgotten.add(Gone(place.number, crowded), names, None if place.superseded else traces)


def _names_of(traces: Traces) -> Iterable[tuple[str, int]]:
    """Every fingerprint of a run's images, with their rows."""
    yield from traces.others.items()
    yield from ((name, row) for row, name in enumerate(traces.names))


def _names_asked(latent: torch.Tensor) -> Iterable[tuple[str, ...]]:
    """For each image of a latent, the fingerprints that it may have been kept under."""
    return zip(*fingerprints_kept(latent), strict=True)
