"""The steering of one sampling while it runs: which rows and tokens are steered, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..hrv.layout import Layout
from ..hrv.prompt import Prompt
from ..hrv.steering import Steering, TokenFactors, missing_words, scale_values, token_factors
from .clip_trace import TextRegistry
from .following import Following
from .rows import POSITIVE, Owner

STEERED_ROWS = "hrv_steered_rows"
"""Where transformer_options hold the `SteeredRows` of a call, for a recorder that wants them."""
UNKNOWN_WORDS = (
    "Nothing was steered in a prompt whose words are not known: its text node uses a CLIP that was not traced. Connect that "
    "CLIP through Record Attention, or through the clip input and output of the steering node."
)


@dataclass(frozen=True, eq=False)
class SteeredRows:
    """Rows of one call that are steered. recorded: factors, for one copy of the prompt, that a recorder is to apply.

    columns: int64 (column,), all repeats of the prompt included; factors: float32 (column, head); on the device.
    """

    rows: slice
    recorded: TokenFactors
    columns: torch.Tensor
    factors: torch.Tensor


def recorded_factors(
    rows: slice, columns: Sequence[int], heads: slice, options: dict[str, Any]
) -> torch.Tensor | None:
    """What a recorder is to multiply the maps of these batch rows with, float32 (column, head); None for nothing, which
    is so unless a steering node says otherwise. options: what the layer was called with."""
    factors = None
    for part in options.get(STEERED_ROWS, ()):
        if part.rows == rows and part.recorded.columns:
            found = part.recorded.of(columns, heads)
            factors = found if factors is None else factors * found
    return factors


class SteeredSampling(Following):
    """Follows one sampling. `open`, `options_for` and what happens in layers may raise; callers wrap them in `guarded`."""

    doing, done = "Steering", "steered"
    consequence = "The picture is made without it."

    def __init__(self, layout: Layout, steerings: Sequence[Steering], registries: Sequence[TextRegistry]):
        super().__init__(layout, [])
        self.steerings = steerings
        self.registries = registries
        self._prompts: dict[int, Prompt] = {}  # by id of the owner
        self._ranges: list[tuple[float, float]] = []
        self._rows: dict[tuple, SteeredRows | None] = {}
        self._calls = 0

    def open(self, guider) -> None:
        """Finds the words in the positive prompts, and where in the schedule each steering acts."""
        known = self.known_prompts(guider, self.registries, UNKNOWN_WORDS)
        self._prompts = {id(owner): prompt for owner, prompt in known}
        prompts = list(self._prompts.values())
        for steering in self.steerings if prompts else ():
            for complaint in missing_words(steering, prompts):
                self.warn(f"{steering.name}: {complaint}")
        to_sigma = guider.model_patcher.get_model_object("model_sampling").percent_to_sigma
        self._ranges = [
            (float(to_sigma(s.end_percent)), float(to_sigma(s.start_percent))) for s in self.steerings
        ]

    def close(self) -> None:
        """Says so when nothing was steered and no reason has been given yet."""
        if not self._calls and not self.warnings:
            names = " and ".join(dict.fromkeys(steering.name for steering in self.steerings))
            self.warn(
                f"{names} changed nothing in this picture: no step of the sampler lies between start_percent and end_percent, "
                "or another node runs the model in a way that cannot be followed."
            )

    # -- one call of the UNet ---------------------------------------------------------------------------------

    def options_for(
        self, unet, x: torch.Tensor, context, transformer_options: dict[str, Any]
    ) -> dict[str, Any]:
        """The options to call the UNet with: the same object when there is nothing to steer.

        x: (chunk · batch, channel, height, width); context: (chunk · batch, token, channel).
        """
        if self.failed or self.conditionings is None or context is None:
            return transformer_options
        active = self._active(transformer_options)
        steered = []
        for chunk in self.chunks(x, transformer_options):
            owner = self.conditionings.owner(chunk)
            if not active or owner is None or owner.role != POSITIVE:
                continue
            length = self.conditionings.length(chunk)
            found = self._steered_rows(owner, active, chunk.rows, length, context.shape[1], x.device)
            if found is not None:
                steered.append(found)
        if not steered:
            return transformer_options
        self._calls += 1
        rows, tokens = x.shape[0], context.shape[1]

        def values(number, module, q, k, v, extra_options):
            return self._steered_values(number, steered, v, rows, tokens)

        return {
            **self.with_entries(unet, transformer_options, values, self._layers(active)),
            STEERED_ROWS: steered,
        }

    def _active(self, transformer_options: dict[str, Any]) -> tuple[int, ...]:
        """Numbers of the steerings that act now. Reading sigma waits for a GPU, so only done where it matters."""
        whole = [s.start_percent <= 0.0 and s.end_percent >= 1.0 for s in self.steerings]
        if all(whole):
            return tuple(range(len(whole)))
        sigma = float(transformer_options["sigmas"].flatten()[0])
        return tuple(
            number for number, (low, high) in enumerate(self._ranges) if whole[number] or low <= sigma <= high
        )

    def _steered_rows(
        self,
        owner: Owner,
        active: tuple[int, ...],
        rows: slice,
        length: int,
        tokens: int,
        device: torch.device,
    ) -> SteeredRows | None:
        """The rows of one chunk with their factors; None when there is nothing to steer in them."""
        prompt = self._prompts.get(id(owner))
        if prompt is None:
            return None
        if prompt.length != length or tokens % length:
            self.warn(
                f"A prompt of {prompt.length} tokens reached the model with {tokens}, because another node changes prompts "
                "(NegPip, attention couple and the like). Those steps were not steered.",
                cause="prompt",
            )
            return None
        key = (id(owner), active, rows.start, rows.stop, tokens, device)
        if key not in self._rows:
            acting = [self.steerings[n] for n in active]
            factors = token_factors(acting, prompt, self.layout.heads)
            recorded = token_factors([s for s in acting if s.recorded], prompt, self.layout.heads)
            repeats = tokens // length  # the host pads a prompt by repeating it
            columns = [column + repeat * length for repeat in range(repeats) for column in factors.columns]
            self._rows[key] = (
                SteeredRows(
                    rows,
                    recorded,
                    torch.tensor(columns, dtype=torch.int64, device=device),
                    factors.factors.repeat(repeats, 1).to(device),
                )
                if columns
                else None
            )
        return self._rows[key]

    def _layers(self, active: tuple[int, ...]) -> list[int]:
        """Numbers of the layers that have a head to steer."""
        changed = torch.stack([self.steerings[n].factors != 1 for n in active]).any(0)
        return [n for n in range(len(self.layout.blocks)) if changed[self.layout.span(n)].any()]

    def _steered_values(
        self, number: int, steered: list[SteeredRows], v: torch.Tensor, rows: int, tokens: int
    ) -> torch.Tensor:
        """v: (row, token, heads · d). The same, or a copy with the words' values multiplied."""
        if self.failed:
            return v
        if v.shape[:2] != (rows, tokens):
            self.warn(
                "Another node changes rows or tokens inside the model (NegPip, attention couple and the like): layer "
                f"{self.layout.blocks[number]} had {v.shape[0]} rows of {v.shape[1]} tokens where {rows} of {tokens} were "
                "expected. Such layers were not steered.",
                cause="layer",
            )
            return v
        v = v.clone()
        for part in steered:
            scale_values(v, part.rows, part.columns, part.factors[:, self.layout.span(number)])
        return v
