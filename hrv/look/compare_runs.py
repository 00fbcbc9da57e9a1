"""What Compare Two Recordings does: the words that two recorded images share, and what became of each.

All maps are in shares of attention, so that two runs can be set against each other; formulas in docs/formulas.md, "Two recordings".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..heads.selection import HeadSelection
from ..maps.bicubic import resize
from ..maps.lookup import find_word, prompts_of, targets_of_unit
from ..maps.mask import MASK_THRESHOLD, threshold_mask
from ..maps.pairing import drawn_size, pair, warnings_of
from ..maps.word_maps import Target, word_maps
from ..prompt import WordNotFound, key, split_names
from ..recording.recording import Match, Recording
from ..runs.latents import same_shape
from ..wording import escaped, said, share_text

ROLE = "positive"
FADED, GREW = 0.5, 2.0  # strength in B over that in A
MOVED = 0.1  # of the image's width or height
FIRST_ONLY = said(
    "Only the first image of each batch is compared. To compare another, pick it with Latent From Batch and Image From Batch."
)


@dataclass(frozen=True)
class Side:
    """One of the two: recording, latent (batch, channel, h, w), and image (batch, height, width, channel) or None."""

    recording: Recording
    latent: torch.Tensor
    image: torch.Tensor | None = None


@dataclass(frozen=True)
class Change:
    """One word in both. a, b: its maps, (height, width), on one grid, in shares of attention.

    strength: of each, max − min. moved: (right, down) of the middle of its mask, in parts of the image's width and height.
    """

    name: str
    a: torch.Tensor
    b: torch.Tensor
    strength: tuple[float, float]
    moved: tuple[float, float]

    @property
    def difference(self) -> torch.Tensor:
        """B − A."""
        return self.b - self.a

    @property
    def size(self) -> float:
        """The largest difference at any place, in shares of attention."""
        return float(self.difference.abs().max())

    @property
    def what(self) -> str:
        """faded, grew, moved or stayed; "moved" may come with the others, which go first."""
        before, after = self.strength
        if after < FADED * before:
            return "faded"
        if after > GREW * before:
            return "grew"
        return "moved" if max(map(abs, self.moved)) > MOVED else "stayed"

    @property
    def sentence(self) -> str:
        before, after = map(share_text, self.strength)
        numbers = f"its strongest place stands out by {before} of attention in A, {after} in B"
        return f"“{self.name}” {self._course}: {numbers}."

    @property
    def note(self) -> str:
        """The sentence in a few words, without the name."""
        return f"{self._course}, {' → '.join(map(share_text, self.strength))}"

    @property
    def _course(self) -> str:
        where = _direction(*self.moved)
        beside = f" and moved {where}" if where else ""
        return {
            "faded": f"faded{beside}",
            "grew": f"grew stronger{beside}",
            "moved": f"moved {where}",
            "stayed": "stayed where it was",
        }[self.what]


@dataclass(frozen=True)
class Compared:
    """changes: the largest first. only_a, only_b: words that one prompt alone has. size: (height, width) of B's image."""

    changes: list[Change]
    only_a: list[str]
    only_b: list[str]
    pictures: tuple[torch.Tensor | None, torch.Tensor | None]
    size: tuple[int, int]
    warnings: list[str]

    @property
    def scale(self) -> float:
        """The largest difference of any word."""
        return max(change.size for change in self.changes)

    @property
    def masks(self) -> torch.Tensor:
        """|B − A| of every word, 0 to 1 on one scale, at `size`: (word, height, width)."""
        maps = torch.stack([change.difference.abs() for change in self.changes])
        return (resize(maps, self.size) / (self.scale or 1.0)).clamp(0, 1)

    @property
    def report(self) -> str:
        """Markdown."""
        lines = [f"- {escaped(change.sentence)}" for change in self.changes]
        for name, words in (("A", self.only_a), ("B", self.only_b)):
            if words:
                lines.append(f"- Only in {name}’s prompt: {escaped(', '.join(words))}.")
        return "\n".join(lines)

    @property
    def data(self) -> str:
        """JSON: {"words": [{"name", "change", "strength_a", "strength_b", "moved_right", "moved_down", "difference"}], "only_a", "only_b"}"""
        words = [
            {
                "name": change.name,
                "change": change.what,
                "strength_a": change.strength[0],
                "strength_b": change.strength[1],
                "moved_right": change.moved[0],
                "moved_down": change.moved[1],
                "difference": change.size,
            }
            for change in self.changes
        ]
        return json.dumps({"words": words, "only_a": self.only_a, "only_b": self.only_b}, ensure_ascii=False)


