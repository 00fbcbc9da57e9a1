"""What each word of a sampled image did: the prompt encoded again without it, and asked of the model on the run's own latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from ...hrv.effect.effect import Effects, effects
from ...hrv.effect.words import TypedWords, typed_words
from ...hrv.prompt import WordNotFound, is_all_filler, split_names
from ...hrv.recording.path import RecordedPath
from ...hrv.recording.recording import Recording
from ...hrv.runs.shelf import NoRecording
from ...hrv.wording import said, sentences
from ..facts.conditionings import CROSS_ATTN
from ..text.clip_trace import untraced
from ..text.typed_texts import CannotEncode, TypedCond, check_same
from .asked_runs import bare, conds_of, notes_of, one_per_run, path_of
from .asking import Conds, follow

PARTLY = said(
    "Parts of this prompt were not encoded by the CLIP from Record Attention; their words are not known and stay as they were."
)
GROUP = 64  # words that are encoded before the model is asked: so many embeddings lie in memory
SEVERAL = (
    "This conditioning holds a different prompt for each image of the batch, so no single word can be left out of it. Sample the "
    "images one by one."
)
ONE_MISSING = said(
    "Only one of `model` and `clip` is connected, so the report cannot tell which words changed nothing. Connect both, or neither."
)


@dataclass(frozen=True)
class Question:
    """What is asked. words: names split by commas or line ends; empty: every entry of the prompt by `unit`, filler words left out.
    instead: what is typed in each one's place; empty: nothing. moments: at how many of the run's evaluations; role: whose prompt."""

    words: str = ""
    unit: str = "auto"
    instead: str = ""
    moments: int = 3
    role: str = "positive"


@dataclass(frozen=True)
class Found:
    """effects: of each image; names: every entry of the first image's prompt; warnings: in plain words."""

    effects: list[Effects]
    names: list[str]
    warnings: list[str]


def word_effects(
    model,
    clip,
    recording: Recording,
    latent: torch.Tensor,
    question: Question,
    *,
    progress: Callable[[int, int], None],
) -> Found:
    """model: as the sampler was given it; clip: the text node's. latent: (batch, channel, …), what the sampler gave.

    Raises NoRecording, WordNotFound, CannotEncode, ValueError, all in plain words.
    """
    matches = recording.match_paths(latent)
    plain = bare(model)
    asked = [_Asked(clip, path_of(match), question) for match in one_per_run(matches)]
    warnings = notes_of(matches)
    warnings += [PARTLY] if any(one.is_partly_known for one in asked) else []
    answers = {}
    for number, one in enumerate(asked):
        share = lambda done, total, number=number: progress(number * total + done, len(asked) * total)  # noqa: E731
        answers[id(one.path)] = one, one.ask(plain, share)
    found = []
    for match in matches:
        one, moved = answers[id(match.run.path)]
        found.append(one.effects(moved, match.element))
    return Found(found, [name for name, _ in _entries(asked[0].typed, question.unit)], warnings)


def effects_if_asked(
    model_and_clip: tuple,
    recording: Recording,
    latent: torch.Tensor,
    unit: str,
    *,
    progress: Callable[[int, int], None],
) -> tuple[list[Effects] | None, list[str]]:
    """What each word did, of each image, where both a model and a CLIP are given; and why that is not known, in plain words."""
    model, clip = model_and_clip
    if model is None or clip is None:
        return None, [] if model is clip else [ONE_MISSING]
    try:
        found = word_effects(model, clip, recording, latent, Question(unit=unit), progress=progress)
    except (CannotEncode, NoRecording, WordNotFound) as error:
        return None, [sentences(said("What the words changed could not be measured."), str(error))]
    return found.effects, found.warnings


def _entries(typed: TypedWords, unit: str) -> list[tuple[str, tuple[int, ...]]]:
    """(name, columns) of every entry with content."""
    listed = [(name, word) for name, word in typed.prompt.listed(unit)]
    content = [(name, word.columns) for name, word in listed if not is_all_filler(word.text)]
    return content or [(name, word.columns) for name, word in listed]


class _Asked:
    """The words of one run's prompt, and the lists of conditionings that tell what they did."""

    def __init__(self, clip, path: RecordedPath, question: Question):
        self.path, self.question = path, question
        self._clip = untraced(clip)
        self.name, conds = conds_of(path, question.role)
        self._conds = [TypedCond(cond) for cond in conds]
        self._check()
        self.typed = typed_words([text for cond in self._conds for text in cond.texts])
        names = split_names(question.words)
        if names:
            self.entries = [(name, self.typed.prompt.find(name, question.unit).columns) for name in names]
        else:
            self.entries = _entries(self.typed, question.unit)
        if not self.entries:
            raise WordNotFound(f"The {question.role} prompt is empty.")

    def ask(self, model, progress: Callable[[int, int], None]) -> list[torch.Tensor]:
        """[the whole text left out, each entry left out or exchanged]: how far each pixel moves, `change` of each image."""
        everything = self.typed.without(range(len(self.typed.places)))
        steps = self.path.chosen(self.question.moments)
        total = len(self.entries) * (1 + len(steps))  # encoded, and asked
        moved: list[torch.Tensor] = []
        known: list[torch.Tensor] | None = None
        for first in range(0, len(self.entries), GROUP):
            lists = [] if first else [self._with(everything)]
            done = first * (1 + len(steps))
            group = self.entries[first : first + GROUP]
            for number, (_, columns) in enumerate(group):
                progress(done + number, total)
                lists.append(self._with(self.typed.without(columns, self.question.instead)))
            done += len(group)
            share = lambda asked, of, done=done, group=group: progress(  # noqa: E731
                done + len(group) * len(steps) * asked // of, total
            )
            changed = [{self.name: conds} for conds in lists]
            known, found = follow(model, changed, steps, self.path, known=known, progress=share)
            moved += [one.moved for one in found]
        return moved

    @property
    def is_partly_known(self) -> bool:
        """Whether the text of some part of the prompt is not known."""
        return any(cond.is_partly_known for cond in self._conds)

    def effects(self, moved: list[torch.Tensor], row: int) -> Effects:
        """Of the image in this row of the run's batch."""
        whole, *changes = (one[row] for one in moved)
        return effects([name for name, _ in self.entries], torch.stack(changes), whole)

    def _with(self, texts: Mapping[str, str]) -> Conds:
        """The conditionings with these texts; those of which nothing changes as they are."""
        return [
            typed.encode_again(self._clip, texts)
            if any(texts.get(text, text) != text for text in typed.texts)
            else typed.cond
            for typed in self._conds
        ]

    def _check(self) -> None:
        """Raises CannotEncode where a conditioning is not what this CLIP makes of its text, and where no text is known."""
        for typed in self._conds:
            embedding = typed.cond[CROSS_ATTN]
            if embedding.shape[0] > 1 and bool((embedding != embedding[:1]).any()):
                raise CannotEncode(SEVERAL)
            if typed.texts:
                check_same(typed.cond, typed.encode_again(self._clip, {}))
        if not any(typed.texts for typed in self._conds):
            self._conds[0].encode_again(self._clip, {})  # says why
