"""Prompt-to-Prompt editing: the attention of one image used in another whose prompt differs in a few words
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

from ..prompt import PAD, Prompt, key


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where the tokens of a target prompt take their attention from.

    matrix: float32 (source column, target column), A: a target's column j is given Σ_i A[i, j] · P_source[:, i].
    own: float32 (target column,): the share of its own attention that it keeps: 1 where its column of A is zero, else 0; between
    them where the two texts of SDXL, which share the columns, want different things.
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
    its column. Where the text encoders were given different texts, each text is compared with its counterpart, and a column takes
    the mean of what the texts want that have a token there.
    """
    encoders = [text.encoder for text in (target if target.second is not None else source).each_text]
    texts = [_align(_text_of(source, encoder), _text_of(target, encoder), replace) for encoder in encoders]
    if len(texts) == 1:
        return texts[0][0]
    speaks = torch.stack([_fitted(written.float(), target.length) for _, written in texts])
    speaks[:, speaks.sum(0) == 0] = 1.0  # padding of both
    weights = speaks / speaks.sum(0)
    matrices = torch.stack([_fitted(one.matrix, source.length, target.length) for one, _ in texts])
    owns = torch.stack([_fitted(one.own, target.length) for one, _ in texts])
    changed = {column for one, _ in texts for column in one.changed if column < target.length}
    return Alignment((weights[:, None] * matrices).sum(0), (weights * owns).sum(0), tuple(sorted(changed)))


def _text_of(prompt: Prompt, encoder: str) -> Prompt:
    """What a text encoder was given; a prompt with one text gave it to both."""
    return next((text for text in prompt.each_text if text.encoder == encoder), prompt)


def _fitted(values: torch.Tensor, *shape: int) -> torch.Tensor:
    """Cut, or filled up with zeros: ComfyUI cuts the longer of two texts."""
    fitted = torch.zeros(shape)
    inside = tuple(slice(0, min(sizes)) for sizes in zip(values.shape, shape, strict=True))
    fitted[inside] = values[inside]
    return fitted


def _align(source: Prompt, target: Prompt, replace: bool) -> tuple[Alignment, torch.Tensor]:
    """One text, and which of its columns have a token that is no padding: bool (target column,)."""
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
    written = torch.tensor([token.kind != PAD for token in target.tokens])
    return Alignment(matrix, (matrix.sum(0) == 0).float(), tuple(changed)), written


def split_values(values: torch.Tensor, alignment: Alignment) -> tuple[torch.Tensor, torch.Tensor]:
    """The values that the target's own attention reads, and those that the source's attention reads.

    values: (row, token, heads · d) of the target, its prompt once or repeated. Returns (row, token, heads · d) and
    (row, source token, heads · d), for which

        softmax(Q Kᵀ) · own + softmax(Q_source K_sourceᵀ) · taken = P' · V

    with P'[x, j] = Σ_i A[i, j] · P_source[x, i] + own[j] · P[x, j]. So both attentions stay
    those of the host, fused or not. The sum is taken in float32.
    """
    length = len(alignment.own)
    own = alignment.own.to(values.dtype).repeat(values.shape[1] // length)
    kept = values * own[None, :, None]
    taken = torch.einsum("ij,rjc->ric", alignment.matrix, values[:, :length].float())
    return kept, taken.to(values.dtype)


def keep_outside(now: torch.Tensor, before: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`now` where the mask is 1, `before` where it is 0: (image, channel, height, width).

    mask: (1 or image, any height, any width), 0 … 1; brought to the size by averaging over area.
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
