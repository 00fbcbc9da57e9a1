"""Prompts as CLIP's tokenizer would give them, without its vocabulary: every word is one piece, unless split
with `|`, as in `cow|boy`."""

from dataclasses import dataclass

from hrv_pack.hrv.prompt import END_ID, START_ID, Prompt, parse_chunks


@dataclass(frozen=True)
class Vector:
    """One vector of a textual inversion."""

    name: str


def tokens_of(words, width=77):
    """One chunk of (token, weight); `words` is a text, or a list of words, (word, weight) and vectors."""
    row = [(START_ID, 1.0)]
    for word in words.split() if isinstance(words, str) else words:
        word, weight = word if isinstance(word, tuple) else (word, 1.0)
        pieces = word.split("|") if isinstance(word, str) else [word]
        for i, piece in enumerate(pieces):
            is_text = isinstance(piece, str)
            row.append(
                (number(piece + ("</w>" if i == len(pieces) - 1 else "")) if is_text else piece, weight)
            )
    row.append((END_ID, 1.0))
    return row + [(END_ID, 1.0)] * (width - len(row))


PIECES: list[str] = []


def number(piece: str) -> int:
    if piece not in PIECES:
        PIECES.append(piece)
    return PIECES.index(piece)


def prompt(*chunks, text=None, width=77) -> Prompt:
    """prompt("a cat") has `a` in column 1 and `cat` in column 2; each further argument is a further chunk."""
    rows = [tokens_of(chunk, width) for chunk in chunks]
    return parse_chunks(rows, PIECES.__getitem__, lambda vector: f"embedding:{vector.name}", text)
