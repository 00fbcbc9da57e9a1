"""A prompt as a model sees it: a row of columns, one per token, and the typed words that they stand for.

A conditioning is a row of columns: a start token, the text, an end token, padding; prompts longer than one chunk (77 columns
with CLIP) repeat that. Each token knows which characters of the typed text it stands for, so words and tags are those that were
typed, wherever the tokenizer or the border of a chunk cuts them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..wording import said, sentences
from .fillers import is_all_filler
from .names import key, without_weights
from .reading import Reading
from .tokens import PAD, Token, Word, WordNotFound
from .typed_text import Range, TypedText

UNITS = ("auto", "words", "tags")
NAMED = 40  # words that a message lists at most


@dataclass(frozen=True)
class Prompt:
    """The tokens of one text, in column order, padding included.

    `second` holds the tokens of the other text encoder where its text differs (SDXL with two texts): a text of equal rank, which
    shares the columns. encoder: whose tokens these are, "l" or "g"; "" where it is not known. is_guess: the text was matched by
    order alone, so a text that is typed for it goes before.
    """

    tokens: tuple[Token, ...]
    text: str | None = None
    second: Prompt | None = field(default=None, repr=False)
    encoder: str = ""
    is_guess: bool = False

    @property
    def length(self) -> int:
        """Number of columns, padding included."""
        return len(self.tokens)

    @property
    def each_text(self) -> tuple[Prompt, ...]:
        """The text of each encoder: one, or two where they differ."""
        return (self,) if self.second is None else (self, self.second)

    @property
    def recorded_columns(self) -> tuple[int, ...]:
        """Columns worth keeping: start, text and end tokens of either text; no padding, and nothing of a longer second text
        beyond the first's, where ComfyUI cuts it."""
        columns = {t.column for text in self.each_text for t in text.tokens[: self.length] if t.kind != PAD}
        return tuple(sorted(columns))

    @property
    def texts(self) -> list[str]:
        """What was typed, each text once: of the first encoder, then of the second."""
        found = [reading.text.typed for reading in self._readings]
        if self.second is not None:
            found += self.second.texts
        return list(dict.fromkeys(text for text in found if text.strip()))

    def words(self) -> list[Word]:
        """Every word in reading order: runs of letters and digits with the marks inside them, as typed."""
        return self.entries("words")

    def tags(self) -> list[Word]:
        """What stands between commas and line breaks, in reading order, as typed."""
        return self.entries("tags")

    def entries(self, unit: str = "auto") -> list[Word]:
        """What one entry is: `words`, `tags`, or `auto`, which takes tags from a text that is mostly short phrases between commas
        (at least three, half of them of at most three words), and words from others."""
        if unit not in UNITS:
            raise ValueError(f"unit is {unit!r}; it must be one of {', '.join(UNITS)}.")
        return self._of_all_texts(lambda reading: reading.entries(unit))

    def find(self, name: str, unit: str = "auto") -> Word:
        """The columns of a word, tag or phrase: `cat`, `cowboy hat`, `cat#2` for the second one.

        Case, white space, Unicode form, weights, escapes, and the difference of `_`, `-` and a space do not matter. Without a
        number all occurrences count together; but where the entries are tags, a name that is a whole tag means that tag and no
        part of another. A part of a word may be asked for where no whole word is called so. Raises WordNotFound.
        """
        for spelling in dict.fromkeys((name, without_weights(name))):
            found = self._find(spelling, unit)
            if found:
                columns = tuple(sorted({c for word in found for c in word.columns}))
                return Word(name.strip(), columns, found[0].weight)
        raise WordNotFound(self._not_found(name))

    def listed(self, unit: str = "auto", numbered: Container[str] = ()) -> list[tuple[str, Word]]:
        """Every entry with the name by which `find` finds it and nothing else: `cat`, or `cat#2` where the name alone would mean
        others too. numbered: keys of names that are to have their number in any case."""
        entries = self.entries(unit)
        whole = self._whole_tags(unit)
        numbers: dict[str, dict[tuple[int, ...], int]] = {}
        names = []
        for word in entries:
            same = key(word.text)
            if same not in numbers:
                found = self._occurrences(same)
                numbers[same] = {one.columns: number for number, one in enumerate(found, 1)}
            meant = [tag.columns for tag in whole.get(same, ())] or list(numbers[same])
            number = numbers[same].get(word.columns)
            bare = number is None or (meant == [word.columns] and same not in numbered)
            names.append((word.text if bare else f"{word.text}#{number}", word))
        return names

    def has(self, name: str) -> bool:
        """Whether the name stands in the prompt as whole words."""
        return bool(self._occurrences(key(name)))

    @property
    def typed_parts(self) -> list[tuple[int, int, str]]:
        """(first column, the one after the last, text) of each typed text, in the order of the columns."""
        return [
            (reading.tokens[0][0], reading.tokens[-1][0] + 1, reading.text.typed)
            for reading in self._readings
        ]

    @property
    def words_of_columns(self) -> dict[int, Word]:
        """The word that each column of the first text belongs to."""
        return {
            column: word for reading in self._readings for word in reading.words for column in word.columns
        }

    def filled(self, length: int, before: bool) -> Prompt:
        """With padding up to so many columns, before or behind it."""
        more = length - self.length
        padding = tuple(Token(column, PAD) for column in range(more))
        tokens = (*padding, *self.tokens) if before else (*self.tokens, *padding)
        second = None if self.second is None else self.second.filled(length, before)
        tokens = tuple(replace(token, column=column) for column, token in enumerate(tokens))
        return replace(self, tokens=tokens, second=second)

    # -- finding ----------------------------------------------------------------------------------------------

    def _find(self, name: str, unit: str) -> list[Word]:
        wanted, number = _split_occurrence(name)
        if number is not None:
            found = self._occurrences(wanted)
            if 0 < number <= len(found):
                return [found[number - 1]]
            literal = self._occurrences(key(name))  # a word may really hold `#3`
            if found and not literal:
                asked = "“{word}” asks for occurrence {number}, but the prompt has the word {count} times."
                if len(found) == 1:
                    asked = "“{word}” asks for occurrence {number}, but the prompt has the word once."
                raise WordNotFound(said(asked, word=name, number=number, count=len(found)))
            return literal
        if not wanted:
            return []
        return self._whole_tags(unit).get(wanted) or self._occurrences(wanted) or self._parts(wanted)

    def _whole_tags(self, unit: str) -> dict[str, list[Word]]:
        """Key → the tags that are called so, of texts whose entries are tags."""
        tags: dict[str, list[Word]] = {}
        for tag in self._of_all_texts(
            lambda reading: reading.tags if reading.unit_of(unit) == "tags" else []
        ):
            tags.setdefault(key(tag.text), []).append(tag)
        return tags

    def _occurrences(self, wanted: str) -> list[Word]:
        """Whole words that spell the key one after the other."""
        return self._of_all_texts(lambda reading: reading.occurrences(wanted))

    def _parts(self, wanted: str) -> list[Word]:
        return self._of_all_texts(lambda reading: reading.parts(wanted))

    def _of_all_texts(self, words_of: Callable[[Reading], list[Word]]) -> list[Word]:
        """Words of the first text beside those of the second."""
        found = [word for reading in self._readings for word in words_of(reading)]
        if self.second is None:
            return found
        return self._beside(found, self.second._of_all_texts(words_of), self.second.encoder)

    def _beside(self, mine: list[Word], theirs: list[Word], encoder: str) -> list[Word]:
        """Words of both texts, `theirs` of the other encoder: what stands in both, counted by its occurrences, has the columns of both."""
        waiting: dict[str, list[Word]] = {}
        for word in theirs:
            columns = tuple(column for column in word.columns if column < self.length)
            if columns:
                waiting.setdefault(key(word.text), []).append(
                    replace(word, columns=columns, encoders=encoder)
                )
        both = []
        for word in mine:
            others = waiting.get(key(word.text))
            if others:
                other = others.pop(0)
                both.append(replace(word, columns=tuple(sorted({*word.columns, *other.columns}))))
            else:
                both.append(replace(word, encoders=self.encoder))
        return both + [word for words in waiting.values() for word in words]

    @cached_property
    def _readings(self) -> list[Reading]:
        """The typed texts that the tokens come from, in order: one, or several after ConditioningConcat."""
        readings: list[tuple[TypedText, list[tuple[int, Range, float]]]] = []
        for token in self.tokens:
            if token.source is None or token.place is None:
                continue
            source, tokens = readings[-1] if readings else (None, [])
            if source is None or source.typed != token.source.typed or token.place < tokens[-1][1]:
                tokens = []
                readings.append((token.source, tokens))
            tokens.append((token.column, token.place, token.weight))
        return [Reading(source, tuple(tokens)) for source, tokens in readings]

    def _not_found(self, name: str) -> str:
        every = list(dict.fromkeys(word.text for word in self.entries()))
        names = [text for text in every if not is_all_filler(text)] or every
        if not names:
            return said("“{word}” is not in the prompt: the prompt is empty.", word=name)
        missing = key(name) if key(name).startswith("embedding:") else None
        if missing and any(
            key(f"embedding:{e.name}") == missing for r in self._readings for e in r.text.embeddings
        ):
            return said(
                "“{word}” is in the prompt, but ComfyUI found no embedding file of that name and left it out.",
                word=name,
            )
        listed = (
            "The prompt's tags are: {words}."
            if self._whole_tags("auto")
            else "The prompt's words are: {words}."
        )
        shown = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
        by_key = {key(n): n for n in names}
        nearest = difflib.get_close_matches(key(name), list(by_key), n=1, cutoff=0.6)
        hint = said("Did you mean “{word}”?", word=by_key[nearest[0]]) if nearest else ""
        return sentences(said("“{word}” is not in the prompt.", word=name), hint, said(listed, words=shown))


def concatenate(parts: Sequence[Sequence[Token]]) -> Prompt:
    """One prompt from chunks of tokens, columns numbered anew (ConditioningConcat)."""
    return Prompt(
        tuple(replace(t, column=column) for column, t in enumerate(t for part in parts for t in part))
    )


def _split_occurrence(name: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.*\S)\s*#\s*(\d{1,4})\s*", name, flags=re.DOTALL)
    if match and int(match.group(2)) > 0:
        return key(match.group(1)), int(match.group(2))
    return key(name), None
