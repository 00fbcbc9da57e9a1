"""Votes for head relevance counted in other ways than the published one: do masks and senses get better?

The published vote (Park et al. 2024) compares the mean over pixels of the attention that a word of each concept gets, in every evaluation.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import bench
import torch
from truth import SENSES_REPORT_SEED
from truth_concepts import CONCEPT

PROMPTS, STEPS, DRAWS, SEED = 80, 10, 4, 1
LATE = 0.6  # of the evaluations: from here on they are late
SCORES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean over pixels": lambda p: p.mean(-1),
    "attention where attention is, ΣP² / ΣP": lambda p: (p * p).sum(-1) / p.sum(-1),
    "largest pixel": lambda p: p.amax(-1),
    "how far it gathers, ΣP² / (ΣP)²": lambda p: (p * p).sum(-1) / p.sum(-1).square(),
}
"""(row, head, word, pixel), the attention of words that compete with each other and the start token → (row, head, word)."""


@dataclass
class Counted:
    """Votes of one way of counting, (concept, head). is_late: of late evaluations only."""

    score: Callable[[torch.Tensor], torch.Tensor]
    is_late: bool
    votes: torch.Tensor


class Ballot:
    """Counts in all ways at once, and is handed to Record Attention as one counter is. words: as `encode_words` gives them."""

    def __init__(self, layout, words):
        self.layout, self.words, self._keys = layout, words, {}
        none = torch.zeros((len(words.spans), layout.heads), dtype=torch.int64)
        self.counted = {
            f"{name}{', late evaluations' if late else ''}": Counted(score, late, none.clone())
            for name, score in SCORES.items()
            for late in (False, True)
        }
        self._prompt = ""

    def begin(self, guider) -> Ballot:
        return self

    def end(self, counter) -> None:
        pass

    def next(self, prompt: str) -> None:
        self._prompt = prompt

    @torch.inference_mode()
    def add(self, layer: int, to_k, q: torch.Tensor, draw_key) -> None:
        """As `VoteCounter.add`, in the plainest way."""
        if layer not in self._keys:
            self._keys[layer] = to_k(self.words.table.to(q)[None])[0]
        span, late = self.layout.span(layer), draw_key[0] > LATE * STEPS
        heads = span.stop - span.start
        for number in range(DRAWS):
            drawn = self._drawn(f"{self._prompt}/{draw_key}/{layer}/{number}")
            tokens = [0, *(token for first, stop in drawn for token in range(first, stop))]
            keys = self._keys[layer][tokens].unflatten(-1, (heads, -1)).transpose(0, 1)
            queries = q.unflatten(-1, (heads, -1)).transpose(1, 2)  # (row, head, pixel, d)
            p = (keys @ queries.mT * queries.shape[-1] ** -0.5).softmax(-2)[:, :, 1:]
            lengths = [stop - first for first, stop in drawn]
            p = torch.stack([of_word.mean(2) for of_word in p.split(lengths, 2)], 2)
            for counted in self.counted.values():
                if late or not counted.is_late:
                    counted.votes[:, span].scatter_add_(
                        0, counted.score(p).argmax(-1), torch.ones(len(p), heads, dtype=torch.int64)
                    )

    def _drawn(self, key: str) -> list[tuple[int, int]]:
        generator = random.Random(f"{SEED}/{key}")
        return [words[int(generator.random() * len(words))] for words in self.words.spans]


def vectors_of(studio, concepts, progress: Callable[[int], None]) -> dict:
    """Way of counting → vectors. concepts: a set of concept words."""
    from hrv_pack.host.follow.recorder import RecordOptions, attach
    from hrv_pack.host.store import concept_store
    from hrv_pack.host.text.concept_words import encode_words
    from hrv_pack.hrv.relevance.building import parse_prompts
    from hrv_pack.hrv.relevance.vectors import HeadRelevance

    prompts = parse_prompts(concept_store.prompts_for("demo"))[:PROMPTS]
    layout = attach(studio.model, None, RecordOptions())[2].layout
    ballot = Ballot(layout, encode_words(studio.clip, concepts))
    model, _, _ = attach(studio.model, None, RecordOptions(votes=ballot, keep_maps=False))
    for number, prompt in enumerate(prompts):
        ballot.next(prompt)
        studio.sample(model, *studio.encode(prompt, ""), studio.empty(), number, STEPS)
        progress(number + 1)
    return {
        name: HeadRelevance.from_votes(list(concepts.words), counted.votes, layout, {})
        for name, counted in ballot.counted.items()
    }


def concept_sets() -> dict:
    """The demo model's five concepts, and these among the words of the 34 that come with the pack."""
    from hrv_pack.host.store import concept_store
    from hrv_pack.hrv.relevance.concepts import ConceptWords

    own, general = concept_store.load("demo"), concept_store.load("general")
    more = {name: words for name, words in general.words.items() if name not in own.words}
    return {"5 concepts": own, "39 concepts": ConceptWords("", {**own.words, **more})}


def measure(studio, scenes: int, pictures: int, seed: int, counter: Callable) -> list[list[str]]:
    """Rows of the table. pictures: of each sort that tell a sense."""
    import truth_ambiguity
    import truth_concepts
    import truth_senses

    ways = {
        f"{name}, {concepts}": vectors
        for concepts, words in concept_sets().items()
        for name, vectors in vectors_of(studio, words, counter(f"prompts, {concepts}", PROMPTS)).items()
    }
    results = truth_concepts.measure(studio, scenes, seed, ways, counter("scenes", scenes), orders=("most",))
    table = {row["name"]: row for row in results.table()}
    told = [
        one
        for sort in truth_senses.SORTS
        for one in truth_senses.draw(
            studio,
            sort,
            pictures,
            SENSES_REPORT_SEED,
            counter(f"pictures, {sort}", pictures),
        )
    ]
    verdicts = truth_ambiguity.verdicts(told, ways)
    rows = []
    for name in ways:
        key = (name, truth_ambiguity.USED, truth_ambiguity.PART)
        gains = [table[f"most relevant by {name}, {how}"]["gain"] for how in ("equal", "weights of the word")]
        rows.append(
            [
                name,
                *(" / ".join(f"{gain:+.3f}" for gain in of_way) for of_way in gains),
                f"{truth_ambiguity.share_right(verdicts, key):.1%}",
            ]
        )
    return [*rows, [f"{len(told)} images"]]


def markdown(rows: list[list[str]], scenes: int) -> str:
    *ways, (images,) = rows
    columns = (
        f"vote | {CONCEPT}' heads alike, over DAAM at 0.3 / 0.4 / 0.5 | weights of the word | sense right"
    )
    return "\n".join(
        [
            f"{PROMPTS} prompts of {STEPS} steps, {DRAWS} draws; masks of {scenes} scenes; senses of {images}.",
            "",
            bench.markdown(columns, ways),
        ]
    )
