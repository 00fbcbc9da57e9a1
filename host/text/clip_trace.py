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
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ...hrv.prompt import Prompt, parse_chunks
from ..facts.cancel import CANCELS
from ..facts.text_encoder import embedding_of, piece_of, tokens_of
from .spelled_texts import is_spelled
from .text_registry import PARTLY_KNOWN, TAG, TextRegistry
from .typed_texts import TYPED

SOURCE = "hrv_texts"


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
    registry.clip = functools.partial(_untraced_of, weakref.ref(traced))
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


def _untraced_of(reference: weakref.ref):
    clip = reference()
    return None if clip is None else untraced(clip)


@functools.cache
def _traced(cls: type) -> type:
    return type("TracedCLIP", (_Tracing, cls), {})
