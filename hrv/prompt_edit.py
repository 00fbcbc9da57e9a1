"""Prompt-to-Prompt editing: the attention of one picture used in another whose prompt differs in a few words
(docs/formulas.md, "Changing a word").

Hertz et al. 2022 (arXiv 2208.01626), "word swap", "adding a new phrase" and "attention re-weighting"; with head relevance
Park et al. 2024 (arXiv 2412.02237).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from .prompt import PAD, Prompt, key


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where the tokens of a target prompt take their attention from.

    matrix: float32 (source column, target column), A: a target's token j is given Σ_i A[i, j] · P_source[:, i].
    own: bool (target column,): tokens that keep the target's own attention; their column of A is zero.
    changed: columns of the target's words that the source does not have.
    """

    matrix: torch.Tensor
    own: torch.Tensor
    changed: tuple[int, ...]

    def to(self, device: torch.device) -> Alignment:
        """The same on a device."""
        return Alignment(self.matrix.to(device), self.own.to(device), self.changed)


@dataclass(frozen=True)
class _Unit:
    """A word, punctuation mark, start or end token: what is compared, and its columns."""

    kind: str
    text: str
    columns: tuple[int, ...]

    @property
    def is_word(self) -> bool:
        return any(letter.isalnum() for letter in self.text)


def align(source: Prompt, target: Prompt, replace: bool = True) -> Alignment:
    """Which tokens of the source stand for which of the target.

    Words that both have, in the same order, are the same. replace: words that stand in the place of others take over
    these others' attention, word by word where there are as many, else each source token's share is spread evenly over
    the new tokens (the paper's word swap); without it, and for added words, the target keeps its own. Padding stays in
    its column.
    """
    matrix = torch.zeros(source.length, target.length)
    old, new = _units(source), _units(target)
    changed: list[int] = []
    blocks = difflib.SequenceMatcher(None, _keys(old), _keys(new), autojunk=False).get_opcodes()
    for what, old_start, old_stop, new_start, new_stop in blocks:
        before, after = old[old_start:old_stop], new[new_start:new_stop]
        if what == "equal":
            _pair(matrix, before, after)
            continue
        changed += [column for unit in after if unit.is_word for column in unit.columns]
        if replace:
            _pair(matrix, _text_only(before), _text_only(after))
    pads = {token.column for token in source.tokens if token.kind == PAD}
    for column in pads & {token.column for token in target.tokens if token.kind == PAD}:
        matrix[column, column] = 1.0
    return Alignment(matrix, matrix.sum(0) == 0, tuple(changed))


def split_values(values: torch.Tensor, alignment: Alignment) -> tuple[torch.Tensor, torch.Tensor]:
    """The values that the target's own attention reads, and those that the source's attention reads.

    values: (row, token, heads · d) of the target, its prompt once or repeated. Returns (row, token, heads · d) and
    (row, source token, heads · d), for which

        softmax(Q Kᵀ) · own + softmax(Q_source K_sourceᵀ) · taken = P' · V

    with P'[x, j] = Σ_i A[i, j] · P_source[x, i], or P[x, j] for tokens that keep their own. So both attentions stay
    those of the host, fused or not. The sum is taken in float32.
    """
    length = len(alignment.own)
    kept = values * alignment.own.repeat(values.shape[1] // length)[None, :, None]
    taken = torch.einsum("ij,rjc->ric", alignment.matrix, values[:, :length].float())
    return kept, taken.to(values.dtype)


def keep_outside(now: torch.Tensor, before: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`now` where the mask is 1, `before` where it is 0: (picture, channel, height, width).

    mask: (1 or picture, any height, any width), 0 … 1; brought to the size by averaging over area.
    """
    share = functional.interpolate(mask[:, None].to(now).clamp(0, 1), now.shape[-2:], mode="area")
    share = share[[picture % len(share) for picture in range(len(now))]]
    return now * share + before.to(now) * (1 - share)


def _units(prompt: Prompt) -> list[_Unit]:
    """The prompt in reading order, padding left out: words, and what is none, token by token."""
    words = prompt.words_of_columns
    units: list[_Unit] = []
    before = None
    for token in prompt.tokens:
        if token.kind == PAD:
            continue
        word = words.get(token.column)
        written = (
            token.source.clean[slice(*token.place)]
            if token.source is not None and token.place is not None
            else ""
        )
        if word is not None and word is before:
            units[-1] = _Unit(units[-1].kind, units[-1].text, (*units[-1].columns, token.column))
        else:
            units.append(_Unit(token.kind, key(word.text if word is not None else written), (token.column,)))
        before = word
    return units


def _keys(units: Sequence[_Unit]) -> list[tuple[str, str]]:
    return [(unit.kind, unit.text) for unit in units]


def _text_only(units: Sequence[_Unit]) -> list[_Unit]:
    """Without start and end tokens, which stand for no word."""
    return [unit for unit in units if unit.text]


def _pair(matrix: torch.Tensor, before: Sequence[_Unit], after: Sequence[_Unit]) -> None:
    """Lets the units `after` take the attention of `before`."""
    if not before or not after:
        return
    if len(before) == len(after):
        pairs = [(old.columns, new.columns) for old, new in zip(before, after, strict=True)]
    else:
        pairs = [tuple(tuple(c for unit in units for c in unit.columns) for units in (before, after))]
    for old, new in pairs:
        if len(old) == len(new):
            matrix[list(old), list(new)] = 1.0
        else:
            matrix[torch.tensor(old)[:, None], torch.tensor(new)[None, :]] = 1.0 / len(new)
