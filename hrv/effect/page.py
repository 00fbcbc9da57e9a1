"""What is shown of effects: where each word's change falls, bars sorted by share, and the words that can go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..draw.overlay import Caption, Strips, overlay
from ..maps.bicubic import resize
from ..maps.mask import threshold_mask
from ..maps.normalize import normalize_maps
from ..maps.pairing import beside, drawn_size
from .effect import Effects

IDLE = 0.003
"""Share of the whole prompt's effect below which a word can go (docs/formulas.md, "What each word did")."""
BAR = 20  # characters of the longest bar


@dataclass(frozen=True)
class Look:
    """How the change is drawn over the image; the fields are the inputs of the node."""

    normalize: str = "shared"
    threshold: float = 0.4
    alpha: float = 0.6
    colormap: str = "turbo"
    caption: bool = True


@dataclass(frozen=True)
class Shown:
    """overlay: (n, height + strip, width, 3); heat, mask: (n, height, width), 0 to 1; words: n names, image by image, strongest
    first; report: Markdown; data: JSON; text: what the node says."""

    overlay: torch.Tensor
    heat: torch.Tensor
    mask: torch.Tensor
    words: list[str]
    report: str
    data: str
    text: str

    @property
    def outputs(self) -> tuple:
        """In the order of the node's."""
        return self.overlay, self.heat, self.mask, self.words, self.report, self.data


def show_effects(
    found: list[Effects], latent: torch.Tensor, image: torch.Tensor | None, look: Look, instead: str = ""
) -> Shown:
    """found: of each image of the latent (batch, channel, …, height, width), with at least one word. image: (batch, height, width,
    channel) or None. instead: the words that took each word's place. Raises ValueError for an image that is not of this latent."""
    found, images = beside(found, latent, image)
    size = drawn_size(latent, image)
    ordered = [_strongest_first(effects) for effects in found]
    rows = [
        (effects, place, image)
        for effects, image in zip(ordered, images, strict=True)
        for place in range(len(effects.names))
    ]
    captions = [_caption(effects, place) for effects, place, _ in rows]
    strips = Strips(captions, size, look.colormap) if look.caption else None
    overlays = torch.empty(len(rows), size[0] + (strips.height if strips else 0), size[1], 3)
    heat, mask = torch.empty(len(rows), *size), torch.empty(len(rows), *size)
    for row, (effects, place, image) in enumerate(rows):
        large = resize(effects.maps[place : place + 1], size).clamp(min=0)
        mask[row] = threshold_mask(large, look.threshold)[0]
        heat[row] = normalize_maps(large, look.normalize, float(effects.maps.max()))[0]
        overlay(image, heat[row], look.alpha, look.colormap, out=overlays[row, : size[0]])
        if strips is not None:
            strips.draw(captions[row], overlays[row, size[0] :])
    return Shown(
        overlays,
        heat=heat,
        mask=mask,
        words=[effects.names[place] for effects, place, _ in rows],
        report=_report(ordered, instead),
        data=_data(ordered, instead),
        text=_text(ordered, instead),
    )


def percent(share: float) -> str:
    """A share of the whole prompt's effect: `12 %`, `0.4 %`, `0 %`."""
    value = 100 * share
    return (
        "0 %"
        if value == 0
        else "< 0.1 %"
        if value < 0.1
        else f"{value:.1f} %"
        if value < 10
        else f"{value:.0f} %"
    )


def _strongest_first(effects: Effects) -> Effects:
    order = sorted(range(len(effects.names)), key=lambda place: -float(effects.shares[place]))
    return Effects(
        tuple(effects.names[place] for place in order),
        effects.shares[order],
        effects.maps[order],
        effects.whole,
    )


def _caption(effects: Effects, place: int) -> Caption:
    share = float(effects.shares[place])
    note = "does nothing here, can go" if share < IDLE else "of what the whole prompt changes"
    return Caption(
        f"{effects.names[place]} · {percent(share)}",
        0.0,
        float(effects.maps.max()),
        mark=float(effects.maps[place].max()),
        note=note,
        source="",
        ends=("no change", "most"),
    )


def _idle(effects: Effects) -> list[str]:
    return [name for name, share in zip(effects.names, effects.shares.tolist(), strict=True) if share < IDLE]


def _text(found: Sequence[Effects], instead: str) -> str:
    """One line, and the words that can go."""
    first = found[0]
    strongest = f"“{first.names[0]}” did most ({percent(float(first.shares[0]))})"
    if instead:
        return f"with “{instead}” instead: {strongest.replace('did', 'changes')}"
    idle = _idle(first)
    return f"{strongest}. Do nothing here, can go: {', '.join(idle)}." if idle else f"{strongest}."


def _report(found: Sequence[Effects], instead: str) -> str:
    lines = []
    for number, effects in enumerate(found, 1):
        if len(found) > 1:
            lines += [f"## Image {number}", ""]
        what = f"with “{instead}” instead" if instead else "left out"
        lines += [f"| word {what} | changes | |", "|---|---:|---|"]
        longest = max(float(effects.shares.max()), 1e-9)
        for name, share in zip(effects.names, effects.shares.tolist(), strict=True):
            bar = "█" * max(0, round(BAR * share / longest))
            lines.append(f"| {_cell(name)} | {percent(share)} | {bar or ('–' if share < IDLE else '▏')} |")
        idle = _idle(effects)
        if idle and not instead:
            lines += ["", f"Do nothing here, can go: {', '.join(_cell(name) for name in idle)}."]
        lines.append("")
    lines.append(
        "How far the image moves when a word is exchanged, beside leaving the whole prompt out (100 %)."
        if instead
        else "How far the image moves when a word is left out, beside leaving the whole prompt out (100 %). Words work together, so the "
        "shares need not add up."
    )
    return "\n".join(lines)


def _cell(name: str) -> str:
    return name.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def _data(found: Sequence[Effects], instead: str) -> str:
    pictures = [
        {
            "whole": effects.whole,
            "words": [
                {"name": name, "effect": share * effects.whole, "share": share}
                for name, share in zip(effects.names, effects.shares.tolist(), strict=True)
            ],
        }
        for effects in found
    ]
    return json.dumps(
        {"pictures": pictures} | ({"replace_with": instead} if instead else {}), ensure_ascii=False
    )
