"""What a recording tells of the words of a prompt: how strongly each was looked at, whether its attention gathers,
which words lie together. Formulas: docs/formulas.md, "Prompt report". Nothing here judges; hrv/findings.py does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from .auto_heads import Consent, compared_maps, consent
from .maps import Target, threshold_mask, word_maps
from .phrases import chunk_of, filler_columns, is_filler, phrases_of
from .prompt import Prompt
from .reading import targets_of_unit
from .recording import Entry, Match

PERCENT = 23.0  # of the heads are asked where a word is, as in Select Heads for a Word
COMPARED = 40  # words whose heads are asked, at most: nouns first
TOP = 0.1  # share of the picture that counts as the place where a word is looked at most
MASK_THRESHOLD = 0.4
FLAT, EVEN = 1e-12, 1e-5  # below these, of a map or of its largest value, differences are rounding


@dataclass(frozen=True)
class WordFacts:
    """One word, tag or other entry over one picture.

    map: DAAM on the working grid, float32 (height, width). strength: mean share of attention in the tenth of the
    picture where the word gets most. mean: over the whole picture. gathering: 1 − mean / strength, from 0 (the same
    everywhere) to 0.9 (all of it within a tenth). chunk: which 77 tokens it stands in, from 1. weight: as typed.
    consent: what the heads that found the word best say together (hrv/auto_heads.py), None where they were not asked or look
    everywhere alike.
    """

    name: str
    map: torch.Tensor
    strength: float
    mean: float
    gathering: float
    filler: bool = False
    chunk: int = 1
    weight: float = 1.0
    consent: Consent | None = None


@dataclass(frozen=True)
class NounPhrase:
    """Names of a noun and of the words before it that describe it; is_place: as in `hrv/phrases.py`."""

    noun: str
    modifiers: tuple[str, ...]
    is_place: bool = False


@dataclass(frozen=True)
class Evidence:
    """Everything measured for one picture.

    entries: what the report lists, by `unit`, in the order of the prompt. words: every single word by name, fillers
    included; targets: where each of them lies. phrases: in the order of the prompt. fillers: every token of a filler
    word or of punctuation.
    """

    entries: tuple[WordFacts, ...]
    words: dict[str, WordFacts]
    phrases: tuple[NounPhrase, ...]
    fillers: tuple[WordFacts, ...]
    targets: dict[str, Target] = field(default_factory=dict)

    @property
    def content(self) -> tuple[WordFacts, ...]:
        """Entries that ask for something to be drawn."""
        return tuple(entry for entry in self.entries if not entry.filler)

    @cached_property
    def _agreements(self) -> dict[str, dict[str, float]]:
        return _matrix({name: word.map for name, word in self.words.items()})

    @cached_property
    def _clear_agreements(self) -> dict[str, dict[str, float]]:
        return _matrix(
            {name: word.consent.map for name, word in self.words.items() if word.consent is not None}
        )

    def agreement(self, first: str, second: str) -> float:
        """Correlation over pixels of the maps of two words, −1 to 1; 0 when one of them is even."""
        return self._agreements[first][second]

    def clear_agreement(self, first: str, second: str) -> float:
        """The same by the heads that found each word best; both must have been asked for (`WordFacts.consent`)."""
        return self._clear_agreements[first][second]

    def iou(self, first: str, second: str) -> float:
        """Intersection over union of the masks of two words (docs/formulas.md, "Mask") on the working grid."""
        maps = torch.stack([self.words[first].map, self.words[second].map])
        a, b = threshold_mask(maps, MASK_THRESHOLD).bool()
        union = int((a | b).sum())
        return int((a & b).sum()) / union if union else 0.0

    @property
    def nouns(self) -> tuple[WordFacts, ...]:
        """The last word of every phrase, each once, in the order of the prompt."""
        return tuple(self.words[name] for name in dict.fromkeys(phrase.noun for phrase in self.phrases))


def examine(match: Match, entries: Sequence[Entry], prompts: Sequence[Prompt | None], unit: str) -> Evidence:
    """Measures every word and entry of these conditionings of one picture.

    A word that several of the prompts have is one word. Columns that were not recorded (a prompt that was cut) make
    a ColumnNotRecorded error, as in `word_maps`.
    """
    listed = targets_of_unit(entries, prompts, unit)
    single = targets_of_unit(entries, prompts, "words")
    idle = _idle_targets(entries, prompts)
    maps = word_maps(match, [*listed.values(), *single.values(), *idle])
    places = {id(entry): prompt for entry, prompt in zip(entries, prompts, strict=True)}
    rows = iter(maps)
    facts = [
        {name: _facts(name, next(rows), target, places, name in single) for name, target in targets.items()}
        for targets in (listed, single)
    ]
    fillers = tuple(measure(f"filler {n}", next(rows), filler=True) for n in range(len(idle)))
    phrases = _phrases(entries, prompts, single)
    words = _asked(match, facts[1], single, phrases)
    return Evidence(tuple(facts[0].values()), words, phrases, fillers, single)


def measure(name: str, heat: torch.Tensor, **more) -> WordFacts:
    """Strength, mean and gathering of one map (height, width)."""
    return WordFacts(name, heat, *levels(heat), **more)


def levels(heat: torch.Tensor) -> tuple[float, float, float]:
    """(strength, mean, gathering) of a map (height, width)."""
    mean = float(heat.mean())
    strength = float(heat.flatten().topk(max(1, round(TOP * heat.numel()))).values.mean())
    return strength, mean, max(0.0, 1 - mean / strength) if strength > FLAT else 0.0


def agreements(maps: torch.Tensor) -> torch.Tensor:
    """Pearson correlation over pixels of each map with each other, (word, height, width) → (word, word).

    A map that is the same everywhere agrees with none: 0.
    """
    flat = maps.flatten(1).double()
    centred = flat - flat.mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    even = length < FLAT + EVEN * flat.abs().amax(1, keepdim=True) * flat.shape[1] ** 0.5
    unit = torch.where(even, 0.0, centred / torch.where(even, 1.0, length))
    return (unit @ unit.T).float()


def _matrix(maps: dict[str, torch.Tensor]) -> dict[str, dict[str, float]]:
    if not maps:
        return {}
    rows = agreements(torch.stack(list(maps.values()))).tolist()
    return {name: dict(zip(maps, row, strict=True)) for name, row in zip(maps, rows, strict=True)}


def _facts(name: str, heat: torch.Tensor, target: Target, places: dict, is_word: bool) -> WordFacts:
    entry, columns = target.places[0]
    token = places[id(entry)].tokens[columns[0]]
    filler = is_word and is_filler(name.partition("#")[0])
    chunk = chunk_of(places[id(entry)], columns[0])
    return measure(name, heat, filler=filler, chunk=chunk, weight=token.weight)


def _asked(
    match: Match, words: dict[str, WordFacts], targets: dict[str, Target], phrases: Sequence[NounPhrase]
) -> dict[str, WordFacts]:
    """The words, with the consent of the heads for as many as are compared."""
    nouns = {phrase.noun for phrase in phrases}
    order = sorted(words, key=lambda name: name not in nouns)[:COMPARED]
    found = {name: consent(compared_maps(match, targets[name]), PERCENT) for name in order}
    return {name: replace(word, consent=found.get(name)) for name, word in words.items()}


def _idle_targets(entries: Sequence[Entry], prompts: Sequence[Prompt | None]) -> list[Target]:
    """One target for each filler word or mark of punctuation."""
    return [
        Target(((entry, (column,)),))
        for entry, prompt in zip(entries, prompts, strict=True)
        if prompt is not None
        for column in filler_columns(prompt, prompt.words())
    ]


def _phrases(
    entries: Sequence[Entry], prompts: Sequence[Prompt | None], words: dict[str, Target]
) -> tuple[NounPhrase, ...]:
    """The phrases of all prompts, each once, with the words under their names."""
    names = {(id(entry), columns): name for name, target in words.items() for entry, columns in target.places}
    found = [
        NounPhrase(
            names[id(entry), p.noun.columns],
            tuple(names[id(entry), m.columns] for m in p.modifiers),
            p.is_place,
        )
        for entry, prompt in zip(entries, prompts, strict=True)
        if prompt is not None
        for p in phrases_of(prompt)
    ]
    return tuple(dict.fromkeys(found))
