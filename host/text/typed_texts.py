"""What was typed for each text encoder of a conditioning, of any model, and the same conditioning with another text."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ...hrv.prompt import END_ID
from ..facts.conditionings import CROSS_ATTN, UUID

TYPED = "hrv_typed"
"""Where a conditioning holds its `Typed`."""
KEPT = 1024
PADDED = (
    "g",
    "l",
)  # encoders whose chunks must be equally many: the host's node fills the shorter text up with empty ones
SAME = 1e-3  # largest difference, as a share of the largest number, between two encodings of one text


class CannotEncode(ValueError):
    """A conditioning cannot be made again with another text; the message says why, in an artist's words."""


@dataclass(frozen=True)
class Typed:
    """texts: encoder → what was typed for it. options: encoder → how the host's tokenizer was called."""

    texts: Mapping[str, str]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class TypedTexts:
    """Bounded memory of what was tokenized: the ids of one encoder → its text."""

    def __init__(self):
        self._known: OrderedDict[tuple, tuple[str, dict[str, Any]]] = OrderedDict()

    def note(self, text: str, tokens: Any, options: dict[str, Any]) -> None:
        """Called with what `clip.tokenize(text, **options)` gave."""
        for ids in _ids_of(tokens).values():
            if ids is not None:
                self._known[ids] = text, options
                self._known.move_to_end(ids)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def of(self, tokens: Any) -> Typed | None:
        """What was typed for these tokens, if that is known of every encoder."""
        found = {encoder: self._known.get(ids) for encoder, ids in _ids_of(tokens).items() if ids is not None}
        if not found or None in found.values() or len(found) < len(_ids_of(tokens)):
            return None
        return Typed(
            {e: text for e, (text, _) in found.items()}, {e: options for e, (_, options) in found.items()}
        )


def encode_again(clip, cond: dict[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """A conditioning, as guiders hold it, with other texts in it: typed text → what is typed instead. All that other nodes have
    put into it (areas, ControlNets, timestep ranges) stays. Raises CannotEncode."""
    typed: Typed | None = cond.get(TYPED)
    if typed is None:
        raise CannotEncode(
            "The text of this prompt is not known, so it cannot be encoded again without a word. Connect the CLIP from Record Attention to "
            "your text nodes, and run again. Prompts that were encoded together with images cannot be asked about."
        )
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
    if len(encoded) != 1:
        raise CannotEncode(
            "The text encoder of this prompt changes along the schedule (hooks), so no single word can be left out of it."
        )
    embedding, values = encoded[0]
    kept = {name: value for name, value in values.items() if not name.startswith("hrv_")}
    return {**cond, **kept, CROSS_ATTN: embedding, UUID: uuid.uuid4()}


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
            "(ConditioningAverage, ConditioningConcat and the like)."
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
