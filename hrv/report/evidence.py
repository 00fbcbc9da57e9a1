"""What a recording tells of the words of a prompt: how strongly each was looked at, whether its attention gathers,
which words lie together. Formulas: docs/formulas.md, "Prompt report". Nothing here judges; hrv/report/findings.py does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import torch

from ..maps.gathering import FLAT, gathering, strength_and_mean
from ..maps.lookup import targets_of_unit
from ..maps.mask import MASK_THRESHOLD, threshold_mask
from ..maps.word_maps import Target, word_maps
from ..prompt import Prompt, Word, is_filler, key
from ..prompt.phrases import chunk_of, filler_columns, manner_words, phrases_of
from ..prompt.tag_kinds import is_person, is_praise
from ..recording.recording import Entry, Match
from ..relevance.heads_for_word import Consent, compared_maps, consent
from ..relevance.vectors import PERCENT

COMPARED = 40  # words whose heads are asked, at most: nouns first, then what describes them
EVEN = 1e-5  # below this part of a map's largest value, differences are rounding


@dataclass(frozen=True)
class WordFacts:
    """One word, tag or other entry over one image.

    map: DAAM on the working grid, float32 (height, width). strength: mean share of attention in the tenth of the
    image where the word gets most. mean: over the whole image. gathering: 1 − mean / strength, from 0 (the same
    everywhere) to 0.9 (all of it within a tenth). chunk: which 77 tokens it stands in, from 1. weight: as typed.
    consent: what the heads that found the word best say together (hrv/relevance/heads_for_word.py), None where they were not asked or look
    everywhere alike. manner: it names no thing but how the image is to be made (hrv/prompt/tag_kinds.py). effect: its share of what the
    whole prompt changes (hrv/effect/effect.py), None where that was not asked.
    """

    name: str
    map: torch.Tensor
    strength: float
    mean: float
    gathering: float
    filler: bool = False
    manner: bool = False
    chunk: int = 1
    weight: float = 1.0
    consent: Consent | None = None
    effect: float | None = None


@dataclass(frozen=True)
class NounPhrase:
    """Names of a noun and of the words before it that describe it; is_place: as in `hrv/prompt/phrases.py`.

    thing: what an artist calls it: the tag as typed where it is the only thing of a tag in a list of tags, else the noun.
    is_person: it names people."""

    noun: str
    modifiers: tuple[str, ...]
    is_place: bool = False
    thing: str = ""
    is_person: bool = False


@dataclass(frozen=True)
class Evidence:
    """Everything measured for one image.

    entries: what the report lists, by `unit`, in the order of the prompt. words: every single word by name, fillers
    included; targets: where each of them lies. phrases: those that name things, in the order of the prompt. fillers: every
    token of a filler word or of punctuation. is_tag_list: whether the entries are tags. entry_of: the entry in which each word
    is listed.
    """

    entries: tuple[WordFacts, ...]
    words: dict[str, WordFacts]
    phrases: tuple[NounPhrase, ...]
    fillers: tuple[WordFacts, ...]
    targets: dict[str, Target] = field(default_factory=dict)
    is_tag_list: bool = False
    entry_of: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> tuple[WordFacts, ...]:
        """Entries that ask for something."""
        return tuple(entry for entry in self.entries if not entry.filler)

    @property
    def asked(self) -> tuple[WordFacts, ...]:
        """Entries that ask for something to be drawn, and not only for a manner of drawing."""
        return tuple(entry for entry in self.content if not entry.manner)

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

    @cached_property
    def _things(self) -> dict[str, str]:
        return {phrase.noun: phrase.thing for phrase in reversed(self.phrases) if phrase.thing}

    def thing(self, noun: str) -> str:
        """What an artist calls the thing of a noun: `NounPhrase.thing`."""
        return self._things.get(noun, noun)


def examine(
    match: Match,
    entries: Sequence[Entry],
    prompts: Sequence[Prompt | None],
    unit: str,
    effects: Mapping[str, float] | None = None,
) -> Evidence:
    """Measures every word and entry of these conditionings of one image. effects: name of an entry → its effect, if known.

    A word that several of the prompts have is one word. Columns that were not recorded (a prompt that was cut) make
    a ColumnNotRecorded error, as in `word_maps`.
    """
    known = [(entry, prompt) for entry, prompt in zip(entries, prompts, strict=True) if prompt is not None]
    listed = targets_of_unit(entries, prompts, unit)
    single = targets_of_unit(entries, prompts, "words")
    idle = _idle_targets(known)
    maps = iter(word_maps(match, [*listed.values(), *single.values(), *idle]))
    kinds = {id(entry): _Kinds(prompt) for entry, prompt in known}
    listed_facts, word_facts = (
        {name: _facts(name, next(maps), target, kinds) for name, target in targets.items()}
        for targets in (listed, single)
    )
    known_effects = {key(name): share for name, share in (effects or {}).items()}
    listed_facts = {n: replace(fact, effect=known_effects.get(key(n))) for n, fact in listed_facts.items()}
    fillers = tuple(measure(f"filler {n}", next(maps), filler=True) for n in range(len(idle)))
    is_tag_list = any(_is_tag_list(prompt, unit) for _, prompt in known)
    phrases = _phrases(known, single, listed if is_tag_list else {})
    words = _asked(match, word_facts, single, phrases)
    return Evidence(
        entries=tuple(listed_facts.values()),
        words=words,
        phrases=phrases,
        fillers=fillers,
        targets=single,
        is_tag_list=is_tag_list,
        entry_of=_entry_of(single, listed),
    )


def measure(name: str, heat: torch.Tensor, **more) -> WordFacts:
    """Strength, mean and gathering of one map (height, width)."""
    return WordFacts(name, heat, *levels(heat), **more)


def levels(heat: torch.Tensor) -> tuple[float, float, float]:
    """(strength, mean, gathering) of a map (height, width)."""
    strength, mean = strength_and_mean(heat[None])
    return float(strength), float(mean), float(gathering(strength, mean))


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


class _Kinds:
    """What the words of a prompt are. Words of two texts (SDXL) share columns, so a name tells which are meant."""

    def __init__(self, prompt: Prompt):
        self.prompt = prompt
        self.manners = manner_words(prompt)
        self._at: dict[int, list[tuple[str, Word]]] = {}
        for word in prompt.words():
            for column in word.columns:
                self._at.setdefault(column, []).append((key(word.text), word))

    def words(self, name: str, columns: Sequence[int]) -> list[Word]:
        """The words that an entry of this name in these columns is made of."""
        whole = key(name)
        here = [pair for column in columns for pair in self._at.get(column, ())]
        named = [word for letters, word in here if letters in whole]
        return list(dict.fromkeys(named or [word for _, word in here]))


def _facts(name: str, heat: torch.Tensor, target: Target, kinds: dict[int, _Kinds]) -> WordFacts:
    entry, columns = target.places[0]
    of = kinds[id(entry)]
    words = of.words(name, columns)
    content = [word for word in words if not is_filler(word.text)]
    manner = of.manners.issuperset(content or words)
    filler = not content and not manner
    weight = words[0].weight if words else 1.0
    return measure(
        name, heat, filler=filler, manner=manner, chunk=chunk_of(of.prompt, columns[0]), weight=weight
    )


def _asked(
    match: Match, words: dict[str, WordFacts], targets: dict[str, Target], phrases: Sequence[NounPhrase]
) -> dict[str, WordFacts]:
    """The words, with the consent of the heads for as many as are compared."""
    nouns = {phrase.noun for phrase in phrases}
    modifiers = {modifier for phrase in phrases for modifier in phrase.modifiers}
    order = sorted(words, key=lambda name: (name not in nouns, name not in modifiers, words[name].manner))[
        :COMPARED
    ]
    found = {name: consent(compared_maps(match, targets[name]), PERCENT) for name in order}
    return {name: replace(word, consent=found.get(name)) for name, word in words.items()}


def _idle_targets(known: Sequence[tuple[Entry, Prompt]]) -> list[Target]:
    """One target for each filler word or mark of punctuation."""
    return [
        Target(((entry, (column,)),))
        for entry, prompt in known
        for column in filler_columns(prompt, prompt.words())
    ]


def _is_tag_list(prompt: Prompt, unit: str) -> bool:
    return unit != "words" and prompt.entries(unit) == prompt.tags() != prompt.words()


def _entry_of(words: dict[str, Target], listed: dict[str, Target]) -> dict[str, str]:
    """The entry that holds the first column of each word, of two texts that of the word's own text."""
    holders: dict[tuple[int, int], list[str]] = {}
    for name, target in listed.items():
        for entry, columns in target.places:
            for column in columns:
                holders.setdefault((id(entry), column), []).append(name)
    firsts = {name: target.places[0] for name, target in words.items()}
    found = {
        name: _called(name, holders.get((id(entry), columns[0]), ()))
        for name, (entry, columns) in firsts.items()
    }
    return {name: holder for name, holder in found.items() if holder is not None}


