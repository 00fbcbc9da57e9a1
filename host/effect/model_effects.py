"""What another model, or another conditioning, would have made of a run's own latents: a LoRA, a ControlNet, a merge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...hrv.effect.effect import ModelChange, change, model_change, spread
from ...hrv.recording.path import RecordedPath
from ...hrv.recording.recording import Recording
from ..facts.guider import NEGATIVE, as_held
from ..facts.patcher import family_name_of, kind_of
from .asked_runs import bare, conds_of, notes_of, one_per_run, path_of
from .asking import INVALID, estimates

POSITIVE = "positive"
OTHER_KIND = (
    "`model` and `other_model` are models of different kinds ({one} and {other}), so they cannot be asked about the same latents. Connect "
    "two of one kind: with and without a LoRA, or two checkpoints of one family."
)


@dataclass(frozen=True)
class Changed:
    """changes: of each image; warnings: in plain words."""

    changes: list[ModelChange]
    warnings: list[str]


def model_effects(
    model,
    other,
    recording: Recording,
    latent: torch.Tensor,
    *,
    instead: dict[str, list],
    moments: int,
    progress: Callable[[int, int], None],
) -> Changed:
    """model: as the sampler was given it; other: the one to compare. latent: (batch, channel, …), what the sampler gave.

    instead: role → CONDITIONING that the other model gets in place of the run's own; a role that is not there is left out of the
    question if it is the negative one. moments: at how many of the run's evaluations. Raises NoRecording and ValueError.
    """
    if kind_of(model) != kind_of(other):
        raise ValueError(OTHER_KIND.format(one=family_name_of(model), other=family_name_of(other)))
    matches = recording.match_paths(latent)
    runs = one_per_run(matches)
    answers = {}
    for number, match in enumerate(runs):
        path = path_of(match)
        share = lambda done, total, number=number: progress(number * total + done, len(runs) * total)  # noqa: E731
        answers[id(path)] = _ask((bare(model), bare(other)), path, instead, moments, share)
    changes = [_change_of(answers[id(match.run.path)], match.element) for match in matches]
    return Changed(changes, notes_of(matches))


Answers = list[tuple[list[torch.Tensor], list[torch.Tensor]]]  # of each moment: what each model makes of it


def _ask(models: tuple, path: RecordedPath, instead, moments: int, progress) -> Answers:
    roles = [POSITIVE] + [NEGATIVE] * (NEGATIVE in instead)
    own = [conds_of(path, role) for role in roles]
    others = [
        as_held(instead[role]) if role in instead else conds for role, conds in zip(roles, own, strict=True)
    ]
    steps = path.chosen(moments)
    model, other = models
    before = estimates(model, own, steps, path, progress=lambda done, total: progress(done, 2 * total))
    after = estimates(
        other, others, steps, path, progress=lambda done, total: progress(total + done, 2 * total)
    )
    return list(zip(before, after, strict=True))


def _change_of(answers: Answers, row: int) -> ModelChange:
    """Of the image in this row of the run's batch."""
    changes = torch.stack(
        [
            torch.stack([change(one[row], two[row]) for one, two in zip(before, after, strict=True)]).sum(0)
            for before, after in answers
        ]
    )
    if not bool(changes.isfinite().all()):
        raise ValueError(INVALID)
    return model_change(changes, [sum(spread(one[row]) for one in before) for before, _ in answers])
