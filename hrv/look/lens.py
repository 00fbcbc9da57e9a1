"""What Attention Lens does: a compact payload for the browser, and answers to its questions afterwards.

The payload holds the word maps of every image as bytes. Other heads and other parts of the schedule are asked for
later, of a `Lens`, which knows where the recording is without keeping it alive.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ..draw.overlay import as_rgb
from ..heads.selection import HeadSelection
from ..maps.border_peaks import KEPT, Levelling
from ..maps.lookup import (
    asked_targets,
    find_in_run,
    heads_text,
    is_asked,
    notes_of,
    prompts_of,
    targets_of_unit,
)
from ..maps.mask import MASK_THRESHOLD
from ..maps.pairing import pair, warnings_of
from ..maps.refine import REFINE
from ..maps.word_maps import Target, recorded_heads, word_maps
from ..prompt import Prompt, WordNotFound, key, split_names
from ..recording.recording import EVERYTHING, Entry, Match, Recording, Run
from ..relevance.best_maps import ALL, BEST, Choice, best_choices, best_maps
from ..relevance.vectors import PERCENT, HeadRelevance
from ..wording import quoted, said
from .heatmap import Heatmaps, Style, heatmaps
from .lens_maps import PAYLOAD_BYTES, pack, payload_grid

ROLE = "positive"
WORDS_AT_ONCE = 8  # in one answer

LEFT_OUT = "Pinned, but not in the prompt, so left out: {words}."
LEFT_OUT_OF_SOME = "Pinned, but not in the prompt of every image, so left out: {words}."


class LensGone(ValueError):
    """The recording behind a lens is no longer kept."""


@dataclass(frozen=True)
class Sight:
    """One image of a lens: its run (held weakly), its row in it, and each word's places.

    grid: (height, width) of the maps that go to the browser. words: name → ((entry number, columns), …). choices: what each word is
    shown with, empty where all heads are shown. share: one of SHARES; border_peaks: one of BORDER_PEAKS.
    """

    run: weakref.ref[Run]
    element: int
    grid: tuple[int, int]
    words: dict[str, tuple[tuple[int, tuple[int, ...]], ...]]
    choices: dict[str, Choice]
    share: str = EVERYTHING
    border_peaks: str = KEPT

    def match(self) -> Match:
        """Raises LensGone."""
        run = self.run()
        if run is None:
            raise LensGone(
                said(
                    "The recording of this image is no longer kept. Run the workflow again to look at other heads or steps."
                )
            )
        return Match(run, self.element, True, share=self.share)


@dataclass(frozen=True)
class Lens:
    """Everything that a question about one run of the node needs: its images, and vectors where they were
    connected. Takes a few kilobytes beside the vectors."""

    sights: tuple[Sight, ...]
    vectors: HeadRelevance | None = None

    def answer(
        self,
        picture: int,
        words: Sequence[int],
        concept: str | None = None,
        percent: float = PERCENT,
        time_bin: int | None = None,
    ) -> dict:
        """Maps of some words of one image, packed as in the payload, with `source` saying whose attention it is.

        words: positions in the frame's names, at most WORDS_AT_ONCE. concept: average the `percent` of heads most
        relevant to it; None: those that the node shows. time_bin: one part of the schedule; None: all of it.
        Raises LensGone, and ValueError in an artist's words.
        """
        if not 0 <= picture < len(self.sights):
            raise ValueError(f"This run has {len(self.sights)} images; image {picture + 1} was asked for.")
        sight = self.sights[picture]
        match, names = sight.match(), list(sight.words)
        if not 0 < len(words) <= WORDS_AT_ONCE:
            raise ValueError(f"1 to {WORDS_AT_ONCE} words can be asked for at once; these are {len(words)}.")
        if not all(0 <= word < len(names) for word in words):
            raise ValueError(f"The prompt has {len(names)} entries; one beyond them was asked for.")
        if time_bin is not None and not 0 <= time_bin < match.run.parts:
            raise ValueError(
                said(
                    "This recording keeps fewer parts of the schedule apart ({count}). Set `time_bins` in Record Attention to more.",
                    count=match.run.parts,
                )
            )
        heads = self._heads(match, concept, percent)
        entries = _entries_of(match)
        asked = [names[word] for word in words]
        targets = {name: _target(entries, sight.words[name]) for name in asked}
        level = Levelling(sight.border_peaks)
        if heads is None and sight.choices:
            parts = () if time_bin is None else (time_bin,)
            maps, source = best_maps(match, targets, sight.choices, parts, level)[0], said(BEST)
            places = [] if parts else _places(asked, sight.choices)
        else:
            maps = level(list(targets), word_maps(match, list(targets.values()), heads, time_bin))
            places = []
            source = heads_text(match, entries[0], heads)
        maps = maps[[list(targets).index(name) for name in asked]]
        return {**pack(maps, sight.grid), "source": source, "places": places}

    def _heads(self, match: Match, concept: str | None, percent: float) -> HeadSelection | None:
        if concept is None:
            return None
        if self.vectors is None:
            raise ValueError(
                said("Connect vectors to Attention Lens to look through the heads of a concept.")
            )
        self.vectors.check(match.run.layout)
        return self.vectors.select(concept, percent)


@dataclass(frozen=True)
class Look:
    """What one run of the node gives. overlay (n, h, w, 3) and mask (n, h, w) as Attention Heatmap makes them;
    pictures: (picture, height, width, 3), for the browser; payload: what the browser gets beside them; notes: on the prompts."""

    overlay: torch.Tensor
    mask: torch.Tensor
    pictures: torch.Tensor
    payload: dict
    lens: Lens
    notes: list[str]

    @property
    def warnings(self) -> list[str]:
        """In plain words."""
        return self.payload["warnings"]


def look(
    recording: Recording,
    latent: torch.Tensor,
    image: torch.Tensor,
    unit: str = "auto",
    words: str = "",
    *,
    vectors: HeadRelevance | None = None,
    threshold: float = MASK_THRESHOLD,
    concept: str = "",
    percent: float = PERCENT,
    maps: str = ALL,
    share: str = EVERYTHING,
    progress: Callable[[int, int], None] = lambda done, total: None,
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
    refine: str = REFINE[0],
    border_peaks: str = KEPT,
) -> Look:
    """Payload, overlay and mask for the images of a batch.

    latent, image, unit, words, share, progress, prompt_text, tokenize: as `heatmaps` takes them. Without words, overlay is the image itself and
    mask is empty; words that an image's prompt does not have are left out, with a warning. concept: with `vectors`, the
    overlay and mask are those of its heads; "" takes those that `maps` says, one of MAPS. refine: one of REFINE, of the mask.
    border_peaks: one of BORDER_PEAKS.
    Raises NoRecording, WordNotFound for an empty prompt, ValueError.
    """
    matches, pictures = pair(recording, latent, image, share)
    warnings, heads = warnings_of(matches), None
    if vectors is not None:
        vectors.check(matches[0].run.layout)
    if vectors is None and concept.strip():
        warnings.append(
            said(
                "Without vectors, the heads of “{concept}” are not known; all heads are shown.",
                concept=concept.strip(),
            )
        )
    elif vectors is not None and concept.strip():
        heads = vectors.select(concept, percent)
    typed = (prompt_text, tokenize)
    names, missing = _pinned(matches, words, unit, typed)
    if missing:
        one = len({id(match.run) for match in matches}) == 1
        warnings.append(said(LEFT_OUT if one else LEFT_OUT_OF_SOME, words=quoted(missing)))
    frames, sights, room = [], [], PAYLOAD_BYTES
    level = Levelling(border_peaks)
    for number, match in enumerate(matches):
        progress(number, len(matches))
        frame, sight = _frame(match, unit, names, room, best=maps == BEST, level=level, typed=typed)
        room -= len(frame["names"]) * sight.grid[0] * sight.grid[1] if frame["maps"] else 0
        frames.append(frame)
        sights.append(sight)
    if names:
        style = Style(threshold=threshold, refine=refine, border_peaks=border_peaks)
        drawn = heatmaps(
            recording,
            latent,
            ",".join(names),
            unit,
            image=image,
            heads=heads,
            maps=maps,
            role=ROLE,
            style=style,
            share=share,
            prompt_text=prompt_text,
            tokenize=tokenize,
            progress=progress,
        )
        warnings += [one for one in drawn.warnings if one not in warnings]
    else:
        drawn = _nothing_pinned(pictures)
    payload = {
        "version": 1,
        "frames": frames,
        "size": list(image.shape[1:3]),
        "concepts": list(vectors.concepts) if vectors is not None else [],
        "warnings": warnings,
        "asked": {"words": words, "threshold": threshold, "concept": concept, "percent": percent},
    }
    content = dict.fromkeys(
        name for frame in frames for n, name in enumerate(frame["names"]) if n not in frame["fillers"]
    )
    return Look(
        drawn.overlay,
        drawn.mask,
        torch.stack(pictures),
        payload,
        lens=Lens(tuple(sights), vectors),
        notes=notes_of(matches) + level.note(content),
    )


def _pinned(matches: Sequence[Match], words: str, unit: str, typed: tuple) -> tuple[list[str], list[str]]:
    """The names in a words field that every image's prompt has, and the others."""
    names, missing = split_names(words), []
    for match in matches:
        entries = match.run.of_role(ROLE)
        prompts = prompts_of(entries, ROLE, *typed)
        for name in names:
            try:
                find_in_run(name, match.run, entries, prompts, unit)
            except WordNotFound:
                missing.append(name)
    return [n for n in names if n not in missing], list(dict.fromkeys(missing))