def compare_recordings(
    a: Side,
    b: Side,
    words: str = "",
    unit: str = "auto",
    *,
    heads: HeadSelection | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Compared:
    """The first image of each side. words: names split by commas or line ends, which both prompts must have; empty: every entry by
    `unit` that both have, filler words left out. heads: None averages all heads of each model.

    Raises NoRecording, WordNotFound, ValueError, all in plain words.
    """
    found, pictures = [], []
    for side in (a, b):
        matches, images = pair(side.recording, side.latent, side.image)
        found.append(matches)
        pictures.append(images[0])
    first, second = found[0][0], found[1][0]
    if not same_shape(first.run.grid, second.run.grid):
        shapes = " and ".join(f"{grid[1]}×{grid[0]}" for grid in (first.run.grid, second.run.grid))
        raise ValueError(
            f"The two images have different shapes (grids of {shapes}), so no place of one is a place of the other. Compare images of "
            "the same aspect ratio."
        )
    targets, only = _targets((first, second), words, unit)
    grid = max((match.run.grid for match in (first, second)), key=lambda grid: grid[0] * grid[1])
    maps = []
    for number, (match, own) in enumerate(zip((first, second), targets, strict=True)):
        progress(number, 2)
        maps.append(resize(word_maps(match, list(own.values()), heads), grid).clamp(min=0))
    progress(2, 2)
    changes = [change(name, one, other) for name, one, other in zip(targets[0], *maps, strict=True)]
    warnings = warnings_of([first, second])
    if any(len(matches) > 1 for matches in found):
        warnings.append(FIRST_ONLY)
    changes.sort(key=lambda one: -one.size)
    size = drawn_size(b.latent, b.image)
    return Compared(changes, *only, pictures=(pictures[0], pictures[1]), size=size, warnings=warnings)


def change(name: str, a: torch.Tensor, b: torch.Tensor) -> Change:
    """a, b: maps of a word, (height, width), in shares of attention."""
    strength = (float(a.max() - a.min()), float(b.max() - b.min()))
    (before, after) = map(_middle, (a, b))
    moved = (0.0, 0.0) if before is None or after is None else (after[0] - before[0], after[1] - before[1])
    return Change(name, a, b, strength, moved)


def _targets(
    matches: tuple[Match, Match], words: str, unit: str
) -> tuple[tuple[dict[str, Target], dict[str, Target]], tuple[list[str], list[str]]]:
    """(the words to compare with their places in each, by the same names; the words that only one prompt has)"""
    entries = [match.run.of_role(ROLE) for match in matches]
    prompts = [prompts_of(own, ROLE) for own in entries]
    names = split_names(words)
    if names:
        found = [
            {name: find_word(name, own, texts, unit) for name in names}
            for own, texts in zip(entries, prompts, strict=True)
        ]
        return (found[0], found[1]), ([], [])
    listed = [
        {
            key(name): (name, target)
            for name, target in targets_of_unit(own, texts, unit, fillers=False).items()
        }
        for own, texts in zip(entries, prompts, strict=True)
    ]
    common = [same for same in listed[0] if same in listed[1]]
    if not common:
        raise WordNotFound(
            "The two prompts have no word in common, so there is nothing to compare. Type words that both have into `words`, or "
            "compare images of similar prompts."
        )
    shared = [{listed[0][same][0]: own[same][1] for same in common} for own in listed]
    only = [
        [name for same, (name, _) in own.items() if same not in other]
        for own, other in (listed, listed[::-1])
    ]
    return (shared[0], shared[1]), (only[0], only[1])


def _middle(map: torch.Tensor) -> tuple[float, float] | None:
    """(x, y) of the middle of a map's mask, in parts of width and height; None of a flat map."""
    mask = threshold_mask(map[None], MASK_THRESHOLD)[0]
    if not mask.any():
        return None
    rows, columns = mask.nonzero().float().add(0.5).mean(0).tolist()
    return columns / map.shape[1], rows / map.shape[0]


def _direction(right: float, down: float) -> str:
    """“to the right and down”, or nothing for less than MOVED."""
    sideways = "" if abs(right) <= MOVED else "to the right" if right > 0 else "to the left"
    upright = "" if abs(down) <= MOVED else "down" if down > 0 else "up"
    return " and ".join(part for part in (sideways, upright) if part)
