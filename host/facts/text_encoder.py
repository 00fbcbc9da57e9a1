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
"""Keys of the tokens of CLIP: of SD1 and SDXL, of SDXL, and of SD2. Others are of T5, Qwen and the like."""
ADAPTED = ("qwen3_06b", "t5xxl")
"""Keys of the tokens of Anima: its text encoder reads the first, and the network itself makes a column for each token of the second."""
METHODS = ("clone", "tokenize", "encode_from_tokens", "encode_from_tokens_scheduled")
"""Of a CLIP: those that a class of ours may stand around."""
COND = "cond"
"""Where the embedding lies when the encoder gives a dict."""


def tokenizer_of(clip, encoder: str) -> Any:
    """The tokenizer of one encoder of a CLIP, with `inv_vocab` (id → piece) and `pad_token`; None where it has another form."""
    found = getattr(clip.tokenizer, encoder, None) or getattr(clip.tokenizer, f"clip_{encoder}", None)
    return found if isinstance(found, comfy.sd1_clip.SDTokenizer) else None


def lacks_encoder(clip, encoder: str) -> bool:
    """Whether a model of several text encoders was loaded without this one."""
    model, missing = clip.cond_stage_model, object()
    names = (encoder, f"clip_{encoder}")
    return all(getattr(model, name, missing) in (None, missing) for name in names) and any(
        hasattr(model, name) for name in names
    )


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
