"""What is shown of a model change: where it falls on each image, how far the image moves, and which words it falls on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..draw.overlay import Caption, Strips
from ..effect.effect import ModelChange, area_of_half
from ..maps.bicubic import resize
from ..maps.lookup import targets_of_unit
from ..maps.mask import MASK_THRESHOLD, threshold_mask
from ..maps.pairing import beside, drawn_size
from ..maps.word_maps import word_maps
from ..recording.recording import Match, NoRecording, Recording
from ..wording import escaped, quoted, said, share_text
from .heatmap_memory import Order
from .tiles import Label, Style, Tile, draw, panel

STRONGER = 1.2  # how many times the mean change a word's place must get to be named
NAMED = 3  # words in the node's sentence


@dataclass(frozen=True)
class Shown:
    """overlay: (image, height + strip, width, 3); heat, mask: (image, height, width), 0 to 1; report: Markdown; text: what the node
    says; panel: what the page shows in the node; warnings: in plain words."""

    overlay: torch.Tensor
    heat: torch.Tensor
    mask: torch.Tensor
    report: str
    text: str
    panel: dict
    warnings: list[str]

    @property
    def outputs(self) -> tuple:
        """In the order of the node's."""
        return self.overlay, self.heat, self.mask, self.report


@dataclass(frozen=True)
class _Place:
    """A word. share: part of the change that falls on its mask; times: how strong the change is there, beside the mean."""

    name: str
    share: float
    times: float


def show_change(
    changes: list[ModelChange],
    recording: Recording,
    latent: torch.Tensor,
    image: torch.Tensor | None,
    style: Style,
    *,
    free_memory: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Shown:
    """changes: of each image of the latent (batch, channel, …, height, width). image: (batch, height, width, channel) or None.
    Raises ValueError for an image that is not of this latent, and for what does not fit."""
    places = [_places(match, one) for match, one in zip(_matches(recording, latent), changes, strict=True)]
    found, images = beside(list(zip(changes, places, strict=True)), latent, image)
    size = drawn_size(latent, image)
    tiles = [
        Tile("change", one.map[None], float(one.map.max()), picture, [_caption(one)] if style.caption else [])
        for (one, _), picture in zip(found, images, strict=True)
    ]
    order = Order(
        words=[1] * len(tiles),
        parts=[1] * len(tiles),
        size=size,
        strip=Strips([], size, style.colormap).tallest if style.caption else 0,
        typed=True,
    )
    warning = order.check(free_memory)
    overlay, heat, mask = draw(tiles, order, style, progress)
    labels = [
        Label(_around(places) or said("this change"), one.amount, number, idle=one.amount == 0)
        for number, (one, places) in enumerate(found)
    ]
    peaks = [one.amount for one, _ in found]
    return Shown(
        overlay,
        heat,
        mask,
        report=_report(found),
        text=_text(*found[0]),
        panel=panel(labels, overlay, size[0], style, kind="effect", peaks=peaks),
        warnings=[warning] if warning else [],
    )


def _matches(recording: Recording, latent: torch.Tensor) -> list[Match | None]:
    """Each image's run, if its attention was recorded."""
    try:
        return list(recording.match(latent))
    except NoRecording:
        return [None] * len(recording.match_paths(latent))


def _places(match: Match | None, found: ModelChange) -> list[_Place]:
    """The words of the prompt by where they lie, the one with most of the change first."""
    if match is None or found.amount == 0:
        return []
    entries = match.run.of_role("positive")
    prompts = [entry.prompt for entry in entries]
    if not any(prompts):
        return []
    targets = targets_of_unit(entries, prompts, "words", fillers=False)
    masks = threshold_mask(resize(word_maps(match, list(targets.values())), found.map.shape), MASK_THRESHOLD)
    total = float(found.map.sum())
    listed = []
    for name, mask in zip(targets, masks, strict=True):
        share, area = float((found.map * mask).sum()) / total, float(mask.mean())
        listed.append(_Place(name, share, share / area if area else 0.0))
    return sorted(listed, key=lambda place: -place.times)


def _caption(found: ModelChange) -> Caption:
    nothing = found.amount == 0
    return Caption(
        "nothing changes" if nothing else f"moves the image by {share_text(found.amount)}",
        0.0,
        float(found.map.max()),
        mark=None,
        note="" if nothing else f"half of it in {area_of_half(found.map):.0%} of the area",
        source="",
        ends=("no change", "most"),
    )


def _around(places: Sequence[_Place]) -> str:
    """The words whose places change most."""
    return quoted([place.name for place in places[:NAMED] if place.times >= STRONGER])


def _text(found: ModelChange, places: Sequence[_Place]) -> str:
    if found.amount == 0:
        return "This change does nothing in this image."
    half = f"{area_of_half(found.map):.0%} of the area"
    told = f"This change moves the image by {share_text(found.amount)}, half of it in {half}"
    strong = _around(places)
    return f"{told}, most around {strong}." if strong else f"{told}."


def _report(found: Sequence[tuple[ModelChange, list[_Place]]]) -> str:
    lines = []
    for number, (one, places) in enumerate(found, 1):
        lines += [f"## Image {number}", ""] if len(found) > 1 else []
        lines += [_text(one, places), ""]
        if one.amount and len(one.by_moment) > 1:
            moments = ", ".join(share_text(amount) for amount in one.by_moment)
            lines += [f"From the first of the steps that were asked to the last: {moments}.", ""]
        if places:
            lines += ["| where the word lies | of the change | times the mean |", "|---|---:|---:|"]
            lines += [
                f"| {escaped(place.name)} | {share_text(place.share)} | {place.times:.1f} |"
                for place in places
            ]
            lines.append("")
    lines.append(
        "100 % would be as far as from the image to a flat one of its mean colour. Words lie over one another, so their shares need not "
        "add up."
    )
    return "\n".join(lines)
