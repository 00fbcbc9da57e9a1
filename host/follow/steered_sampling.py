"""The steering of one sampling while it runs: which rows and tokens are steered, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...hrv.heads.layout import Layout
from ...hrv.prompt import Prompt
from ...hrv.steer.factors import Steering, TokenFactors, missing_words, scale_values, token_factors
from ..facts.rows import POSITIVE, Owner, is_limited
from ..text.clip_trace import TextRegistry
from .base.following import NOT_FOLLOWED, Following

STEERED_ROWS = "hrv_steered_rows"
"""Where transformer_options hold the `SteeredRows` of a call, for a recorder that wants them."""
UNKNOWN_WORDS = (
    "Nothing was steered in a prompt whose words are not known. If its text node's CLIP comes neither from Record Attention nor "
    "from the steering node, connect it through the clip input and output of one of them. If it does, another node made or "
    "changed the prompt after it was encoded."
)


@dataclass(frozen=True, eq=False)
class SteeredRows:
    """Rows of one call that are steered. recorded: factors, for one copy of the prompt, that a recorder is to apply.

    keys: how many a layer should see in them. columns: int64 (column,), all repeats of the prompt included; factors: float32
    (column, head); on the device.
    """

    rows: slice
    keys: int
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
        self._limited = False
        self._calls = 0
        self._in_time: set[int] = set()  # steerings that a call fell into
        self._done: set[int] = set()  # of these, those that a positive prompt was evaluated in
        self._missing: set[int] = set()  # those whose words are in no prompt, which was said

    def open(self, guider) -> None:
        """Finds the words in the positive prompts, and where in the schedule each steering acts."""
        known = self.known_prompts(guider, self.registries, UNKNOWN_WORDS)
        self._prompts = {id(owner): prompt for owner, prompt in known}
        prompts = list(self._prompts.values())
        for number, steering in enumerate(self.steerings if prompts else ()):
            complaints = missing_words(steering, prompts)
            for complaint in complaints:
                self.warn(f"{steering.name}: {complaint}")
            if complaints and len(complaints) == len(steering.words):
                self._missing.add(number)
        conds = [owner.cond for owner in self.conditionings if owner.role == POSITIVE]
        self._limited = bool(conds) and all(map(is_limited, conds))
        to_sigma = guider.model_patcher.get_model_object("model_sampling").percent_to_sigma
        self._ranges = [
            (float(to_sigma(s.end_percent)), float(to_sigma(s.start_percent))) for s in self.steerings
        ]

    def close(self) -> None:
        """Says what was not steered, and why."""
        if self.failed:
            return
        self.tell_layers()
        idle: dict[str, list[str]] = {}
        for number, steering in enumerate(self.steerings):
            if number not in self._done | self._missing and not self.lost:
                idle.setdefault(self._why_idle(number), []).append(steering.name)
        for why, names in idle.items():
            self.warn(f"{' and '.join(dict.fromkeys(names))} changed nothing in this picture: {why}")

    def _why_idle(self, number: int) -> str:
        if not self._calls:
            return NOT_FOLLOWED
        if number not in self._in_time:
            return "no step of the sampler lies between start_percent and end_percent."
        if self._limited:
            return (
                "the positive prompt is limited to a part of the schedule (ConditioningSetTimestepRange) that no step between "
                "start_percent and end_percent falls into."
            )
        return "the positive prompt was evaluated in no step between start_percent and end_percent."

    # -- one call of the UNet ---------------------------------------------------------------------------------

    def options_for(
        self, unet, x: torch.Tensor, context, transformer_options: dict[str, Any]
    ) -> dict[str, Any]:
        """The options to call the UNet with: the same object when there is nothing to steer.

        x: (chunk · batch, channel, height, width); context: (chunk · batch, token, channel).
        """
        if self.failed or self.conditionings is None or context is None:
            return transformer_options
        self._calls += 1
        active = self._active(transformer_options)
        self._in_time.update(active)
        steered = []
        for chunk in self.chunks(x, transformer_options):
            owner = self.conditionings.owner(chunk)
            if not active or owner is None or owner.role != POSITIVE:
                continue
            self._done.update(active)
            length = self.conditionings.length(chunk)
            found = self._steered_rows(owner, active, chunk.rows, length, context.shape[1], x.device)
            if found is not None:
                steered.append(found)
        if not steered:
            return transformer_options
        rows = x.shape[0]

        def values(number, module, q, k, v, extra_options):
            return self._steered_values(number, steered, v, rows)

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
        """The rows of one chunk with their factors; None when there is nothing to steer in them. length: of the conditioning,
        which NegPip makes twice as long as the prompt (`Entries.fits`); tokens: of the call's context."""
        prompt = self._prompts.get(id(owner))
        if prompt is None:
            return None
        if length not in (prompt.length, 2 * prompt.length) or tokens % length:
            self.warn(
                f"A prompt of {prompt.length} tokens reached the model with {tokens}, because another node changes prompts "
                "(attention couple and the like). Those steps were not steered.",
                cause="prompt",
            )
            return None
        key = (id(owner), active, rows.start, rows.stop, tokens, device)
        if key not in self._rows:
            acting = [self.steerings[n] for n in active]
            factors = token_factors(acting, prompt, self.layout.heads)
            recorded = token_factors([s for s in acting if s.recorded], prompt, self.layout.heads)
            repeats = tokens // length  # the host pads a prompt by repeating it
            starts = range(0, repeats * prompt.length, prompt.length)
            columns = [start + column for start in starts for column in factors.columns]
            self._rows[key] = (
                SteeredRows(
                    rows,
                    repeats * prompt.length,
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
        self, number: int, steered: list[SteeredRows], v: torch.Tensor, rows: int
    ) -> torch.Tensor:
        """v: (row, token, heads · d). The same, or a copy with the words' values multiplied."""
        if self.failed:
            return v
        fitting = [part for part in steered if v.shape[:2] == (rows, part.keys)]
        if len(fitting) < len(steered):
            expected = next(part.keys for part in steered if part not in fitting)
            self.warn(
                "Another node changes rows or tokens inside the model (attention couple and the like): layer "
                f"{self.layout.blocks[number]} had {v.shape[0]} rows of {v.shape[1]} tokens where {rows} of {expected} were "
                "expected. Such layers were not steered.",
                cause="layer",
            )
        if not fitting:
            return v
        v = v.clone()
        for part in fitting:
            scale_values(v, part.rows, part.columns, part.factors[:, self.layout.span(number)])
        return v