def _frame(
    match: Match, unit: str, pinned: Sequence[str], room: int, *, best: bool, level: Levelling, typed: tuple
) -> tuple[dict, Sight]:
    """One image's part of the payload; its maps are left out (None) when they do not fit into `room` bytes."""
    entries = match.run.of_role(ROLE)
    prompts = prompts_of(entries, ROLE, *typed)
    targets = targets_of_unit(entries, prompts, unit)
    if not targets:
        raise WordNotFound(said("The positive prompt is empty."))
    content = targets_of_unit(entries, prompts, unit, fillers=False)
    among = list(content)
    for name, found in asked_targets(match.run, targets).items():
        targets[name] = content[name] = found
    known = {key(name) for name in targets}
    for name in pinned:
        found = find_in_run(name, match.run, entries, prompts, unit)
        if key(name) not in known:
            targets[name] = content[name] = found
            known.add(key(name))
            if not is_asked(found):
                among.append(name)
    numbers = {id(entry): number for number, entry in enumerate(_entries_of(match))}
    words = {
        name: tuple((numbers[id(entry)], columns) for entry, columns in target.places)
        for name, target in targets.items()
    }
    grid = payload_grid(match.run.grid, len(words))
    choices = best_choices(match, targets, among, level=level) if best else {}
    frame = {
        "names": list(words),
        "fillers": [number for number, name in enumerate(words) if name not in content],
        "asked": [number for number, target in enumerate(targets.values()) if is_asked(target)],
        "grid": list(grid),
        "bins": match.run.parts,
        "heads": recorded_heads(entries[0], match.run.layout),
        "source": BEST if best else heads_text(match, entries[0], None),
        "places": _places(targets, choices),
        "evaluations": entries[0].count(),
    }
    if len(words) * grid[0] * grid[1] <= room:
        if best:
            maps = best_maps(match, targets, choices, level=level)[0]
        else:
            maps = level(list(targets), word_maps(match, list(targets.values())))
        frame |= pack(maps, grid)
    else:
        frame |= {"maps": None, "low": [], "high": [], "score": []}
    return frame, Sight(
        weakref.ref(match.run),
        match.element,
        grid,
        words,
        choices=choices,
        share=match.share,
        border_peaks=level.border_peaks,
    )


def _places(names: Iterable[str], choices: Mapping[str, Choice]) -> list[int]:
    """Positions of the words that are compared with the others."""
    return [
        number for number, name in enumerate(names) if name in choices and choices[name].place is not None
    ]


def _entries_of(match: Match) -> list[Entry]:
    """Of the prompt, and of words that are not in it."""
    return [*match.run.of_role(ROLE), *match.run.asked]


def _target(entries: list[Entry], places: tuple[tuple[int, tuple[int, ...]], ...]) -> Target:
    return Target(tuple((entries[number], columns) for number, columns in places))


def _nothing_pinned(pictures: list[torch.Tensor]) -> Heatmaps:
    plain = torch.stack([as_rgb(picture) for picture in pictures])
    empty = torch.zeros(plain.shape[:3])
    return Heatmaps(overlay=plain, heat=empty, mask=empty, words=[], summary="", warnings=[])
