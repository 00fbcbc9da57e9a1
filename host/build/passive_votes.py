"""Counts votes for head relevance while an artist works: one growing file for each checkpoint and set of concepts.

    options = RecordOptions(votes=passive_votes(clip, "general"))

The file is models/hrv/collected_<concepts>_<checkpoint>_<words>.safetensors. <checkpoint> are the first digits of
`weights_identity`, which LoRAs do not change; <words> those of a hash of the concept words. Several ComfyUI servers may share the
folder: each adds to what is there while it holds the file's lock.
"""

from __future__ import annotations

import atexit
import json
import logging
import random
import secrets
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

import torch

from ...hrv.files import vector_files
from ...hrv.files.writing import held
from ...hrv.heads.known_layouts import layout_in_words
from ...hrv.heads.layout import Layout
from ...hrv.relevance.building import words_hash
from ...hrv.relevance.concepts import ConceptWords
from ...hrv.relevance.construction import parts_of
from ...hrv.relevance.vectors import HeadRelevance
from ...hrv.relevance.votes import VoteCounter
from ...hrv.wording import said
from ..facts import paths
from ..facts.guider import patcher_of
from ..facts.layers import layout_of_model
from ..facts.patcher import is_patched
from ..facts.weights_identity import weights_identity
from ..page import log
from ..store import concept_store, vector_store
from ..text.concept_words import encode_words

SAVE_EVERY = 60.0  # seconds
PATIENCE = 2.0  # seconds to wait for another server that is just saving; what is not saved then is kept for the next time
PATIENCE_AT_THE_END = 10.0
OFF = "off"  # instead of concepts: no votes are collected
NO_CLIP = "connect clip so that the concept words can be encoded"
NOT_COLLECTED = "Record Attention is not collecting votes: {reason}"


@dataclass(frozen=True)
class _Network:
    """What is drawing: the identity of its checkpoint, and whether LoRAs or the like change it."""

    weights: str
    is_patched: bool


@dataclass
class _Pending:
    """Votes that are not in their file yet."""

    words: ConceptWords
    layout: Layout
    weights: str
    votes: torch.Tensor
    samplings: int = 0
    with_patches: int = 0


_pending: dict[Path, _Pending] = {}
_saved_at: dict[Path, float] = {}
_identities: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # a loaded network → its identity
_lock = threading.RLock()


class PassiveVotes:
    """A VoteKeeper that adds every finished sampling to the file of its checkpoint.

    Raises ValueError when the concept words cannot be read or encoded.
    """

    def __init__(self, clip, concepts: str):
        self._name, self._words = concepts, concept_store.load(concepts)
        self._encoded = encode_words(clip, self._words)
        # by counter, which dies with its sampling, so that a cancel leaves nothing; never a model, whose options lead here
        self._networks: weakref.WeakKeyDictionary[VoteCounter, _Network] = weakref.WeakKeyDictionary()

    def begin(self, guider) -> VoteCounter:
        model = patcher_of(guider)
        counter = VoteCounter(layout_of_model(model), self._encoded, random.SystemRandom().getrandbits(63))
        counter.begin("")
        self._networks[counter] = _network(model)
        return counter

    def end(self, counter: VoteCounter) -> None:
        counter.commit()
        counter.forget_keys()
        network = self._networks.pop(counter)
        weights = network.weights
        name = f"collected_{self._name}_{weights[:8]}_{words_hash(self._words)[:6]}.safetensors"
        path = paths.own_folder() / name
        with _lock:
            pending = _pending.get(path) or _Pending(
                self._words, counter.layout, weights, torch.zeros_like(counter.votes)
            )
            pending.votes = pending.votes + counter.votes
            pending.samplings += 1
            pending.with_patches += network.is_patched
            _pending[path] = pending
            if time.monotonic() - _saved_at.get(path, -SAVE_EVERY) >= SAVE_EVERY:
                try:
                    _save(path, PATIENCE)
                except OSError as error:
                    logging.warning(
                        "[HRV] Votes collected while working are kept and will be saved later: %s", error
                    )


def _network(model) -> _Network:
    """model: ModelPatcher."""
    if model.model not in _identities:
        _identities[model.model] = weights_identity(model)
    return _Network(_identities[model.model], is_patched(model))


def passive_votes(clip, concepts: str) -> PassiveVotes | None:
    """A PassiveVotes, or None for `OFF`; also None, with a warning, where votes cannot be collected: that must not keep an image
    from being made."""
    if concepts == OFF:
        return None

    def make() -> PassiveVotes:
        if clip is None:
            raise ValueError(NO_CLIP)
        return PassiveVotes(clip, concepts)

    return log.made_or_warning(make, lambda reason: said(NOT_COLLECTED, reason=reason))


def save_all() -> None:
    """Writes what is pending. Into a file of its own where the usual one cannot be replaced; what cannot be written at all is
    named in the log."""
    with _lock:
        for path in list(_pending):
            try:
                try:
                    _save(path, PATIENCE_AT_THE_END)
                except (OSError, ValueError) as error:
                    _save_beside(path, error)
            except (OSError, ValueError) as error:
                logging.warning("[HRV] Votes collected while working were not saved: %s", error)


def _save(path: Path, patience: float) -> None:
    """Adds what is pending to the file, and forgets it once it is written."""
    new = _pending[path]
    _saved_at[path] = time.monotonic()
    with held(path, patience):
        vector_store.replace(path, _added(path, new))
    del _pending[path]


def _save_beside(path: Path, error: Exception) -> None:
    """Writes what is pending under a new name, because another program has the file, or it holds something else."""
    beside = vector_store.save(_vectors(_pending[path]), path.stem)
    logging.warning(
        "[HRV] %s The votes collected while working are in %s instead; Merge Head Relevance can add them up.",
        error,
        beside,
    )
    del _pending[path]


def _added(path: Path, new: _Pending) -> HeadRelevance:
    """What is pending, and what the file holds already. Raises ValueError for a file that holds something else."""
    if not path.is_file():
        return _vectors(new)
    there = vector_files.read(path)
    parts = parts_of(there.metadata)
    before = parts[0] if len(parts) == 1 and isinstance(parts[0], dict) else {}
    fits = there.votes is not None and there.concepts == new.words.concepts and there.layout == new.layout
    if not fits or before.get("weights") != new.weights:
        raise ValueError(
            f"{path} holds different vectors. Move it elsewhere so that votes can be collected again."
        )
    return _vectors(new, before, there.votes)


def _vectors(new: _Pending, before: dict | None = None, votes: torch.Tensor | None = None) -> HeadRelevance:
    """Vectors of what is pending, added to `votes` of a file with the construction `before`."""
    before = before or {}
    construction = {
        # told apart from other collections when files are merged; a file keeps it as it grows
        "id": before.get("id") or secrets.token_hex(8),
        "samplings": new.samplings + int(before.get("samplings", 0)),
        "samplings_with_loras": new.with_patches + int(before.get("samplings_with_loras", 0)),
        "weights": new.weights,
        "concept_words_hash": words_hash(new.words),
    }
    metadata = {
        "title": f"Collected while working: {new.words.title}",
        "model": f"{layout_in_words(new.layout)}, checkpoint {new.weights[:8]}",
        "source": "Record Attention, collect_votes",
        "construction": json.dumps(construction),
    }
    total = new.votes if votes is None else new.votes + votes
    return HeadRelevance.from_votes(new.words.concepts, total, new.layout, metadata)


atexit.register(save_all)
