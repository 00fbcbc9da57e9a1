"""What is shown of effects: where each word's change falls, bars sorted by share, and the words that can go."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..draw.overlay import Caption, Strips
from ..effect.effect import IDLE, Effects
from ..maps.pairing import beside, drawn_size
from ..wording import escaped, share_text
from .heatmap_memory import Order
from .tiles import Label, Style, Tile, draw, panel

BAR = 20  # characters of the longest bar


@dataclass(frozen=True)
class Shown:
    """overlay: (n, height + strip, width, 3); heat, mask: (n, height, width), 0 to 1; words: n names, image by image, strongest
    first; report: Markdown; data: JSON; text: what the node says; warnings: in plain words; panel: what the page shows in the node."""

    overlay: torch.Tensor
    heat: torch.Tensor
    mask: torch.Tensor
    words: list[str]
    report: str
    data: str
    text: str
    warnings: list[str]
    panel: dict

    @property
    def outputs(self) -> tuple:
        """In the order of the node's."""
        return self.overlay, self.heat, self.mask, self.words, self.report, self.data


def show_effects(
    found: list[Effects],
    latent: torch.Tensor,
    image: torch.Tensor | None,
    style: Style,
    instead: str = "",
    *,
    typed: bool = False,
    free_memory: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Shown:
    """found: of each image of the latent (batch, channel, …, height, width), with at least one word. image: (batch, height, width,
    channel) or None. instead: the words that took each word's place. typed: whether the words were asked for by name. free_memory:
    bytes, where they are known. Raises ValueError for an image that is not of this latent, and for what does not fit."""
    found, images = beside(found, latent, image)
    size = drawn_size(latent, image)
    ordered = [_strongest_first(effects) for effects in found]
    tiles = [
        Tile(
            name,
            effects.maps[place : place + 1],
            float(effects.maps.max()),
            picture,
            [_caption(effects, place)] if style.caption else [],
        )
        for effects, picture in zip(ordered, images, strict=True)
        for place, name in enumerate(effects.names)
    ]
    order = Order(
        words=[len(effects.names) for effects in ordered],
        parts=[1] * len(ordered),
        size=size,
        strip=Strips([], size, style.colormap).tallest if style.caption else 0,
        typed=typed,
    )
    warning = order.check(free_memory)
    overlays, heat, mask = draw(tiles, order, style, progress)
    return Shown(
        overlays,
        heat=heat,
        mask=mask,
        words=[tile.name for tile in tiles],
        report=_report(ordered, instead),
        data=_data(ordered, instead),
        text=_text(ordered, instead),
        warnings=[warning] if warning else [],
        panel=panel(
            [
                Label(name, share, number, idle=not instead and share < IDLE)
                for number, effects in enumerate(ordered)
                for name, share in zip(effects.names, effects.shares.tolist(), strict=True)
            ],
            overlays,
            size[0],
            style,
            kind="effect",
            peaks=[float(effects.shares.max()) for effects in ordered],
        ),
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
        f"{effects.names[place]} · {share_text(share)}",
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
    if instead:
        return f"With “{instead}” in its place, “{first.names[0]}” changes most ({share_text(float(first.shares[0]))})."
    strongest = f"“{first.names[0]}” did most ({share_text(float(first.shares[0]))})"
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
            lines.append(
                f"| {escaped(name)} | {share_text(share)} | {bar or ('–' if share < IDLE else '▏')} |"
            )
        idle = _idle(effects)
        if idle and not instead:
            lines += ["", f"Do nothing here, can go: {', '.join(escaped(name) for name in idle)}."]
        lines.append("")
    lines.append(
        "100 % is how far the image moves when the whole prompt is left out."
        if instead
        else "100 % is how far the image moves when the whole prompt is left out. Words work together, so the shares need not add up."
    )
    return "\n".join(lines)


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
