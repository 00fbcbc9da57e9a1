"""Adding up head relevance that several builds gave for the same model and concepts."""

from __future__ import annotations

import json

import torch

from . import agreement_relevance
from .known_layouts import describe
from .vectors import HeadRelevance


def merge(first: HeadRelevance, second: HeadRelevance) -> HeadRelevance:
    """Vectors with the votes, or the agreement scores, of both added up; concepts in the order of `first`.

    Raises ValueError when neither can be added, both are the same, or of other heads or concepts.
    """
    by_agreement = [agreement_relevance.is_agreement(vectors) for vectors in (first, second)]
    if not any(by_agreement):
        _check_votes_there(first, second)
    elif not all(by_agreement):
        raise ValueError(
            "One of these was built by agreement, the other was not: what they count is not the same. Merge vectors that "
            "were built by the same method."
        )
    _check_same_kind(first, second)
    rows = [second.concepts.index(concept) for concept in first.concepts]
    metadata = _merged_metadata(first.metadata, second.metadata)
    if all(by_agreement):
        sums, more = agreement_relevance.sums_of(first), agreement_relevance.sums_of(second)
        _check_different(torch.equal(first.relevance, second.relevance[rows]) and sums.seen.any(), "scores")
        return (sums + more[rows]).vectors(first.concepts, first.layout, metadata)
    votes = second.votes[rows]
    _check_different(torch.equal(votes, first.votes) and votes.any(), "votes")
    return HeadRelevance.from_votes(first.concepts, first.votes + votes, first.layout, metadata)


def _check_votes_there(first: HeadRelevance, second: HeadRelevance) -> None:
    for name, vectors in (("first", first), ("second", second)):
        if vectors.votes is None:
            raise ValueError(
                f"The {name} vectors hold no votes, so nothing can be added to them. Published vectors come without "
                "votes; vectors that you build yourself have them."
            )


def _check_same_kind(first: HeadRelevance, second: HeadRelevance) -> None:
    if first.layout != second.layout:
        raise ValueError(
            f"Vectors of different models cannot be merged: the first are for {describe(first.layout)}, the second for "
            f"{describe(second.layout)}{' in other places' if first.heads == second.heads else ''}."
        )
    if set(first.concepts) != set(second.concepts):
        only = [sorted(set(a.concepts) - set(b.concepts)) for a, b in ((first, second), (second, first))]
        raise ValueError(
            "Only vectors of the same concepts can be merged. "
            + " ".join(
                f"Only the {name} have: {', '.join(names)}."
                for name, names in zip(("first", "second"), only, strict=True)
                if names
            )
        )


def _check_different(same: bool, what: str) -> None:
    if same:
        raise ValueError(
            f"Both inputs hold exactly the same {what}. Merging them would count each twice: connect another file, "
            "or build with another seed."
        )


def _merged_metadata(first: dict[str, str], second: dict[str, str]) -> dict[str, str]:
    """Equal strings once, different ones joined; constructions as a flat list under "merged"."""
    merged = {}
    for key in [*first, *(key for key in second if key not in first)]:
        values = [m[key] for m in (first, second) if m.get(key)]
        if key == "construction":
            parts = []
            for value in map(json.loads, values):
                is_list = isinstance(value, dict) and isinstance(value.get("merged"), list)
                parts += value["merged"] if is_list else [value]
            merged[key] = json.dumps({"merged": parts})
        else:
            merged[key] = " + ".join(dict.fromkeys(part for value in values for part in value.split(" + ")))
    return merged
