"""What is known of texts that were encoded: which words the rows of an embedding stand for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...hrv.prompt import END_ID, PAD, Prompt, Token, concatenate, parse_chunks
from ...hrv.prompt.typed_text import IDENTIFIER, parse
from ...hrv.runs.latents import fingerprints
from ...hrv.wording import said, shortened
from ..facts.conditionings import COLUMN_IDS, CROSS_ATTN
from ..facts.text_encoder import CHUNK, ENCODERS, piece_of
from .bounded import remember
from .spelled_texts import SpelledTexts, is_spelled
from .typed_texts import TypedTexts

TAG = "hrv_prompt"
GUESSES_KEPT = 64
QUOTED = 80  # letters of a prompt in a message
CHANGED = said(
    "Another node has changed the prompt's conditioning (ConditioningAverage and the like). The words are "
    "those of its first text; each token may also carry part of another text."
)
PARTLY_KNOWN = said(
    "Part of the prompt was not encoded with the CLIP from Record Attention (or a steering node), or was "
    "changed afterwards, so its words are not known."
)
SEVERAL = said(
    "This conditioning holds a different prompt for each image of the batch (batch prompt schedules and "
    "the like), so its words are not known. Sample the images one by one, each with its own prompt."
)
GUESSED = (
    "The node that made this prompt runs the text encoder in its own way, so its words were matched by "
    "order with the text that it tokenized last: “{text}”. If that is not the prompt, type the prompt into "
    "prompt_text."
)


class TextRegistry:
    """Bounded memory of encoded texts: chunk fingerprint → tokens, token ids → text, vector → its name."""

    def __init__(self):
        self.typed = TypedTexts()
        self.spelled = SpelledTexts()
        self.clip: Callable[[], Any] = lambda: None  # a clone, untraced, of the traced one while it is there
        self._chunks: OrderedDict[str, tuple[Token, ...]] = OrderedDict()
        self._texts: OrderedDict[tuple, str] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()
        self._waiting: OrderedDict[tuple, Prompt] = (
            OrderedDict()
        )  # tokenized, not encoded through the traced CLIP
        self._guesses: OrderedDict[str, Prompt] = (
            OrderedDict()
        )  # fingerprint of a whole embedding → its prompt

    def __deepcopy__(self, memo) -> TextRegistry:
        """Conditionings that are copied deeply still lead here."""
        return self

    def note_text(self, text: str, tokens: dict[str, list], tokenize) -> None:
        """Called with what `clip.tokenize(text)` gave."""
        if is_spelled(tokens) or not _is_readable(tokens):
            return
        ids = _all_ids(tokens)
        for one in ids:
            remember(self._texts, one, text)
        if next(_vectors(tokens), None) is not None:
            for embedding in parse(text).embeddings:
                name = IDENTIFIER + embedding.name
                for vector in _vectors(tokenize(name.replace("(", "\\(").replace(")", "\\)"))):
                    remember(self._names, _vector_key(vector), name)
        prompt = self._parsed(tokens, ids)
        if prompt is not None:
            remember(self._waiting, ids, prompt, GUESSES_KEPT)

    def prompt(self, tokens: dict[str, list]) -> Prompt | None:
        """The prompt that these tokens, as `CLIP.encode_from_tokens` gets them, spell; None when the text encoder is not one of
        Stable Diffusion's, or the tokens have another form than ComfyUI gives them."""
        if not _is_readable(tokens):
            return None
        ids = _all_ids(tokens)
        return self._waiting.get(ids) or self._parsed(tokens, ids)

    def _parsed(self, tokens: dict[str, list], ids: tuple) -> Prompt | None:
        parsed = [
            replace(
                parse_chunks(tokens[encoder], piece_of, self._name_of, self._texts.get((encoder, known))),
                encoder=encoder,
            )
            for encoder, known in ids
        ]
        if not parsed:
            return None
        first, *others = parsed
        differs = others and [t.piece for t in others[0].tokens] != [t.piece for t in first.tokens]
        return replace(first, second=others[0] if differs else None)

    def note_embedding(self, prompt: Prompt, embedding: torch.Tensor) -> None:
        """embedding: (1, token, channel), what the text encoder made of the prompt."""
        for start, fingerprint in _chunk_fingerprints(embedding):
            remember(self._chunks, fingerprint, prompt.tokens[start : start + CHUNK])

    def note_encoding(self, tokens: dict[str, list]) -> None:
        """These tokens were encoded by the traced CLIP itself, so nothing need be guessed of them."""
        self._waiting.pop(_all_ids(tokens), None)

    def prompt_of(self, cond: dict[str, Any]) -> tuple[Prompt | None, str | None]:
        """(prompt, warning) of a conditioning dict as samplers hold it, with `cross_attn` (1, token, channel).

        Where the network makes the columns of ids, by these. By content where every chunk is known; else by the tag, if it has the right number of tokens; else
        what is known of it; else what was guessed. An embedding of zeros has no words.
        """
        embedding, tag = cond.get(CROSS_ATTN), cond.get(TAG)
        if embedding is None or embedding.ndim != 3 or not bool(embedding.any()):
            return None, None
        if len(embedding) > 1 and bool((embedding != embedding[:1]).any()):
            return None, SEVERAL
        ids = cond.get(COLUMN_IDS)
        if isinstance(ids, torch.Tensor):
            known = self.spelled.of_ids(ids)
            return (tag if known is None and tag is not None and tag.length == ids.numel() else known), None
        known = self.spelled.of_embedding(embedding)
        if known is not None:
            return (tag if tag is not None and tag.tokens == known.tokens else known), None
        length = embedding.shape[1]
        chunks = [self._chunks.get(f) for _, f in _chunk_fingerprints(embedding)]
        if chunks and all(c is not None for c in chunks):
            known = concatenate(chunks)
            return (tag if tag is not None and tag.tokens == known.tokens else known), None
        if tag is not None and tag.length == length:
            return tag, CHANGED if self._has_encoded(tag) else None
        if any(c is not None for c in chunks):
            unknown = [Token(0, PAD)] * CHUNK
            return concatenate([c or unknown for c in chunks]), PARTLY_KNOWN
        guess = self._guesses.get(fingerprints(embedding[:1])[0])
        return (
            (guess, said(GUESSED, text=shortened(guess.text or "", QUOTED)))
            if guess is not None
            else (None, None)
        )

    def read(self, text: str, length: int) -> Prompt | None:
        """The prompt that the traced CLIP would make of a text, in a conditioning of so many columns; None for CLIP's own kind, and where
        it is not known."""
        clip = self.clip()
        tokens = None if clip is None else clip.tokenize(text)
        if not is_spelled(tokens):
            return None
        self.spelled.note_text(clip, text, tokens, clip.tokenize)
        return self.spelled.prompt(clip, tokens, length)

    def guess(self, conds: Iterable[dict[str, Any]]) -> None:
        """Matches conditionings that nothing leads back to a text with texts that were tokenized but not encoded by the traced
        CLIP: some nodes run the text model themselves. conds: those of a sampling, positive ones first, as their texts are
        usually tokenized."""
        unknown: dict[str, int] = {}
        for cond in conds:
            prompt, warning = self.prompt_of(cond)
            if prompt is None and warning is None and cond.get(CROSS_ATTN) is not None:
                embedding = cond[CROSS_ATTN]
                if embedding.ndim == 3 and bool(embedding.any()):
                    unknown[fingerprints(embedding[:1])[0]] = embedding.shape[1]
        for length in dict.fromkeys(unknown.values()):
            wanted = [fingerprint for fingerprint, of in unknown.items() if of == length]
            texts = [ids for ids, prompt in self._waiting.items() if prompt.length == length][-len(wanted) :]
            for fingerprint, ids in zip(wanted, texts, strict=False):
                remember(self._guesses, fingerprint, replace(self._waiting.pop(ids), is_guess=True))

    def _has_encoded(self, prompt: Prompt) -> bool:
        return self.spelled.has(prompt) or any(
            tokens == prompt.tokens[:CHUNK] for tokens in self._chunks.values()
        )

    def _name_of(self, vector: torch.Tensor) -> str:
        return self._names.get(_vector_key(vector), "embedding")


