"""One typed text beside the columns of its tokens: which columns a word has, and where a name stands."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from .alignment import clusters
from .names import INDIFFERENT, letters_of
from .tokens import Word
from .typed_text import Range, TypedText

TAG_LIST, SHORT = 3, 3  # so many tags, half of them of at most so many words, make a list of tags
LEAST_PART = 3  # letters of a part of a word that may be asked for inside its letters


@dataclass(frozen=True)
class _Letters:
    """A text as `key` writes it, with `owners`: for each letter the characters of `TypedText.clean` that it comes from. Tags
    are parted by a line break, which no key has."""

    text: str
    owners: tuple[Range, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """tokens: (column, characters, weight) in reading order."""

    text: TypedText
    tokens: tuple[tuple[int, Range, float], ...]

    @cached_property
    def words(self) -> list[Word]:
        """Words that have columns. Each token belongs to one word at most: to the first whose characters it stands for."""
        return self._listed(self.text.words, self._tokens_of_words)

    @cached_property
    def tags(self) -> list[Word]:
        """Tags that have columns: those of their words."""
        words = self.text.words
        owned: list[list[int]] = [[] for _ in self.text.tags]
        starts = [start for start, _ in self.text.tags]
        for word, tokens in zip(words, self._tokens_of_words, strict=True):
            owned[bisect.bisect_right(starts, word[0]) - 1].extend(tokens)
        return self._listed(self.text.tags, owned)

    def entries(self, unit: str) -> list[Word]:
        """Words or tags; unit: `words`, `tags` or `auto`."""
        return self.tags if self.unit_of(unit) == "tags" else self.words

    def unit_of(self, unit: str) -> str:
        """`words` or `tags`: `auto` takes tags where the text is mostly short phrases between commas."""
        if unit != "auto":
            return unit
        lengths = sorted(len(tag.text.split()) for tag in self.tags)
        return "tags" if len(lengths) >= TAG_LIST and lengths[len(lengths) // 2] <= SHORT else "words"

    def occurrences(self, wanted: str) -> list[Word]:
        """Where whole words, one after the other and within a tag, spell the key."""
        found, end = [], 0
        for first, last, start, stop in self._matches(wanted):
            words = self._words_at(start, stop)
            if first < end or not words:
                continue
            begin, finish = self._key_ranges[words[0]][0], self._key_ranges[words[-1]][1]
            if (begin is None or first <= begin) and (finish is None or last >= finish):
                found.extend(self._word((start, stop), [t for w in words for t in self._tokens_of_words[w]]))
                end = last
        return found

    def parts(self, wanted: str) -> list[Word]:
        """Where the key is a part of a word: between marks, digits and letters, anywhere in scripts without spaces, and where
        tokens can tell it from the rest of the word."""
        found, end = [], 0
        for begin, finish, start, stop in self._matches(wanted):
            tokens = [
                n for n, (_, (first, last), _) in enumerate(self.tokens) if first < stop and last > start
            ]
            if begin < end or not tokens:
                continue
            exact = self.tokens[tokens[0]][1][0] >= start and self.tokens[tokens[-1]][1][1] <= stop
            if (self._is_border(start) and self._is_border(stop)) or (exact and len(wanted) >= LEAST_PART):
                found.extend(self._word((start, stop), tokens))
                end = finish
        return found

    # -- tokens -----------------------------------------------------------------------------------------------

    @cached_property
    def _tokens_of_words(self) -> list[list[int]]:
        """For each word of the text the numbers of its tokens."""
        owned: list[list[int]] = [[] for _ in self.text.words]
        for number, (_, (start, stop), _) in enumerate(self.tokens):
            word = bisect.bisect_right(self._stops, start)
            if word < len(self._stops) and self.text.words[word][0] < stop:
                owned[word].append(number)
        return owned

    def _listed(self, parts: Sequence[Range], tokens: Sequence[list[int]]) -> list[Word]:
        return [word for part, owned in zip(parts, tokens, strict=True) for word in self._word(part, owned)]

    def _word(self, part: Range, tokens: list[int]) -> list[Word]:
        """One word, or none where no token is left of it (cut off, or an embedding without a file)."""
        if not tokens:
            return []
        columns = tuple(self.tokens[number][0] for number in tokens)
        return [Word(self.text.name(part), columns, self.tokens[tokens[0]][2])]

    # -- letters ----------------------------------------------------------------------------------------------

    @cached_property
    def _letters(self) -> _Letters:
        text, owners, end = [], [], 0
        for start, stop in self.text.tags:
            if text:
                text.append("\n")
                owners.append((end, start))
            for place, letters in self._spelled(start, stop):
                text.append(letters)
                owners.extend([place] * len(letters))
            end = stop
        return _Letters("".join(text), tuple(owners))

    def _spelled(self, start: int, stop: int) -> list[tuple[Range, str]]:
        """The letters of one tag, each with its characters."""
        clean = self.text.clean
        if clean[start:stop].isascii() and "\\" not in clean[start:stop]:
            kept = (place for place in range(start, stop) if clean[place] not in INDIFFERENT)
            found = [((place, place + 1), clean[place].lower()) for place in kept]
            if found:
                return found
        places = list(clusters(self.text, start, stop))
        return list(zip(places, letters_of([clean[first:last] for first, last in places]), strict=True))

    @cached_property
    def _key_ranges(self) -> list[tuple[int | None, int | None]]:
        """For each word its first letter and the one after its last in `_letters`; None for a word without letters there."""
        ranges: list[tuple[int | None, int | None]] = []
        owners = self._letters.owners
        starts = [start for start, _ in owners]
        for start, stop in self.text.words:
            first, last = bisect.bisect_left(starts, start), bisect.bisect_left(starts, stop)
            ranges.append((first, last) if first < last else (None, None))
        return ranges

    def _matches(self, wanted: str) -> Iterator[tuple[int, int, int, int]]:
        """(first letter, one after the last, first character, one after the last) of each place where the key stands."""
        letters, first = self._letters, 0
        while wanted and (first := letters.text.find(wanted, first)) >= 0:
            last = first + len(wanted)
            yield first, last, letters.owners[first][0], letters.owners[last - 1][1]
            first += 1

    @cached_property
    def _stops(self) -> list[int]:
        return [stop for _, stop in self.text.words]

    def _words_at(self, start: int, stop: int) -> list[int]:
        """Numbers of the words that have a character between the two places."""
        first = last = bisect.bisect_right(self._stops, start)
        while last < len(self._stops) and self.text.words[last][0] < stop:
            last += 1
        return list(range(first, last))

    def _is_border(self, place: int) -> bool:
        """Whether a part of a word may begin or end here."""
        classes, clean = self.text.classes, self.text.clean
        if not 0 < place < len(clean):
            return True
        before, after = classes[place - 1], classes[place]
        is_letter = before in "ac" and after in "ac"
        return not is_letter or "c" in before + after or clean[place - 1].isdigit() != clean[place].isdigit()
