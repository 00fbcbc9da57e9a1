"""What a build counts while it draws prompts: votes of heads, or agreement of heads about where words are."""

from __future__ import annotations

from typing import Protocol

import torch

from ...hrv.heads.layout import Layout
from ...hrv.recording.recording import Match, Run
from ...hrv.relevance import agreement as agreement_relevance
from ...hrv.relevance.agreement import AgreementCounter, AgreementSums
from ...hrv.relevance.concepts import ConceptWords
from ...hrv.relevance.vectors import HeadRelevance, relevance_of
from ...hrv.relevance.votes import VoteCounter
from ..follow.recorder import RecordOptions
from ..text.clip_trace import trace
from ..text.concept_words import encode_words
from ..text.text_registry import TextRegistry


class Tally(Protocol):
    """clip: encodes the prompts; registry: knows their words; options: what to record for counting."""

    clip: object
    registry: TextRegistry
    options: RecordOptions

    def begin(self, key: str) -> None:
        """A prompt is about to be drawn."""

    def add(self, run: Run) -> bool:
        """A prompt was drawn; returns whether it could be counted."""

    def anything(self) -> bool:
        """Whether anything was counted at all, earlier vectors included."""

    def relevance(self) -> torch.Tensor:
        """float32 (concept, head), earlier vectors included."""

    def facts(self) -> dict[str, list]:
        """`BuildState.agreement` of what was counted here."""

    def vectors(self, metadata: dict[str, str]) -> HeadRelevance:
        """The result, earlier vectors included."""

    def notes(self) -> list[str]:
        """What the user should know of the result."""


class _OnePrompt:
    """A VoteKeeper whose samplings all vote into one counter. committed: whether the last one was done."""

    def __init__(self, counter: VoteCounter):
        self.counter, self.committed = counter, False

    def begin(self, guider) -> VoteCounter:
        self.committed = False
        return self.counter

    def end(self, counter: VoteCounter) -> None:
        counter.commit()
        self.committed = True


class VoteTally:
    """Votes, as published (hrv/relevance/votes.py); heads vote while a prompt is drawn, and no maps are kept."""

    def __init__(
        self,
        clip,
        layout: Layout,
        words: ConceptWords,
        *,
        seed: int,
        draws: int,
        earlier: HeadRelevance | None,
    ):
        self.clip, self.registry = clip, TextRegistry()
        self.counter = VoteCounter(layout, encode_words(clip, words), seed, draws)
        self._sampled = _OnePrompt(self.counter)
        self.options = RecordOptions(votes=self._sampled, keep_maps=False)
        self._concepts, self._layout = words.concepts, layout
        self._base = torch.zeros((len(words.concepts), layout.heads), dtype=torch.int64)
        if earlier is not None and earlier.votes is not None:
            self._base = earlier.votes[_rows(earlier, words)]

    @property
    def votes(self) -> torch.Tensor:
        """int64 (concept, head)."""
        return self._base + self.counter.votes

    def begin(self, key: str) -> None:
        self.counter.begin(key)
        self._sampled.committed = False

    def add(self, run: Run) -> bool:
        return self._sampled.committed

    def anything(self) -> bool:
        return bool(self.votes.any())

    def relevance(self) -> torch.Tensor:
        return relevance_of(self.votes)

    def facts(self) -> dict[str, list]:
        return {}

    def vectors(self, metadata: dict[str, str]) -> HeadRelevance:
        return HeadRelevance.from_votes(self._concepts, self.votes, self._layout, metadata)

    def notes(self) -> list[str]:
        silent = int((self.counter.votes.sum(0) == 0).sum())
        return (
            [f"{silent} heads never voted, because another node has replaced their layers."] if silent else []
        )


class AgreementTally:
    """Agreement (hrv/relevance/agreement.py). One prompt's recording is kept at a time."""

    def __init__(self, clip, layout: Layout, words: ConceptWords, *, earlier: HeadRelevance | None):
        self.registry = TextRegistry()
        self.clip = trace(clip, self.registry)
        self.options = RecordOptions()
        self._counter = AgreementCounter(layout, words)
        self._concepts, self._layout = words.concepts, layout
        self._base = AgreementSums.nothing(len(words.concepts), layout.heads)
        if earlier is not None:
            self._base = agreement_relevance.sums_of(earlier)[_rows(earlier, words)]

    @property
    def sums(self) -> AgreementSums:
        return self._base + self._counter.sums

    def begin(self, key: str) -> None:
        pass

    def add(self, run: Run) -> bool:
        if not any(entry.role == "positive" and entry.maps for entry in run.entries):
            return False
        self._counter.add(Match(run, 0, True))
        return True

    def anything(self) -> bool:
        return bool(self.sums.seen.any())

    def relevance(self) -> torch.Tensor:
        return self.sums.relevance

    def facts(self) -> dict[str, list]:
        return self._counter.sums.facts(self._concepts)

    def vectors(self, metadata: dict[str, str]) -> HeadRelevance:
        return self.sums.vectors(self._concepts, self._layout, metadata)

    def notes(self) -> list[str]:
        unseen = [
            name for name, seen in zip(self._concepts, self.sums.seen.tolist(), strict=True) if not seen
        ]
        if not unseen:
            return []
        return [
            (
                f"No prompt contained a word of {', '.join(unseen)}, so every head counts the same for it. Add "
                "prompts that contain such words."
            )
        ]


def _rows(earlier: HeadRelevance, words: ConceptWords) -> list[int]:
    return [earlier.concepts.index(concept) for concept in words.concepts]
