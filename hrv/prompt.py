"""The tokens of a prompt and the words an artist sees in them.

A conditioning is a row of columns, one per token: a start token, the text, an end token, padding; prompts
longer than one chunk (77 columns) repeat that. Words are made of BPE pieces; a piece that ends in `</w>`
ends a word. Looking a word up ignores case and spaces.
"""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

START, END, PAD, TEXT, EMBEDDING = "start", "end", "pad", "text", "embedding"
START_ID, END_ID = 49406, 49407
UNITS = ("auto", "words", "tags")


@dataclass(frozen=True)
class Token:
    """One column of a conditioning. `piece` is the BPE piece, or `embedding:name` for a textual inversion."""

    column: int
    kind: str
    piece: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Word:
    """A word, tag or phrase of the prompt: how it is written, and its columns."""

    text: str
    columns: tuple[int, ...]
    weight: float = 1.0


class WordNotFound(ValueError):
    """The word is not in the prompt; the message lists what is, and the nearest word."""


@dataclass(frozen=True)
class Prompt:
    """The tokens of one text, in column order, padding included.

    `second` holds the tokens of the other text encoder where its text differs (SDXL with two texts);
    both share the columns.
    """

    tokens: tuple[Token, ...]
    text: str | None = None
    second: Prompt | None = field(default=None, repr=False)

    @property
    def length(self) -> int:
        """Number of columns, padding included."""
        return len(self.tokens)

    @property
    def recorded_columns(self) -> tuple[int, ...]:
        """Columns worth keeping: start, text and end tokens of either text; no padding, and nothing of a longer second text
        beyond the first's, where ComfyUI cuts it."""
        columns = {t.column for t in self.tokens if t.kind != PAD}
        if self.second is not None:
            columns |= {t.column for t in self.second.tokens[: self.length] if t.kind != PAD}
        return tuple(sorted(columns))

    def words(self) -> list[Word]:
        """Every word in reading order, punctuation left out."""
        return [w for w in _group_words(self.tokens) if _has_letters(w.text)]

    def tags(self) -> list[Word]:
        """The phrases between commas, in reading order."""
        tags, current = [], []
        for word in _group_words(self.tokens):
            if word.text.strip() and set(word.text.strip()) <= set(",;|"):
                tags.append(current)
                current = []
            else:
                current.append(word)
        tags.append(current)
        return [_join(words, self.text) for words in tags if any(_has_letters(w.text) for w in words)]

    def entries(self, unit: str = "auto") -> list[Word]:
        """What one entry is: `words`, `tags`, or `auto`, which takes tags when the prompt is mostly short
        phrases between commas (at least three, half of them of at most three words)."""
        if unit not in UNITS:
            raise ValueError(f"unit is {unit!r}; it must be one of {', '.join(UNITS)}.")
        if unit == "words":
            return self.words()
        tags = self.tags()
        if unit == "tags":
            return tags
        lengths = sorted(len(tag.text.split()) for tag in tags)
        is_tag_list = len(tags) >= 3 and lengths[len(lengths) // 2] <= 3
        return tags if is_tag_list else self.words()

    def find(self, text: str) -> Word:
        """The columns of a word or phrase: `cat`, `cowboy hat`, `cat#2` for the second one.

        Without a number all occurrences count together. Raises WordNotFound.
        """
        wanted, number = _split_occurrence(text)
        matches = self._occurrences(wanted)
        if not matches and self.second is not None:
            matches = self.second._occurrences(wanted)
        if number is not None and number > len(matches):
            literal = self._occurrences(_squeeze(text))  # a word may really hold '#3'
            if not literal and matches:
                times = "once" if len(matches) == 1 else f"{len(matches)} times"
                raise WordNotFound(
                    f"“{text}” asks for occurrence {number}, but the prompt has the word {times}."
                )
            matches, number = literal, None
        if not matches:
            raise WordNotFound(self._not_found(text))
        if number is not None:
            matches = [matches[number - 1]]
        columns = tuple(c for match in matches for c in match.columns)
        return Word(text.strip(), columns, matches[0].weight)

    def _occurrences(self, wanted: str) -> list[Word]:
        words = _group_words(self.tokens)
        found, start = [], 0
        while wanted and start < len(words):
            text, stop = "", start
            while stop < len(words) and len(text) < len(wanted):
                text += _squeeze(words[stop].text)
                stop += 1
            if text == wanted:
                found.append(_join(words[start:stop], self.text))
                start = stop
            else:
                start += 1
        return found

    def _not_found(self, text: str) -> str:
        names = list(dict.fromkeys(w.text for w in self.words()))
        if not names:
            return f"“{text}” is not in the prompt: the prompt has no words."
        shown = ", ".join(names[:40]) + (" …" if len(names) > 40 else "")
        nearest = difflib.get_close_matches(text.strip().lower(), [n.lower() for n in names], n=1, cutoff=0.5)
        hint = f" Did you mean “{nearest[0]}”?" if nearest else ""
        return f"“{text}” is not in the prompt.{hint} The prompt's words are: {shown}."


def parse_chunks(
    chunks: Sequence[Sequence[tuple[Any, ...]]],
    piece_of: Callable[[int], str],
    name_of_embedding: Callable[[Any], str],
    text: str | None = None,
) -> Prompt:
    """Tokens of one encoder as ComfyUI's tokenizer gives them.

    chunks: list of chunks of (token id or embedding vector, weight, …); `piece_of` maps an id to its BPE
    piece; `name_of_embedding` names the textual inversion a vector belongs to.
    """
    tokens: list[Token] = []
    for chunk in chunks:
        ended = False
        for position, (token, weight, *_) in enumerate(chunk):
            column = len(tokens)
            if not isinstance(token, int):
                tokens.append(Token(column, EMBEDDING, name_of_embedding(token), float(weight)))
            elif ended:
                tokens.append(Token(column, PAD))
            elif position == 0 and token == START_ID:
                tokens.append(Token(column, START))
            elif token == END_ID:
                tokens.append(Token(column, END))
                ended = True
            else:
                tokens.append(Token(column, TEXT, piece_of(token), float(weight)))
    return Prompt(tuple(tokens), text)


def concatenate(parts: Sequence[Sequence[Token]]) -> Prompt:
    """One prompt from chunks of tokens, columns numbered anew (ConditioningConcat)."""
    tokens = [t for part in parts for t in part]
    return Prompt(tuple(Token(i, t.kind, t.piece, t.weight) for i, t in enumerate(tokens)))


def split_names(text: str) -> list[str]:
    """What an artist typed in a words field, split at commas and line ends."""
    return [name.strip() for name in re.split(r"[,\n]", text) if name.strip()]


def _has_letters(text: str) -> bool:
    """Whether a group of pieces is a word: it has a letter, a digit or a pictograph, and is no ending like 's."""
    return any(c.isalnum() or unicodedata.category(c) == "So" for c in text) and not text.startswith("'")


@functools.cache
def _byte_of_letter() -> dict[str, int]:
    """CLIP writes each byte of a text as one printable letter (Radford et al. 2019, byte-level BPE): bytes that
    print stand for themselves, the others follow from letter 256 on."""
    printing = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printing]
    return {chr(b): b for b in printing} | {chr(256 + i): b for i, b in enumerate(others)}


