"""What was typed for each text encoder of a conditioning, of any model, and the same conditioning with another text."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ...hrv.prompt import END_ID
from ...hrv.runs.latents import fingerprints
from ..facts.conditionings import CLIP_START_PERCENT, CROSS_ATTN, UUID
from ..facts.text_encoder import CHUNK
from .bounded import remember

TYPED = "hrv_typed"
"""Where a conditioning holds its `Typed`."""
PADDED = (
    "g",
    "l",
)  # encoders whose chunks must be equally many: the host's node fills the shorter text up with empty ones
SAME = 1e-3  # largest difference, as a share of the largest number, between two encodings of one text


class CannotEncode(ValueError):
    """A conditioning cannot be made again with another text; the message says why, in an artist's words."""


@dataclass(frozen=True)
class Typed:
    """texts: encoder → what was typed for it. options: encoder → how the host's tokenizer was called. source: the memory that has it."""

    texts: Mapping[str, str]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    source: TypedTexts | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Part:
    """The columns of one encoding in a conditioning, which may be several put together (ConditioningConcat)."""

    typed: Typed
    start: int
    stop: int


class TypedTexts:
    """Bounded memory of what was tokenized, the ids of one encoder → its text, and of what was encoded."""

    def __init__(self):
        self._known: OrderedDict[tuple, tuple[str, dict[str, Any]]] = OrderedDict()
        self._encoded: OrderedDict[tuple[int, str], Typed] = (
            OrderedDict()
        )  # (tokens, fingerprint of an embedding)

    def __deepcopy__(self, memo) -> TypedTexts:
        """Conditionings that are copied deeply still lead here."""
        return self

    def note(self, text: str, tokens: Any, options: dict[str, Any]) -> None:
        """Called with what `clip.tokenize(text, **options)` gave."""
        for ids in _ids_of(tokens).values():
            if ids is not None:
                remember(self._known, ids, (text, options))

    def note_encoding(self, typed: Typed, embedding: torch.Tensor) -> None:
        """embedding: (1, token, channel), what the text encoder made of it."""
        remember(self._encoded, (embedding.shape[1], fingerprints(embedding[:1])[0]), typed)

    def of(self, tokens: Any) -> Typed | None:
        """What was typed for these tokens, if that is known of every encoder."""
        found = {encoder: self._known.get(ids) for encoder, ids in _ids_of(tokens).items() if ids is not None}
        if not found or None in found.values() or len(found) < len(_ids_of(tokens)):
            return None
        return Typed(
            {e: text for e, (text, _) in found.items()},
            {e: options for e, (_, options) in found.items()},
            self,
        )

    def parts_of(self, embedding: torch.Tensor) -> list[Part]:
        """The encodings that an embedding (1, token, channel) is put together of, in order; what is not known is left out."""
        lengths = sorted({length for length, _ in self._encoded}, reverse=True)
        step = CHUNK if all(length % CHUNK == 0 for length in lengths) else embedding.shape[1]
        parts: list[Part] = []
        at = 0
        while at < embedding.shape[1]:
            for length in lengths:
                piece = embedding[:1, at : at + length]
                typed = (
                    self._encoded.get((length, fingerprints(piece)[0])) if piece.shape[1] == length else None
                )
                if typed is not None:
                    parts.append(Part(typed, at, at + length))
                    break
            at = parts[-1].stop if parts and parts[-1].stop > at else at + step
        return parts


