"""What a prompt is made of: tokens, one a column, and words."""

from __future__ import annotations

from dataclasses import dataclass, field

from .typed_text import Range, TypedText

START, END, PAD, TEXT, EMBEDDING = "start", "end", "pad", "text", "embedding"


@dataclass(frozen=True, slots=True)
class Token:
    """One column of a conditioning. `piece` is the tokenizer's piece, or `embedding:name` for a textual inversion.

    source, place: the typed text and the characters of it that the token stands for; None for start, end and padding.
    """

    column: int
    kind: str
    piece: str = ""
    weight: float = 1.0
    source: TypedText | None = field(default=None, compare=False, repr=False)
    place: Range | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Word:
    """A word, tag or phrase of the prompt: how it is written, and its columns.

    encoders: where two texts differ (SDXL), the text encoders that were given it, as “l”, “g”; empty where that does not matter.
    """

    text: str
    columns: tuple[int, ...]
    weight: float = 1.0
    encoders: str = ""


class WordNotFound(ValueError):
    """The word is not in the prompt; the message lists what is, and the nearest word."""