def _called(text: str, names: Sequence[str]) -> str | None:
    """Which of the names that lie in the same columns spells the text."""
    letters = key(text.split("#")[0]) or key(text)
    return next((name for name in names if letters in key(name)), names[0] if names else None)


def _phrases(
    known: Sequence[tuple[Entry, Prompt]], words: dict[str, Target], tags: dict[str, Target]
) -> tuple[NounPhrase, ...]:
    """The phrases of all prompts that name things, each once, with the words and, in lists of tags, the tags under their names."""
    names, tag_names = _by_columns(words), _by_columns(tags)
    found = []
    for entry, prompt in known:
        phrases = [phrase for phrase in phrases_of(prompt) if not phrase.is_manner]
        things = Counter(phrase.tag or phrase.noun for phrase in phrases if not phrase.is_place)
        called = partial(_name_of, entry)
        for phrase in phrases:
            noun, tag = called(phrase.noun, names), phrase.tag or phrase.noun
            is_alone = things[tag] == (not phrase.is_place)
            thing = (called(tag, tag_names) if is_alone else "") or noun
            modifiers = tuple(called(m, names) for m in phrase.modifiers if not is_praise(m.text))
            people = is_person(phrase.noun.text) or (is_alone and is_person(tag.text))
            found.append(NounPhrase(noun, modifiers, phrase.is_place, thing, people))
    return tuple(dict.fromkeys(found))


_Names = dict[tuple[int, tuple[int, ...]], list[str]]


def _by_columns(targets: dict[str, Target]) -> _Names:
    """The names of what lies in the columns of a conditioning: several where two texts share them."""
    names: _Names = {}
    for name, target in targets.items():
        for entry, columns in target.places:
            names.setdefault((id(entry), columns), []).append(name)
    return names


def _name_of(entry: Entry, word: Word, names: _Names) -> str:
    """Empty where no such word is listed."""
    return _called(word.text, names.get((id(entry), word.columns), ())) or ""
