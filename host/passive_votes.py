"""Counts votes for head relevance while an artist works: one growing file for each checkpoint and set of concepts.

    options = RecordOptions(votes=passive_votes(clip, "general"))

The file is models/hrv/collected_<concepts>_<checkpoint>_<words>.safetensors. <checkpoint> are the first digits of
`weights_identity`, which LoRAs do not change; <words> those of a hash of the concept words.
"""

from __future__ import annotations

import atexit
import json
import logging
import random
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

import torch

from ..hrv import vector_files
from ..hrv.building import words_hash
from ..hrv.concepts import ConceptWords
from ..hrv.known_layouts import describe
from ..hrv.layout import Layout
from ..hrv.vectors import HeadRelevance
from ..hrv.votes import VoteCounter
from . import concept_store, paths, vector_store
from .blocks import layout_of
from .cancel import CANCELS
from .concept_words import encode_words
from .weights_identity import weights_identity

SAVE_EVERY = 60.0  # seconds


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
        self._model = None

    def begin(self, guider) -> VoteCounter:
        self._model = guider.model_patcher
        counter = VoteCounter(
            layout_of(self._model.model.diffusion_model), self._encoded, random.SystemRandom().getrandbits(63)
        )
        counter.begin("")
        return counter

    def end(self, counter: VoteCounter) -> None:
        counter.commit()
        counter.forget_keys()
        model, self._model = self._model, None
        network = model.model
        if network not in _identities:
            _identities[network] = weights_identity(model)
        weights = _identities[network]
        name = f"collected_{self._name}_{weights[:8]}_{words_hash(self._words)[:6]}.safetensors"
        path = paths.own_folder() / name
        with _lock:
            pending = _pending.get(path) or _Pending(
                self._words, counter.layout, weights, torch.zeros_like(counter.votes)
            )
            pending.votes = pending.votes + counter.votes
            pending.samplings += 1
            pending.with_patches += bool(model.patches)
            _pending[path] = pending
            if time.monotonic() - _saved_at.get(path, -SAVE_EVERY) >= SAVE_EVERY:
                _save(path)


def passive_votes(clip, concepts: str) -> PassiveVotes | None:
    """A PassiveVotes, or None with a warning: that votes cannot be collected must not keep a picture from being made."""
    try:
        if clip is None:
            raise ValueError("connect clip, so that the concept words can be encoded")
        return PassiveVotes(clip, concepts)
    except CANCELS:
        raise
    except Exception as error:
        logging.warning("[HRV] Record Attention collects no votes: %s", error)
        return None


def save_all() -> None:
    """Writes what is pending; a file that cannot be written is named in the log."""
    with _lock:
        for path in list(_pending):
            try:
                _save(path)
            except (OSError, ValueError) as error:
                logging.warning("[HRV] Votes collected while working were not saved: %s", error)


def _save(path: Path) -> None:
    """Adds what is pending to the file, and forgets it once it is written."""
    new = _pending[path]
    _saved_at[path] = time.monotonic()
    votes, samplings, with_patches = new.votes, new.samplings, new.with_patches
    if path.is_file():
        there = vector_files.read(path)
        if there.votes is None or there.concepts != new.words.concepts or there.layout != new.layout:
            raise ValueError(
                f"{path} holds other vectors. Move it away, so that votes can be collected again."
            )
        before = json.loads(there.metadata.get("construction") or "{}")
        votes = votes + there.votes
        samplings += int(before.get("samplings", 0))
        with_patches += int(before.get("samplings_with_loras", 0))
    construction = {
        "samplings": samplings,
        "samplings_with_loras": with_patches,
        "weights": new.weights,
        "concept_words_hash": words_hash(new.words),
    }
    metadata = {
        "title": f"Collected while working: {new.words.title}",
        "model": f"{describe(new.layout)}, checkpoint {new.weights[:8]}",
        "source": "Record Attention, collect_votes",
        "construction": json.dumps(construction),
    }
    vector_store.replace(path, HeadRelevance.from_votes(new.words.concepts, votes, new.layout, metadata))
    del _pending[path]


atexit.register(save_all)
