"""Texts of other text encoders than CLIP alone: which columns of an embedding are which words of T5, Qwen, Gemma and the like."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...hrv.prompt import Prompt, parse_chunks
from ...hrv.prompt.pieces import Column, beside, columns_of, prompt_of
from ...hrv.runs.latents import fingerprints
from ..facts.text_encoder import ADAPTED, CHUNK, ENCODERS, lacks_encoder, piece_of, tokenizer_of
from .bounded import remember

KEPT = 256


@dataclass(frozen=True)
class Spelled:
    """One text of one encoder: its columns, and what was typed."""

    columns: Sequence[Column]
    text: str


class SpelledTexts:
    """Bounded memory of texts that were tokenized, and of embeddings that were made of them."""

    def __init__(self):
        self._spelled: OrderedDict[tuple, Spelled] = OrderedDict()
        self._prompts: OrderedDict[str, Prompt] = OrderedDict()

    def note_text(self, clip, text: str, tokens: Mapping[str, Any], tokenize) -> None:
        """Called with what `clip.tokenize(text)` gave; tokenize: does it for another text."""
        others = [encoder for encoder in tokens if encoder not in ENCODERS]
        if not others:
            return
        empty = tokenize("")
        for encoder in ENCODERS:
            if encoder in tokens:
                remember(self._spelled, _key(encoder, tokens[encoder]), Spelled((), text), KEPT)
        for encoder in others:
            tokenizer = tokenizer_of(clip, encoder)
            if tokenizer is not None:
                columns = columns_of(
                    _flat(tokens[encoder]), _flat(empty[encoder]), tokenizer.inv_vocab, tokenizer.pad_token
                )
                remember(self._spelled, _key(encoder, tokens[encoder]), Spelled(columns, text), KEPT)

    def prompt(self, clip, tokens: Any, length: int) -> Prompt | None:
        """The prompt of an embedding of so many columns that was made of these tokens; None where that cannot be told.

        Where the network makes the columns itself, they are not those of the embedding, and `of_ids` finds the prompt. Else one encoder's tokens are the columns (Flux: T5's; Z-Image: Qwen's), or CLIP's and then T5's (Stable Diffusion 3), or the last of
        them: some models cut the beginning of a template off.
        """
        if not is_spelled(tokens):
            return None
        if set(tokens) == set(ADAPTED):
            return self._of_key(_key(ADAPTED[1], tokens[ADAPTED[1]]))
        found = {e: self._spelled.get(_key(e, tokens[e])) for e in tokens if e not in ENCODERS}
        known = {encoder: one for encoder, one in found.items() if one is not None}
        clip_columns = max((CHUNK * len(tokens[e]) for e in ENCODERS if e in tokens), default=0)
        for encoder, one in known.items():
            width = len(one.columns)
            has_clip = clip_columns and not all(lacks_encoder(clip, e) for e in ENCODERS if e in tokens)
            if has_clip and length == clip_columns + width:
                return beside(self._of_clip(tokens), one.columns, one.text, encoder)
            if length == width and not lacks_encoder(clip, encoder):
                return prompt_of(one.columns, one.text, encoder)
        if len(found) == len(known) == 1 and not clip_columns:
            ((encoder, one),) = known.items()
            if length < len(one.columns):
                return prompt_of(one.columns[-length:], one.text, encoder)
        return None

    def of_ids(self, ids: torch.Tensor) -> Prompt | None:
        """The prompt of the columns that the network makes of these ids (token,)."""
        return self._of_key((ADAPTED[1], *ids.flatten().tolist()))

    def _of_key(self, key: tuple) -> Prompt | None:
        known = self._spelled.get(key)
        return None if known is None else prompt_of(known.columns, known.text, key[0])

    def _of_clip(self, tokens: Mapping[str, Any]) -> Prompt:
        encoder = next(e for e in ENCODERS if e in tokens)
        known = self._spelled.get(_key(encoder, tokens[encoder]))
        text = None if known is None else known.text
        prompt = parse_chunks(tokens[encoder], piece_of, lambda vector: "embedding", text)
        return replace(prompt, encoder=encoder)

    def note_embedding(self, prompt: Prompt, embedding: torch.Tensor) -> None:
        """embedding: (1, token, channel), what the text encoders made of the prompt."""
        remember(self._prompts, fingerprints(embedding[:1])[0], prompt, KEPT)

    def has(self, prompt: Prompt) -> bool:
        """Whether an embedding of this prompt was noted."""
        return any(known.tokens == prompt.tokens for known in self._prompts.values())

    def of_embedding(self, embedding: torch.Tensor) -> Prompt | None:
        """The prompt of an embedding, or of the beginning of one to which another node has added columns."""
        lengths = {prompt.length for prompt in self._prompts.values()}
        for length in sorted((one for one in lengths if one <= embedding.shape[1]), reverse=True):
            found = self._prompts.get(fingerprints(embedding[:1, :length])[0])
            if found is not None:
                return (
                    found if found.length == embedding.shape[1] else found.filled(embedding.shape[1], False)
                )
        return None


def is_spelled(tokens: Any) -> bool:
    """Whether tokens are those of other encoders than CLIP alone, in the form that ComfyUI gives them."""
    return (
        isinstance(tokens, dict)
        and any(encoder not in ENCODERS for encoder in tokens)
        and all(isinstance(chunks, (list, tuple)) for chunks in tokens.values())
    )


def _flat(chunks: Sequence[Sequence]) -> list:
    return [token for chunk in chunks for token in chunk]


def _key(encoder: str, chunks: Sequence[Sequence]) -> tuple:
    return encoder, *(token[0] if isinstance(token[0], int) else None for token in _flat(chunks))
