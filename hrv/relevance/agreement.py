"""Head relevance by agreement, beside the published vote: how well each head finds the place of a concept's words.

    counter = AgreementCounter(layout, words)
    counter.add(match)                                # a drawn and recorded image, as many as there are
    counter.sums.vectors(words.concepts, layout, {"construction": json.dumps({"method": "agreement", …})})

The vote asks which concept's words, each standing alone, get most of a head's attention; a head that spreads a word over the
whole image can win it. Agreement asks where in drawn images a head looks for the words of the prompt, by the score of
hrv/relevance/heads_for_word.py, which needs no masks. Formula: docs/formulas.md, "Relevance by agreement"; docs/results.md compares them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ..heads.layout import Layout
from ..maps.lookup import find_word, prompts_of
from ..prompt import Prompt, is_filler, key
from ..recording.recording import Match
from .concepts import ConceptWords
from .construction import parts_of
from .heads_for_word import compared_maps, scores_of_heads
from .vectors import HeadRelevance

METHOD = "agreement"
FEW = 5  # a concept of which prompts hold fewer words is drawn on its own as well


@dataclass(frozen=True)
class AgreementSums:
    """What agreement counts, and what can be added up.

    scores: float64 (concept, head), the sum of max(0, s_n) over the words of a concept in all images. seen: int64
    (concept,), how many words that were.
    """

    scores: torch.Tensor
    seen: torch.Tensor

    @classmethod
    def nothing(cls, concepts: int, heads: int) -> AgreementSums:
        return cls(
            torch.zeros(concepts, heads, dtype=torch.float64), torch.zeros(concepts, dtype=torch.int64)
        )

    def __add__(self, other: AgreementSums) -> AgreementSums:
        return AgreementSums(self.scores + other.scores, self.seen + other.seen)

    def __getitem__(self, rows: list[int]) -> AgreementSums:
        """Concepts in another order."""
        return AgreementSums(self.scores[rows], self.seen[rows])

    @property
    def relevance(self) -> torch.Tensor:
        """h_c[n] = H · g_{n,c} / Σ_n g_{n,c}, with g_{n,c} the mean of max(0, s_n): float32 (concept, head). A concept
        that was never seen, or whose words no head found, has 1 for every head."""
        total = self.scores.sum(1, keepdim=True)
        known = total > 0
        heads = self.scores.shape[1]
        return torch.where(known, heads * self.scores / torch.where(known, total, 1.0), 1.0).float()

    def facts(self, concepts: Iterable[str]) -> dict[str, list]:
        """{concept: [words seen, sum of all heads' scores]}: with the relevance, all that `sums_of` needs."""
        totals = self.scores.sum(1).tolist()
        return {name: [seen, total] for name, seen, total in zip(concepts, self.seen.tolist(), totals)}

    def vectors(self, concepts, layout: Layout, metadata: dict[str, str]) -> HeadRelevance:
        """The head relevance. `metadata["construction"]` must hold the `facts`, for others to be added later."""
        return HeadRelevance(tuple(concepts), self.relevance, layout, None, dict(metadata))


class AgreementCounter:
    """Adds up how well every head finds the words of each concept, one image after another."""

    def __init__(self, layout: Layout, words: ConceptWords):
        self._words = telling_words(words)
        self.sums = AgreementSums.nothing(len(words.concepts), layout.heads)

    def add(self, match: Match) -> int:
        """Scores the concept words in the prompt of one recorded image; returns how many there were.

        Raises NoRecording when nothing was recorded, or the prompt is not known.
        """
        entries = match.run.of_role("positive")
        prompts = prompts_of(entries, "positive")
        found = 0
        for concept, words in enumerate(words_in(prompts, self._words).values()):
            for word in words:
                score = scores_of_heads(compared_maps(match, find_word(word, entries, prompts)))
                self.sums.scores[concept] += score.clamp(min=0).double()
                self.sums.seen[concept] += 1
                found += 1
        return found


def telling_words(words: ConceptWords) -> dict[str, tuple[str, ...]]:
    """The words of each concept that name no other: a word is left out when one of its content words stands in another
    concept too (orange juice, where orange is a colour), because a prompt does not say which of the two it means."""
    owners: dict[str, set[str]] = {}
    for concept, listed in words.words.items():
        for word in listed:
            for part in _content(word):
                owners.setdefault(part, set()).add(concept)
    return {
        concept: tuple(word for word in listed if all(len(owners[part]) == 1 for part in _content(word)))
        for concept, listed in words.words.items()
    }


def words_in(prompts: Iterable[Prompt | None], words: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """For each concept those of its words that at least one of the prompts has."""
    known = [prompt for prompt in prompts if prompt is not None]
    letters = ["".join(key(word.text) for word in prompt.words()) for prompt in known]
    return {
        concept: [
            word
            for word in listed
            if any(key(word) in text and prompt.has(word) for text, prompt in zip(letters, known))
        ]
        for concept, listed in words.items()
    }


def words_to_draw(prompts: Iterable[Prompt], words: ConceptWords) -> list[str]:
    """Further prompts for the concepts of which these prompts hold fewer than FEW words: one for each of their words."""
    telling = telling_words(words)
    count = dict.fromkeys(telling, 0)
    for prompt in prompts:
        for concept, found in words_in([prompt], telling).items():
            count[concept] += len(found)
    return [
        f"a picture of {word}"
        for concept, listed in telling.items()
        if count[concept] < FEW
        for word in listed
    ]


def is_agreement(vectors: HeadRelevance) -> bool:
    """Whether vectors were built by agreement, by their `construction`."""
    parts = parts_of(vectors.metadata)
    return bool(parts) and all(isinstance(part, dict) and part.get("method") == METHOD for part in parts)


def sums_of(vectors: HeadRelevance) -> AgreementSums:
    """What vectors by agreement were made from, to within float32. Raises ValueError for others, and for a damaged
    `construction`."""
    if not is_agreement(vectors):
        raise ValueError(
            "The vectors in continue_from were not built by agreement, so nothing can be added to them by that method. Set method to "
            "votes, or leave continue_from unconnected."
        )
    totals, seen = [0.0] * len(vectors.concepts), [0] * len(vectors.concepts)
    for part in parts_of(vectors.metadata):
        for row, concept in enumerate(vectors.concepts):
            try:
                number, total = part["agreement"][concept]
                if not (isinstance(number, int) and number >= 0 and math.isfinite(total) and total >= 0):
                    raise ValueError
            except (KeyError, TypeError, ValueError):
                raise ValueError(
                    f"The construction of these vectors does not say how many words of {concept} were seen, "
                    "so nothing can be added to them. Build new vectors."
                ) from None
            totals[row] += total
            seen[row] += number
    scores = vectors.relevance.double() * torch.tensor(totals, dtype=torch.float64)[:, None] / vectors.heads
    return AgreementSums(scores, torch.tensor(seen))


def _content(word: str) -> list[str]:
    return [part for part in word.casefold().split() if not is_filler(part)]
