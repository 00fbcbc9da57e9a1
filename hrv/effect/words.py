"""The words and tags of what was typed, without any tokens: of texts for any text encoder, found by the same names as everywhere."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..prompt import PAD, TEXT, Prompt, Token
from ..prompt.removal import without
from ..prompt.typed_text import Range, parse


@dataclass(frozen=True, eq=False)
class TypedWords:
    """Several texts of one prompt, as typed, of equal rank: SDXL's two, Flux's two, SD3's three; the same text counts once.

    prompt: every word is one token, so that `Prompt.find` and `Prompt.listed` tell words; its columns number the words of all
    texts, one text after the other.
    """

    texts: tuple[str, ...]
    prompt: Prompt
    places: tuple[tuple[str, Range], ...]

    def without(self, columns: Sequence[int], instead: str = "") -> dict[str, str]:
        """Each text without these words, or with another in their place (in that of each run of words, once)."""
        left = {}
        for text in self.texts:
            mine = [column for column in sorted(columns) if self.places[column][0] == text]
            runs = [
                [column for _, column in run]
                for _, run in itertools.groupby(enumerate(mine), key=lambda pair: pair[1] - pair[0])
            ]
            left[text] = without(parse(text), [[self.places[c][1] for c in run] for run in runs], instead)
        return left


def typed_words(texts: Sequence[str]) -> TypedWords:
    """The words of these texts."""
    unique = tuple(dict.fromkeys(texts))
    places = tuple((text, word) for text in unique for word in parse(text).words)
    prompts: list[Prompt] = []
    for text in unique:
        own = [column for column, (of, _) in enumerate(places) if of == text]
        tokens = {column: Token(column, TEXT, source=parse(text), place=places[column][1]) for column in own}
        prompts.append(Prompt(tuple(tokens.get(column, Token(column, PAD)) for column in range(len(places)))))
    prompt = Prompt(())
    for one in reversed(prompts):
        prompt = replace(one, second=prompt if prompt.tokens else None)
    return TypedWords(unique, prompt, places)
