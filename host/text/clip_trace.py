"""Remembers which text a conditioning came from, without changing what is encoded.

`trace(clip, registry)` gives a clone of a CLIP. Whatever it (or a clone of it) encodes leaves two keys that
lead back from a sampled row to its words: a fingerprint of each 77-token chunk of the embedding, kept in the
registry, which survives nodes that rebuild conditionings; and a tag in the conditioning dict, which survives
nodes that change the numbers. The dict also leads to the registry, for readers that have none of their own:

    prompt, warning = find_prompt(cond, registries_of(conds))
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...hrv.prompt import END_ID, PAD, Prompt, Token, concatenate, parse_chunks
from ...hrv.prompt.typed_text import IDENTIFIER, parse
from ...hrv.runs.latents import fingerprints
from ...hrv.wording import shortened
from ..facts.cancel import CANCELS
from ..facts.conditionings import CROSS_ATTN
from ..facts.text_encoder import CHUNK, ENCODERS, embedding_of, piece_of, tokens_of
from .spelled_texts import SpelledTexts, is_spelled
from .typed_texts import TYPED, TypedTexts

TAG = "hrv_prompt"
SOURCE = "hrv_texts"
KEPT = 1024
GUESSES_KEPT = 64
QUOTED = 80  # letters of a prompt in a message
CHANGED = (
    "Another node has changed the prompt's conditioning (ConditioningAverage and the like). The words are "
    "those of its first text; each token may also carry part of another text."
)
PARTLY_KNOWN = (
    "Part of the prompt was not encoded with the CLIP from Record Attention (or a steering node), or was "
    "changed afterwards, so its words are not known."
)
SEVERAL = (
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
        self.clip: Callable[[], Any] = lambda: None  # the traced one, while it is there
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
            _remember(self._texts, one, text)
        if next(_vectors(tokens), None) is not None:
            for embedding in parse(text).embeddings:
                name = IDENTIFIER + embedding.name
                for vector in _vectors(tokenize(name.replace("(", "\\(").replace(")", "\\)"))):
                    _remember(self._names, _vector_key(vector), name)
        prompt = self._parsed(tokens, ids)
        if prompt is not None:
            _remember(self._waiting, ids, prompt, GUESSES_KEPT)

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
            _remember(self._chunks, fingerprint, prompt.tokens[start : start + CHUNK])

    def note_encoding(self, tokens: dict[str, list]) -> None:
        """These tokens were encoded by the traced CLIP itself, so nothing need be guessed of them."""
        self._waiting.pop(_all_ids(tokens), None)

    def prompt_of(self, cond: dict[str, Any]) -> tuple[Prompt | None, str | None]:
        """(prompt, warning) of a conditioning dict as samplers hold it, with `cross_attn` (1, token, channel).

        By content where every chunk is known; else by the tag, if it has the right number of tokens; else
        what is known of it; else what was guessed. An embedding of zeros has no words.
        """
        embedding, tag = cond.get(CROSS_ATTN), cond.get(TAG)
        if embedding is None or embedding.ndim != 3 or not bool(embedding.any()):
            return None, None
        if len(embedding) > 1 and bool((embedding != embedding[:1]).any()):
            return None, SEVERAL
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
            (guess, GUESSED.format(text=shortened(guess.text or "", QUOTED)))
            if guess is not None
            else (None, None)
        )

    def read(self, text: str, length: int) -> Prompt | None:
        """The prompt that the traced CLIP would make of a text, in a conditioning of so many columns; None for CLIP's own kind, and where
        it is not known."""
        clip = self.clip()
        tokens = None if clip is None else untraced(clip).tokenize(text)
        if not is_spelled(tokens):
            return None
        self.spelled.note_text(clip, text, tokens, untraced(clip).tokenize)
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
                _remember(self._guesses, fingerprint, replace(self._waiting.pop(ids), is_guess=True))

    def _has_encoded(self, prompt: Prompt) -> bool:
        return self.spelled.has(prompt) or any(
            tokens == prompt.tokens[:CHUNK] for tokens in self._chunks.values()
        )

    def _name_of(self, vector: torch.Tensor) -> str:
        return self._names.get(_vector_key(vector), "embedding")


class _Tracing:
    """Mixed into a CLIP's own class: notes what is encoded, and stays with every further clone. Stands around `METHODS` of
    facts/text_encoder.py, and no others."""

    hrv_registries: tuple[TextRegistry, ...] = ()

    def clone(self, *args, **kwargs):
        return _adopt(super().clone(*args, **kwargs), self.hrv_registries)

    def tokenize(self, text, *args, **kwargs):
        tokens = super().tokenize(text, *args, **kwargs)

        def tokenize_as(other: str):
            return super(_Tracing, self).tokenize(other, *args, **kwargs)

        self._each(lambda registry: registry.note_text(text, tokens, super(_Tracing, self).tokenize))
        self._each(lambda registry: registry.typed.note(text, tokens, kwargs))
        self._each(lambda registry: registry.spelled.note_text(self, text, tokens, tokenize_as))
        return tokens

    def encode_from_tokens(self, tokens, *args, **kwargs):
        out = super().encode_from_tokens(tokens, *args, **kwargs)
        keys = self._keys(tokens, [embedding_of(out)])
        if isinstance(out, dict):
            out.update(keys)
        return out

    def encode_from_tokens_scheduled(self, tokens, *args, **kwargs):
        out = super().encode_from_tokens_scheduled(tokens, *args, **kwargs)
        keys = self._keys(tokens, [embedding for embedding, _ in out])
        for _, values in out:
            values.update(keys)
        return out

    def _keys(self, tokens, embeddings: list[torch.Tensor]) -> dict[str, Any]:
        """What leads from a conditioning back to its text."""
        prompt, typed = self._note(tokens, embeddings), self.hrv_registries[0].typed.of(tokens)
        keys: dict[str, Any] = {} if prompt is None else {TAG: prompt, SOURCE: self.hrv_registries[0]}
        if typed is None:
            return keys
        self._each(lambda registry: [registry.typed.note_encoding(typed, one) for one in embeddings])
        return {**keys, TYPED: typed}

    def _note(self, tokens, embeddings: list[torch.Tensor]) -> Prompt | None:
        prompts = []

        def note(registry: TextRegistry) -> None:
            prompt = registry.spelled.prompt(self, tokens, embeddings[0].shape[1])
            if prompt is not None:
                prompts.append(prompt)
                for embedding in embeddings:
                    registry.spelled.note_embedding(prompt, embedding)
                return
            prompt = registry.prompt(tokens)
            fits = not is_spelled(tokens) or (prompt is not None and prompt.length == embeddings[0].shape[1])
            if prompt is not None and fits:
                prompts.append(prompt)
                registry.note_encoding(tokens)
                for embedding in embeddings:
                    registry.note_embedding(prompt, embedding)

        self._each(note)
        return prompts[0] if prompts else None

    def _each(self, note) -> None:
        try:
            for registry in self.hrv_registries:
                note(registry)
        except CANCELS:
            raise
        except Exception:  # noting must never stop a prompt from being encoded
            logging.warning(
                "[HRV] Could not note the words of a prompt; heatmaps need prompt_text.", exc_info=True
            )


def trace(clip, registry: TextRegistry):
    """A clone of `clip` whose encodings are noted in `registry`; the original is left alone."""
    traced = _adopt(clip.clone(), (*getattr(clip, "hrv_registries", ()), registry))
    registry.clip = weakref.ref(traced)
    return traced


def registries_of(conds: Iterable[dict[str, Any]]) -> list[TextRegistry]:
    """The registries that the conditionings of a sampling lead to, each once."""
    found = [cond[SOURCE] for cond in conds if isinstance(cond.get(SOURCE), TextRegistry)]
    return list(dict.fromkeys(found))


def find_prompt(cond: dict[str, Any], registries: Sequence[TextRegistry]) -> tuple[Prompt | None, str | None]:
    """`TextRegistry.prompt_of` by the first registry that knows the conditioning as a whole, else by the first that knows
    a part of it."""
    answers = [registry.prompt_of(cond) for registry in registries or [TextRegistry()]]
    known = [answer for answer in answers if answer[0] is not None]
    return min(known, key=lambda answer: answer[1] == PARTLY_KNOWN, default=answers[0])


def tokenize_text(text: str) -> Prompt:
    """Tokens of a text by CLIP's own tokenizer, for prompts whose encoding was not traced."""
    return parse_chunks(tokens_of(text), piece_of, lambda vector: "embedding", text)


def _adopt(clip, registries: tuple[TextRegistry, ...]):
    if not isinstance(clip, _Tracing):
        clip.__class__ = _traced(type(clip))
    clip.hrv_registries = registries
    return clip


def untraced(clip):
    """A clone whose encodings are noted nowhere."""
    clone = clip.clone()
    if isinstance(clone, _Tracing):
        clone.__class__ = type(clone).__mro__[2]
        del clone.hrv_registries
    return clone


@functools.cache
def _traced(cls: type) -> type:
    return type("TracedCLIP", (_Tracing, cls), {})


def _remember(store: OrderedDict, key, value, most: int = KEPT) -> None:
    store[key] = value
    store.move_to_end(key)
    while len(store) > most:
        store.popitem(last=False)


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
