"""Names of words: how an artist may write them, and what two spellings of one name have in common."""

from __future__ import annotations

import itertools
import re
import unicodedata

from .typed_text import COMMAS, LINE_BREAKS

# between the letters of a name these make no difference: spaces, `_`, `-` and hyphens, brackets and what escapes them
INDIFFERENT = " \t\n\r\v\f\x1c\x1d\x1e\x1f_-()"  # of ASCII
_INDIFFERENT = re.compile(r"[\s_\-\u2010\u2011()\u200b-\u200f\u2060\ufe0e\ufe0f]+|\\(?=[()])")
_SPACES = re.compile(r"\s+")
_WEIGHTS = re.compile(r":\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*(?=\))")
_SEPARATORS = re.compile(f"[{COMMAS}{LINE_BREAKS}]")


def split_names(text: str) -> list[str]:
    """What an artist typed into a words field, split at commas of any script and at line breaks."""
    return [name.strip() for name in _SEPARATORS.split(text) if name.strip()]


def key(name: str) -> str:
    """What two spellings of one name have in common: case, white space, Unicode form, `_`, `-` and brackets do not matter,
    unless there is nothing else (`-_-`)."""
    return "".join(letters_of([name]))


def letters_of(pieces: list[str]) -> list[str]:
    """The key of a text that is cut into pieces, piece by piece."""
    whole = [unicodedata.normalize("NFKC", piece).lower() for piece in pieces]
    plain = [
        "" if piece == "\\" and following in ("(", ")") else _INDIFFERENT.sub("", piece)
        for piece, following in itertools.zip_longest(whole, whole[1:])
    ]
    if not any(plain):
        return [_SPACES.sub("", piece) for piece in whole]
    return plain


def without_weights(name: str) -> str:
    """A name that was copied with its weights: `(red star:1.3)` is `(red star)`."""
    return _WEIGHTS.sub("", name)