def _spell(pieces: Iterable[str]) -> str:
    """The text of BPE pieces: `cafÃ©` is café. Pieces that are no UTF-8 together stay as they are."""
    letters = "".join(pieces)
    try:
        return bytes(_byte_of_letter()[letter] for letter in letters).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return letters


def _squeeze(text: str) -> str:
    return "".join(text.lower().split())


def _split_occurrence(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.*\S)\s*#\s*(\d{1,4})\s*", text, flags=re.DOTALL)
    if match and int(match.group(2)) > 0:
        return _squeeze(match.group(1)), int(match.group(2))
    return _squeeze(text), None


def _group_words(tokens: Sequence[Token]) -> list[Word]:
    """Pieces joined to words: up to the piece that ends a word, or all vectors of one textual inversion."""
    words: list[Word] = []
    open_word: list[Token] = []

    def close() -> None:
        if open_word:
            first = open_word[0]
            is_embedding = first.kind == EMBEDDING
            text = first.piece if is_embedding else _spell(t.piece.removesuffix("</w>") for t in open_word)
            words.append(Word(text, tuple(t.column for t in open_word), first.weight))
            open_word.clear()

    for token in tokens:
        if token.kind not in (TEXT, EMBEDDING):
            close()
            continue
        if open_word and EMBEDDING in (token.kind, open_word[0].kind) and token.piece != open_word[0].piece:
            close()
        open_word.append(token)
        if token.kind == TEXT and token.piece.endswith("</w>"):
            close()
    close()
    return words


def _join(words: Sequence[Word], text: str | None) -> Word:
    columns = tuple(c for w in words for c in w.columns)
    spelled = " ".join(w.text for w in words)
    if text is not None:
        pattern = r"[\s()]*".join(re.escape(c) for c in _squeeze(spelled))
        match = re.search(pattern, text, flags=re.IGNORECASE)
        if match and not re.search(r"[(),:]", match.group()):
            spelled = " ".join(match.group().split())
    return Word(spelled, columns, words[0].weight)
