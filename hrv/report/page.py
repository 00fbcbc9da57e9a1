"""The page that Prompt Report draws: the image, who got which modifier, what stands out, and every word's heat.

Nothing is written on the image itself. Pages are uint8 (height, width, RGB), WIDTH pixels wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageDraw

from ..draw import text
from ..draw.overlay import BACKGROUND, HOT, INK, QUIET_INK, color_table, overlay
from ..maps.bicubic import resize
from ..maps.mask import threshold_mask
from ..maps.normalize import normalize_maps
from ..wording import share_text
from .binding import Bond
from .evidence import Evidence, WordFacts
from .finding import Finding, gathers

WIDTH = 1280
PAD, GAP = 24, 16
LARGE, SAID, BODY, SMALL = 24, 22, 18, 14
BAND_WIDTH, BAND_HEIGHT = 372, 560  # most that the image takes
ALPHA, OUTLINE = 0.6, 0.5  # of the heat; where a noun's outline runs between its lowest and highest heat
NOUNS = 4  # outlined at most: more could not be told apart
# Okabe and Ito 2008: told apart by colour-blind eyes too
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167))
ALL_WELL = "As far as the attention shows, no word was ignored and no two things were mixed up."
ALARM, BAR, TRACK = (190, 30, 30), (90, 90, 98), (226, 226, 230)


@dataclass(frozen=True)
class Page:
    """What one page shows. picture: float32 (height, width, RGB), 0 to 1; peak: the largest value over all words of
    the prompt, top of the shared scale; filler: strength of the filler words, None without any; all_well: said where there is no
    finding."""

    picture: torch.Tensor
    evidence: Evidence
    findings: Sequence[Finding]
    bonds: Sequence[Bond]
    peak: float
    filler: float | None
    title: str
    footnote: str
    all_well: str = ALL_WELL


def draw_pages(pages: Sequence[Page]) -> torch.Tensor:
    """Pages of one size, (page, height, WIDTH, 3), 0 to 1."""
    drawn = [np.asarray(_draw(page)) for page in pages]
    height = max(len(d) for d in drawn)
    paper = np.empty((len(drawn), height, WIDTH, 3), np.uint8)
    paper[:] = BACKGROUND
    for row, one in zip(paper, drawn, strict=True):
        row[: len(one)] = one
    return torch.from_numpy(paper.astype(np.float32) / 255)


def columns_for(words: int) -> int:
    """How many words stand side by side."""
    for columns, most in ((4, 4), (6, 12), (8, 48)):
        if words <= most:
            return columns
    return 10


def _draw(page: Page) -> Image.Image:
    words = sorted(page.evidence.content, key=lambda word: -word.strength)
    band, band_height = _band(page)
    columns = columns_for(len(words))
    width = (WIDTH - 2 * PAD - GAP * (columns - 1)) // columns
    picture_height = max(1, round(width * page.picture.shape[0] / page.picture.shape[1]))
    if picture_height > 2 * width:
        picture_height = 2 * width
    caption = SMALL * 3 + 16
    rows = -(-len(words) // columns)
    top = PAD + band_height + PAD
    heading = LARGE + GAP if words else 0
    height = top + heading + rows * (picture_height + caption + GAP) + SMALL * 2 + 2 * PAD
    paper = Image.new("RGB", (WIDTH, height), BACKGROUND)
    band(paper, PAD)
    pen = ImageDraw.Draw(paper)
    if words:
        said = "The words, most strongly drawn first. One scale for all: a dark word was hardly looked at."
        text.write(pen, (PAD, top), said, size=BODY, ink=INK, room=WIDTH - 2 * PAD)
    marks = marks_of(page.evidence, page.findings)
    small = fit(page.picture, (picture_height, width))
    for number, word in enumerate(words):
        x = PAD + (number % columns) * (width + GAP)
        y = top + heading + (number // columns) * (picture_height + caption + GAP)
        heat = normalize_maps(resize(word.map[None], (picture_height, width)), "shared", page.peak)[0]
        _paste(paper, overlay(small, heat, ALPHA, "turbo", tint=HOT), (x, y))
        _caption(
            pen,
            (x, y + picture_height + 6),
            width=width,
            word=word,
            most=words[0].strength,
            filler=page.filler,
            marks=marks,
        )
    _scale(paper, pen, height - PAD - SMALL * 2, page)
    return paper


def marks_of(evidence: Evidence, findings: Sequence[Finding]) -> dict[str, str]:
    """What stands beside the numbers of an entry that findings name."""
    marks: dict[str, str] = {}
    listed = {entry.name for entry in evidence.entries}
    for finding in (single for cause in findings for single in cause.details):
        named = finding.words if finding.kind in ("shared place", "late part") else finding.words[:1]
        for place, word in enumerate(named):
            noun = finding.nouns[place] if place < len(finding.nouns) else word
            of_noun = evidence.entry_of.get(word, evidence.entry_of.get(noun))
            marks.setdefault(word if word in listed else of_noun or word, finding.mark(word))
    return marks


def _caption(
    pen, place, *, width: int, word: WordFacts, most: float, filler: float | None, marks: dict
) -> None:
    x, y = place
    mark = marks.get(word.name)
    text.write(pen, (x, y), word.name, size=SMALL + 2, ink=ALARM if mark else INK, room=width)
    y += SMALL + 7
    pen.rectangle((x, y, x + width - 1, y + 4), fill=TRACK)
    if most > 0:
        pen.rectangle((x, y, x + max(1, round((width - 1) * word.strength / most)), y + 4), fill=BAR)
        if filler is not None and filler <= most:
            at = x + round((width - 1) * filler / most)
            pen.rectangle((at, y - 2, at + 1, y + 6), fill=INK)
    numbers = share_text(word.strength)
    text.write(pen, (x, y + 8), numbers, size=SMALL, ink=QUIET_INK, room=width)
    if mark:
        room = width - text.width(numbers, SMALL) - 6
        text.write(pen, (x + width, y + 8), mark, size=SMALL, ink=ALARM, room=room, align="right")


def _scale(paper, pen, y: int, page: Page) -> None:
    """The colour bar of the shared scale, and what the other marks mean."""
    width = 220
    steps = torch.linspace(0, 255, width).round().long()
    _paste(paper, color_table("turbo")[steps].expand(SMALL, width, 3), (PAD, y))
    text.write(pen, (PAD, y + SMALL + 4), "0 %", size=SMALL, ink=QUIET_INK, room=60)
    text.write(
        pen,
        (PAD + width, y + SMALL + 4),
        share_text(page.peak),
        size=SMALL,
        ink=QUIET_INK,
        room=120,
        align="right",
    )
    notes = "Bars and numbers: attention in the tenth of the image where the word gets the most."
    if page.filler is not None:
        notes += " Line across the bars: what filler words get."
    room = WIDTH - 2 * PAD - width - GAP
    text.write(pen, (PAD + width + GAP, y - 2), notes, size=SMALL, ink=QUIET_INK, room=room)
    text.write(pen, (PAD + width + GAP, y + SMALL + 4), page.footnote, size=SMALL, ink=QUIET_INK, room=room)


def _band(page: Page):
    """(function that draws the upper part at a height, how high it is): image, outlines, what stands out."""
    height, width = page.picture.shape[:2]
    scale = min(BAND_WIDTH / width, BAND_HEIGHT / height)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    picture, nouns = fit(page.picture, size), _nouns_to_outline(page)
    pictures = [picture, *([_who_got_what(page, picture, nouns)] if len(nouns) > 1 else [])]
    left = PAD + len(pictures) * (size[1] + GAP)
    column = _lines(page, nouns if len(nouns) > 1 else [], WIDTH - PAD - left)

    def draw(paper: Image.Image, top: int) -> None:
        pen = ImageDraw.Draw(paper)
        for number, one in enumerate(pictures):
            _paste(paper, one, (PAD + number * (size[1] + GAP), top))
        y = top
        for line in column:
            if line.swatch is not None:
                pen.rectangle((left, y + 3, left + 14, y + 17), fill=line.swatch)
            indent = 24 if line.swatch is not None else 0
            text.write(
                pen,
                (left + indent, y),
                line.words,
                size=line.size,
                ink=line.ink,
                room=WIDTH - PAD - left - indent,
            )
            y += line.height

    return draw, max(size[0], sum(line.height for line in column))


@dataclass(frozen=True)
class _Line:
    words: str
    size: int = BODY
    ink: tuple[int, int, int] = INK
    swatch: tuple[int, int, int] | None = None
    after: int = 0

    @property
    def height(self) -> int:
        return round(self.size * 1.35) + self.after


def _lines(page: Page, nouns: list[WordFacts], room: int) -> list[_Line]:
    lines = [_Line(page.title, LARGE, after=6)]
    for finding in page.findings:
        lines += [_Line(one, SAID, ALARM) for one in text.wrap(finding.headline, SAID, room)]
        tip = [_Line(one, BODY) for one in text.wrap(f"Try: {finding.tip.replace('`', '')}", BODY, room)]
        lines += [*tip[:-1], replace(tip[-1], after=8)]
    if not page.findings:
        lines += [_Line(one) for one in text.wrap(page.all_well, BODY, room)]
    if nouns:
        lines.append(_Line("", SMALL))
        lines.append(_Line("Who got what", LARGE, after=6))
    for noun, colour in zip(nouns, COLOURS, strict=False):
        said = [bond.modifier for bond in page.bonds if bond.holder == noun.name]
        strangers = {bond.modifier for bond in page.bonds if bond.holder == noun.name != bond.noun}
        place = "" if gathers(page.evidence, noun) else " (no clear location)"
        words = page.evidence.thing(noun.name) + place + (f": {', '.join(said)}" if said else "")
        lines.append(_Line(words, BODY, ALARM if strangers or place else INK, colour))
    return lines


def _nouns_to_outline(page: Page) -> list[WordFacts]:
    """The nouns whose outlines are drawn: those that findings name, then those with modifiers, then the strongest."""
    named = {noun for finding in page.findings for single in finding.details for noun in single.nouns}
    bound = {bond.noun for bond in page.bonds}
    order = sorted(page.evidence.nouns, key=lambda n: (n.name not in named, n.name not in bound, -n.strength))
    chosen = {noun.name for noun in order[:NOUNS]}
    return [noun for noun in page.evidence.nouns if noun.name in chosen]


def _who_got_what(page: Page, picture: torch.Tensor, nouns: list[WordFacts]) -> torch.Tensor:
    """The image, paler, with a line around the place of each noun that has one."""
    coloured = [
        (noun, colour) for noun, colour in zip(nouns, COLOURS, strict=False) if gathers(page.evidence, noun)
    ]
    return with_outlines(picture, coloured)


def with_outlines(
    picture: torch.Tensor, words: Sequence[tuple[WordFacts, tuple[int, int, int]]]
) -> torch.Tensor:
    """The image, paler, with a line in this colour around the place of each word."""
    import cv2

    paper = np.ascontiguousarray(((0.45 * picture + 0.55) * 255).round().to(torch.uint8).numpy())
    for word, colour in words:
        mask = threshold_mask(resize(word.map[None], tuple(picture.shape[:2])), OUTLINE)[0]
        lines, _ = cv2.findContours(mask.to(torch.uint8).numpy(), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(paper, lines, -1, colour, 3, cv2.LINE_AA)
    return torch.from_numpy(paper.astype(np.float32) / 255)


def fit(picture: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The image at (height, width), averaged when it gets smaller."""
    import cv2

    shrinks = size[0] < picture.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return torch.from_numpy(cv2.resize(picture.numpy(), size[::-1], interpolation=how)).clamp(0, 1)


def _paste(paper: Image.Image, part: torch.Tensor, place: tuple[int, int]) -> None:
    paper.paste(Image.fromarray((part * 255).round().to(torch.uint8).numpy()), place)