def _is_readable(tokens) -> bool:
    """Whether tokens have the form that ComfyUI's tokenizers give: encoder → chunks of (token, weight, …)."""
    if not isinstance(tokens, dict):
        return False
    encoders = [tokens[encoder] for encoder in ENCODERS if encoder in tokens]
    return all(_is_list(chunks) and all(_is_list(c) and _is_chunk(c) for c in chunks) for chunks in encoders)


def _is_chunk(chunk: Sequence) -> bool:
    return all(
        _is_list(token)
        and len(token) >= 2
        and isinstance(token[0], (int, torch.Tensor))
        and isinstance(token[1], (int, float))
        for token in (*chunk[:1], *chunk[-1:])
    )


def _is_list(value) -> bool:
    return isinstance(value, (list, tuple))


def _ids(chunks: Sequence[Sequence]) -> tuple:
    """What one encoder's tokens are known by. Empty chunks at the end do not count: ComfyUI adds them where the other encoder's
    text is longer."""
    ids = [[t[0] if isinstance(t[0], int) else _vector_key(t[0]) for t in chunk] for chunk in chunks]
    while len(ids) > 1 and ids[-1][1:2] == [END_ID]:
        ids.pop()
    return tuple(token for chunk in ids for token in chunk)


def _all_ids(tokens: dict[str, list]) -> tuple:
    """(encoder, ids) of each encoder."""
    return tuple((encoder, _ids(tokens[encoder])) for encoder in ENCODERS if encoder in tokens)


def _vectors(tokens: dict[str, list]):
    return (
        t[0]
        for key in ENCODERS
        for chunk in tokens.get(key, ())
        for t in chunk
        if isinstance(t[0], torch.Tensor)
    )


def _vector_key(vector: torch.Tensor) -> str:
    return fingerprints(vector.reshape(1, -1))[0]


def _chunk_fingerprints(embedding: torch.Tensor) -> list[tuple[int, str]]:
    """(first column, fingerprint) of each 77-token chunk of (1, token, channel); empty for other lengths."""
    length = embedding.shape[1]
    if length == 0 or length % CHUNK:
        return []
    chunks = embedding[0].reshape(-1, CHUNK, embedding.shape[-1])
    return list(zip(range(0, length, CHUNK), fingerprints(chunks), strict=True))
