"""What is known of the text encoders of Stable Diffusion, and of the tokenizer that all of them share.

`clip.tokenize(text)` gives encoder → chunks of (id or vector, weight, …); `clip.encode_from_tokens(tokens)` the embedding,
(1, token, channel), in one of three forms; `clip.encode_from_tokens_scheduled(tokens)` a list of [embedding, values].
"""

from __future__ import annotations

import functools
from typing import Any

import comfy.sd1_clip
import torch

CHUNK = 77
"""Tokens that the encoder is given at a time; each chunk of a long prompt is encoded on its own."""
ENCODERS = ("l", "g", "h")
"""Keys of tokens, for the encoders of SD1 and SDXL, of SDXL, and of SD2."""
METHODS = ("clone", "tokenize", "encode_from_tokens", "encode_from_tokens_scheduled")
"""Of a CLIP: those that a class of ours may stand around."""
COND = "cond"
"""Where the embedding lies when the encoder gives a dict."""


@functools.cache
def tokenizer() -> comfy.sd1_clip.SDTokenizer:
    """CLIP's tokenizer."""
    return comfy.sd1_clip.SDTokenizer()


def tokens_of(text: str) -> list:
    """Chunks of (id or vector, weight) of a typed text."""
    return tokenizer().tokenize_with_weights(text)


def piece_of(token_id: int) -> str:
    """What a token spells."""
    return tokenizer().inv_vocab.get(token_id, "")


def embedding_of(encoded: Any) -> torch.Tensor:
    """The embedding in what `clip.encode_from_tokens` gives: itself, with the pooled one behind it, or in a dict."""
    if isinstance(encoded, dict):
        return encoded[COND]
    return encoded[0] if isinstance(encoded, tuple) else encoded
