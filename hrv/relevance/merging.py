"""Adding up head relevance that several builds gave for the same model and concepts."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable

import torch

from ..heads.known_layouts import layout_in_words
from . import agreement as agreement_relevance
from .building import BuildPlan, BuildState
from .construction import check_one_source, parts_of, text_of
from .vectors import HeadRelevance


def merge(first: HeadRelevance, second: HeadRelevance) -> HeadRelevance:
    """Vectors with the votes, or the agreement scores, of both added up; concepts in the order of `first`.

    Raises ValueError when neither can be added, when both hold the same votes or a part of them, and when they were counted on
    other heads, concepts, checkpoints or concept words.
    """
    by_agreement = [agreement_relevance.is_agreement(vectors) for vectors in (first, second)]
    if any(by_agreement) and not all(by_agreement):
        raise ValueError(
            "One of these was built by agreement and the other was not, so they count different things. "
            "Merge vectors that were built by the same method."
        )
    votes = None if all(by_agreement) else _votes_of(first, second)
    _check_same_kind(first, second)
    rows = [second.concepts.index(concept) for concept in first.concepts]
    parts = parts_of(first.metadata), parts_of(second.metadata)
    check_one_source(*parts)
    metadata = _merged_metadata(first, second)
    if votes is None:
        sums, more = agreement_relevance.sums_of(first), agreement_relevance.sums_of(second)
        _check_different(
            torch.equal(first.relevance, second.relevance[rows]) and bool(sums.seen.any()), "scores"
        )
        _check_disjoint(first, second)
        return (sums + more[rows]).vectors(first.concepts, first.layout, metadata)
    own, more = votes[0], votes[1][rows]
    _check_different(torch.equal(own, more) and bool(own.any()), "votes")
    _check_disjoint(first, second)
    return HeadRelevance.from_votes(first.concepts, own + more, first.layout, metadata)


def _votes_of(first: HeadRelevance, second: HeadRelevance) -> list[torch.Tensor]:
    votes = []
    for name, vectors in (("first", first), ("second", second)):
        if vectors.votes is None:
            raise ValueError(
                f"The {name} vectors hold no votes, so nothing can be added to them. Published vectors come without "
                "votes; vectors that you build yourself have them."
            )
        votes.append(vectors.votes)
    return votes


def _check_same_kind(first: HeadRelevance, second: HeadRelevance) -> None:
    if first.layout != second.layout:
        raise ValueError(
            "Vectors of different models cannot be merged: the first are for "
            f"{layout_in_words(first.layout)}, the second for "
            f"{layout_in_words(second.layout)}{' in other parts of the network' if first.heads == second.heads else ''}."
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


def _check_disjoint(first: HeadRelevance, second: HeadRelevance) -> None:
    """Raises ValueError when a part is in both: (A + B) + A would count A twice."""
    known = {key: part for part in _named_parts(first) for key in _keys(part)}
    for part in _named_parts(second):
        if any(key in known for key in _keys(part)):
            raise ValueError(
                f"Both inputs hold the same counts ({_name(part)}); one of them may hold more. Merging them "
                "would count these twice: connect only the one that holds more, or build with another seed "
                "or other prompts."
            )


def _keys(part) -> list[Hashable]:
    """What part of the counting this is: equal for parts that hold the same counts, or one of them more of the same."""
    if not isinstance(part, dict):
        return []
    keys: list[Hashable] = [
        (name, part[name]) for name in ("id", "counts") if isinstance(part.get(name), str)
    ]
    state = BuildState.from_dict(part)
    if state is not None and _can_be_a_key(state.plan):
        keys.append(state.plan)
    return keys


def _can_be_a_key(plan: BuildPlan) -> bool:
    try:
        hash(plan)
    except TypeError:  # a list where another program wrote one
        return False
    return True


def _name(part: dict) -> str:
    if "seed" in part:
        return f"a build of {part.get('prompts', 'some')} prompts with seed {part['seed']}"
    return "votes collected while you worked" if "samplings" in part else "those of one file"


def _named_parts(vectors: HeadRelevance) -> list:
    """The parts of vectors. One that nothing else tells apart is known by a hash of what it counted."""
    parts = parts_of(vectors.metadata) or [{}]
    if len(parts) > 1 or not isinstance(parts[0], dict) or _keys(parts[0]):
        return parts
    return [{**parts[0], "counts": _hash_of(vectors)}]


def _hash_of(vectors: HeadRelevance) -> str:
    """16 hex digits that follow from the counts, in whatever order the concepts are."""
    counts = vectors.relevance if vectors.votes is None else vectors.votes
    rows = sorted(range(len(vectors.concepts)), key=vectors.concepts.__getitem__)
    data = counts[rows].numpy()
    return hashlib.sha256(data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()).hexdigest()[:16]


def _merged_metadata(first: HeadRelevance, second: HeadRelevance) -> dict[str, str]:
    """Equal strings once, different ones joined; the parts of both under "construction"."""
    merged = {}
    for key in dict.fromkeys([*first.metadata, *second.metadata]):
        if key == "construction":
            continue
        values = [vectors.metadata[key] for vectors in (first, second) if vectors.metadata.get(key)]
        merged[key] = " + ".join(dict.fromkeys(part for value in values for part in value.split(" + ")))
    return {**merged, "construction": text_of([*_named_parts(first), *_named_parts(second)])}
