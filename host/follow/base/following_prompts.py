"""Following the prompts of a sampling: which rows of a batch are whose, and what their words are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from ....hrv.prompt import Prompt
from ....hrv.recording.absence import ZEROED
from ....hrv.wording import role_text, said
from ...facts.conditionings import is_zeroed
from ...facts.options import UUIDS
from ...facts.rows import POSITIVE, Chunk, Conditionings, Owner, chunks_of
from ...text.clip_trace import find_prompt, registries_of
from ...text.text_registry import TextRegistry
from .following import Following


class FollowingPrompts(Following):
    """Follows the prompts of one sampling. `open` sets `conditionings`."""

    def __init__(self, warnings: list[str] | None = None):
        super().__init__(warnings)
        self.conditionings: Conditionings | None = None
        self.latent: tuple[int, int] | None = None  # (height, width) of what is evaluated now

    @contextlib.contextmanager
    def evaluated(self, lists, latent: tuple[int, int]):
        """Inside, these are the lists that `cond_or_uncond` points into."""
        known, before = self.conditionings, self.latent
        self.latent = latent
        try:
            with contextlib.nullcontext() if known is None else known.evaluated(lists):
                yield
        finally:
            self.latent = before

    def chunks(self, x: torch.Tensor, options: dict[str, Any]) -> list[Chunk]:
        """The chunks of x (chunk · batch, channel, height, width); none, with a warning, when they cannot be told.
        options: transformer_options."""
        chunks = chunks_of(x.shape[0], options)
        if not chunks:
            self.warn(
                said(
                    "The batch of {rows} rows cannot be divided into {prompts} prompts, because another node multiplies rows. Those steps "
                    "were not {done}.",
                    rows=x.shape[0],
                    prompts=len(options[UUIDS]),
                    done=self.done,
                ),
                cause="rows",
            )
        return chunks

    def owned(
        self, x: torch.Tensor, options: dict[str, Any], role: str | None = None
    ) -> Iterator[tuple[Chunk, Owner]]:
        """The chunks of x whose conditioning is known, with it; those of one role if given."""
        for chunk in self.chunks(x, options):
            owner = self.conditionings.owner(chunk)
            if owner is not None and role in (None, owner.role):
                yield chunk, owner

    def known_prompts(
        self, guider, registries: Iterable[TextRegistry], unknown: str
    ) -> Iterator[tuple[Owner, Prompt]]:
        """Takes the guider's conditionings; the positive ones whose words are known, and the warning `unknown` for others."""
        for owner, prompt, warning in self.positive_prompts(guider, registries):
            if prompt is None:
                self.lost["words"] = warning or why_unknown(owner, unknown)
                self.warn(self.lost["words"])
                continue
            if warning:
                self.warn(warning)
            yield owner, prompt

    def positive_prompts(
        self, guider, registries: Iterable[TextRegistry] = ()
    ) -> Iterator[tuple[Owner, Prompt | None, str | None]]:
        """Takes the guider's conditionings; the positive ones, each with its prompt (None: not known) and a warning about it."""
        self.conditionings = Conditionings(guider)
        registries = [*registries_of(owner.cond for owner in self.conditionings), *registries]
        for owner in self.conditionings:
            if owner.role == POSITIVE:
                yield owner, *find_prompt(owner.cond, registries)

    def tell_of_prompt(self, was: int | str, now: int | str) -> None:
        """Says that the model was given a prompt of another size. was, now: tokens, or "77 × 2", tokens and images."""
        self.warn(
            said(
                "A prompt of {was} tokens reached the model with {now}, because another node changes prompts or batches (NegPip, attention "
                "couple and the like). Those steps were not {done}.",
                was=was,
                now=now,
                done=self.done,
            ),
            cause="prompt",
        )


def why_unknown(owner: Owner, unknown: str) -> str:
    """Why the words of a prompt are not known: it has none, or what `unknown` says."""
    return said(ZEROED, role=role_text(owner.role)) if is_zeroed(owner.cond) else unknown
