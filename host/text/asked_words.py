"""Words that an artist looks for although they are not in the prompt: encoded each on its own, listed as one text."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...hrv.prompt import Prompt, split_names
from ...hrv.wording import said
from ..page import log
from .clip_trace import untraced
from .concept_words import encode_each
from .text_registry import TextRegistry

MOST = 40  # words
NO_CLIP = said(
    "`also_look_for` needs a CLIP to encode its words: connect `clip`, or leave `also_look_for` empty."
)
TOO_MANY = "`also_look_for` takes at most {most} words; these are {count}. Look for some of them at a time."
NOT_ASKED = "The words in `also_look_for` are not looked for: {reason}"
NOT_READ = "“{word}” in `also_look_for` could not be read as one word or phrase. Type it without brackets, weights and embeddings."


@dataclass(frozen=True)
class AskedWords:
    """prompt: all words as one text with commas between them; columns: of each word in it; table: their embeddings one behind the other,
    each word's encoded on its own, (token, channel)."""

    prompt: Prompt
    columns: tuple[tuple[int, ...], ...]
    table: torch.Tensor

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each word."""
        return tuple(map(len, self.columns))


def asked_words(clip, text: str) -> AskedWords | None:
    """None where nothing is asked for. Raises ValueError in an artist's words."""
    words = list(dict.fromkeys(split_names(text)))
    if not words:
        return None
    if clip is None:
        raise ValueError(NO_CLIP)
    if len(words) > MOST:
        raise ValueError(said(TOO_MANY, most=MOST, count=len(words)))
    clip, registry, joined = untraced(clip), TextRegistry(), ", ".join(words)
    tokens = clip.tokenize(joined)
    registry.note_text(joined, tokens, clip.tokenize)
    prompt, (_, rows) = registry.prompt(tokens), encode_each(clip, words)
    tags = [tag.columns for tag in prompt.tags()]
    for word, row, columns in zip(words, rows, [*tags, *[()] * len(words)]):
        if len(row) != len(columns):
            raise ValueError(said(NOT_READ, word=word))
    return AskedWords(prompt, tuple(tags), torch.cat(rows).cpu())


def asked_words_or_warning(clip, text: str) -> AskedWords | None:
    """The same where an image is to be made in any case: what cannot be asked for becomes a warning."""
    return log.made_or_warning(lambda: asked_words(clip, text), lambda reason: said(NOT_ASKED, reason=reason))