class TypedCond:
    """A conditioning, as guiders hold it, and the encodings that it is put together of: none where its text is not known."""

    def __init__(self, cond: dict[str, Any]):
        self.cond = cond
        self.parts: list[Part] = []
        typed: Typed | None = cond.get(TYPED)
        if typed is not None:
            embedding = cond[CROSS_ATTN]
            known = typed.source.parts_of(embedding) if typed.source is not None else []
            self.parts = known or [Part(typed, 0, embedding.shape[1])]

    @property
    def texts(self) -> list[str]:
        """Everything that was typed for it, in order."""
        return [text for part in self.parts for text in part.typed.texts.values()]

    @property
    def is_partly_known(self) -> bool:
        """Whether some of its columns, or all, come from a text that is not known."""
        return sum(part.stop - part.start for part in self.parts) < self.cond[CROSS_ATTN].shape[1]

    def encode_again(self, clip, texts: Mapping[str, str]) -> dict[str, Any]:
        """The conditioning with other texts in it: typed text → what is typed instead. All that other nodes have put into it (areas,
        ControlNets, timestep ranges) stays, and so do columns whose text is not known. Raises CannotEncode."""
        if not self.parts:
            raise CannotEncode(
                "The text of this prompt is not known, so it cannot be encoded again without a word. Connect the CLIP from Record "
                "Attention to your text nodes, and run again. Prompts that were encoded together with images cannot be asked about."
            )
        before = self.cond[CROSS_ATTN][:1]
        pieces, values, at = [], {}, 0
        for part in self.parts:
            embedding, own = _encode(clip, part.typed, texts, self.cond.get(CLIP_START_PERCENT))
            if embedding.shape[2:] != before.shape[2:]:
                raise CannotEncode(
                    f"This CLIP gives {embedding.shape[-1]} values for a token, but this image was made with {before.shape[-1]}: it belongs "
                    "to another kind of model. Connect the CLIP that your text node uses."
                )
            pieces += [before[:, at : part.start].to(embedding), embedding]
            values = own if part.start == 0 else values
            at = part.stop
        together = torch.cat([*pieces, before[:, at:].to(pieces[-1])], 1)
        kept = {name: value for name, value in values.items() if not name.startswith("hrv_")}
        return {**self.cond, **kept, CROSS_ATTN: together, UUID: uuid.uuid4()}


def _encode(clip, typed: Typed, texts: Mapping[str, str], from_percent: float | None):
    """(embedding (1, token, channel), values beside it) of one encoding. from_percent: where hooks change the text encoder along the
    schedule, which part of the schedule is meant."""
    tokens = {
        encoder: clip.tokenize(texts.get(text, text), **typed.options[encoder])[encoder]
        for encoder, text in typed.texts.items()
    }
    if all(encoder in tokens for encoder in PADDED):
        empty = clip.tokenize("")
        longest = max(len(tokens[encoder]) for encoder in PADDED)
        for encoder in PADDED:
            while len(tokens[encoder]) < longest:
                tokens[encoder] += empty[encoder]
    encoded = clip.encode_from_tokens_scheduled(tokens)
    for embedding, values in encoded:
        if len(encoded) == 1 or values.get(CLIP_START_PERCENT) == from_percent:
            return embedding, values
    raise CannotEncode(
        "The hooks on this CLIP change along another schedule than when this prompt was encoded, so no word can be left out. Connect the CLIP "
        "that your text node uses."
    )


def check_same(cond: dict[str, Any], again: dict[str, Any]) -> None:
    """Raises CannotEncode unless a conditioning is what its own text gives when it is encoded again."""
    before, after = cond[CROSS_ATTN], again[CROSS_ATTN]
    largest = float(before.abs().max()) or 1.0
    if (
        before.shape != after.shape
        or float((before.float() - after.float().to(before.device)).abs().max()) > SAME * largest
    ):
        raise CannotEncode(
            "This CLIP encodes the prompt differently than it was encoded for this image, so no word can be left out. Connect the CLIP that your "
            "text node uses, with its LoRA and clip skip. If it is that one, another node changed the prompt after it was encoded "
            "(ConditioningAverage and the like)."
        )


def _ids_of(tokens: Any) -> dict[str, tuple | None]:
    """Encoder → what its tokens are known by; None for a form that is not known."""
    if not isinstance(tokens, dict):
        return {}
    return {encoder: _ids(encoder, chunks) for encoder, chunks in tokens.items()}


def _ids(encoder: str, chunks: Any) -> tuple | None:
    """Empty chunks at the end do not count: the host adds them where the other encoder's text is longer."""
    try:
        ids = [[_id(token[0]) for token in chunk] + [float(token[1]) for token in chunk] for chunk in chunks]
    except (TypeError, IndexError, ValueError):
        return None
    while encoder in PADDED and len(ids) > 1 and ids[-1][1:2] == [END_ID]:
        ids.pop()
    return encoder, *(tuple(chunk) for chunk in ids)


def _id(token: Any) -> Any:
    if isinstance(token, torch.Tensor):
        return ("vector", tuple(token.shape), float(token.float().sum()))
    return int(token)
