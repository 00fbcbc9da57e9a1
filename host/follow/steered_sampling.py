"""The steering of one sampling while it runs: which rows and tokens are steered, and by how much."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...hrv.heads.layout import Layout
from ...hrv.prompt import Prompt
from ...hrv.steer.factors import Steering, TokenFactors, missing_words, token_factors
from ...hrv.wording import said, sentences
from ..facts.conditionings import is_limited
from ..facts.families import family_of
from ..facts.guider import patcher_of
from ..facts.options import SIGMAS
from ..facts.patcher import sigma_at
from ..facts.rows import POSITIVE, Chunk, Owner
from ..text.text_registry import TextRegistry
from .base.calls import UnetCall
from .base.following_layers import FollowingLayers
from .base.following_tokens import FollowingTokens, TokenCall
from .base.layer_entries import LayerCall
from .base.wording import UNKNOWN_WORDS, why_idle

STEERED_ROWS = "hrv_steered_rows"
"""Where transformer_options hold the `SteeredRows` of a call, for a recorder that wants them."""


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


class SteeredSampling(FollowingLayers):
    """Follows one sampling."""

    doing, done = said("Steering"), said("steered")
    consequence = said("The image is generated without it.")

    def __init__(self, layout: Layout, steerings: Sequence[Steering], registries: Sequence[TextRegistry]):
        super().__init__(layout)
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
        unknown = said(UNKNOWN_WORDS, done=self.done, node=said("the steering node"))
        known = self.known_prompts(guider, self.registries, unknown)
        self._prompts = {id(owner): prompt for owner, prompt in known}
        prompts = list(self._prompts.values())
        for number, steering in enumerate(self.steerings if prompts else ()):
            complaints = missing_words(steering, prompts)
            for complaint in complaints:
                self.warn(said("{node}: {what}", node=steering.name, what=complaint))
            if complaints and len(complaints) == len(steering.words):
                self._missing.add(number)
        conds = [owner.cond for owner in self.conditionings if owner.role == POSITIVE]
        self._limited = bool(conds) and all(map(is_limited, conds))
        patcher = patcher_of(guider)
        self._ranges = [
            (sigma_at(patcher, s.end_percent), sigma_at(patcher, s.start_percent)) for s in self.steerings
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
            node = ", ".join(dict.fromkeys(names))
            self.warn(sentences(said("{node} changed nothing in this image.", node=node), why))

    def _why_idle(self, number: int) -> str:
        return why_idle(
            said("The positive prompt"),
            was_called=self._calls > 0,
            was_in_time=number in self._in_time,
            is_limited=self._limited,
        )

    # -- one call of the UNet ---------------------------------------------------------------------------------

    def options_for(self, call: UnetCall) -> dict[str, Any]:
        self._calls += 1
        active = self._active(call.options)
        self._in_time.update(active)
        steered = []
        for chunk, owner in self.owned(call.x, call.options, POSITIVE):
            if not active:
                continue
            self._done.update(active)
            found = self._steered_rows(call, chunk, owner, active)
            if found is not None:
                steered.append(found)
        if not steered:
            return call.options
        change = functools.partial(self._steer, steered, call.x.shape[0])
        entered = self.with_entries(call, change, self._layers(active))
        return {**entered, STEERED_ROWS: steered}

    def _active(self, transformer_options: dict[str, Any]) -> tuple[int, ...]:
        """Numbers of the steerings that act now. Reading sigma waits for a GPU, so only done where it matters."""
        whole = [s.start_percent <= 0.0 and s.end_percent >= 1.0 for s in self.steerings]
        if all(whole):
            return tuple(range(len(whole)))
        sigma = float(transformer_options[SIGMAS].flatten()[0])
        return tuple(
            number for number, (low, high) in enumerate(self._ranges) if whole[number] or low <= sigma <= high
        )

    def _steered_rows(
        self, call: UnetCall, chunk: Chunk, owner: Owner, active: tuple[int, ...]
    ) -> SteeredRows | None:
        """The rows of one chunk with their factors; None when there is nothing to steer in them. NegPip makes a conditioning twice
        as long as its prompt (`Entries.fits`)."""
        length, tokens = self.conditionings.length(chunk), call.context.shape[1]
        prompt = self.prompt_in(call, owner, length)
        if prompt is None:
            return None
        if length not in (prompt.length, 2 * prompt.length) or tokens % length:
            self.tell_of_prompt(prompt.length, tokens)
            return None
        device = call.x.device
        key = (id(owner), active, chunk.rows.start, chunk.rows.stop, tokens, device)
        if key not in self._rows:
            acting = [self.steerings[n] for n in active]
            factors = token_factors(acting, prompt, self.layout.heads)
            repeats = tokens // length  # the host pads a prompt by repeating it
            starts = range(0, repeats * prompt.length, prompt.length)
            columns = [start + column for start in starts for column in factors.columns]
            recorded = [s for s in acting if s.recorded]
            self._rows[key] = (
                SteeredRows(
                    rows=chunk.rows,
                    keys=repeats * prompt.length,
                    recorded=token_factors(recorded, prompt, self.layout.heads),
                    columns=torch.tensor(columns, dtype=torch.int64, device=device),
                    factors=factors.factors.repeat(repeats, 1).to(device),
                )
                if columns
                else None
            )
        return self._rows[key]

    def prompt_in(self, call: UnetCall, owner: Owner, length: int) -> Prompt | None:
        """What is known of the words of a conditioning of so many tokens."""
        return self._prompts.get(id(owner))

    def _layers(self, active: tuple[int, ...]) -> list[int]:
        """Numbers of the layers that have a head to steer."""
        changed = torch.stack([self.steerings[n].factors != 1 for n in active]).any(0)
        return [n for n in range(len(self.layout.blocks)) if changed[self.layout.span(n)].any()]

    def _steer(self, steered: list[SteeredRows], rows: int, at: LayerCall | TokenCall) -> None:
        """Multiplies the words' values in a layer; rows: of the call."""
        if self.failed:
            return
        fitting = [part for part in steered if at.seen == (rows, part.keys)]
        if len(fitting) < len(steered):
            expected = next(part.keys for part in steered if part not in fitting)
            self.tell_of_layer(
                at.layer,
                "{} × … × {}".format(*at.seen),
                f"{rows} × … × {expected}",
            )
        if not fitting:
            return
        heads = self.layout.span(at.layer.number)
        at.scale_values([(part.rows, part.columns, part.factors[:, heads]) for part in fitting])


class SteeredTokens(FollowingTokens, SteeredSampling):
    """Follows one sampling of a transformer."""

    def prompt_in(self, call: UnetCall, owner: Owner, length: int) -> Prompt | None:
        prompt, family = super().prompt_in(call, owner, length), family_of(call.unet)
        return prompt if prompt is None or family is None else family.filled(prompt, length)
