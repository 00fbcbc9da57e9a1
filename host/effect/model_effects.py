"""What another model, or another conditioning, would have made of a run's own latents: a LoRA, a ControlNet, a merge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...hrv.effect.effect import ModelChange, model_change, spread
from ...hrv.recording.path import RecordedPath
from ...hrv.recording.recording import Recording
from ..facts.guider import as_held
from ..facts.patcher import family_name_of, kind_of
from .asked_runs import bare, conds_of, notes_of, one_per_run, path_of
from .asking import Followed, follow

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

    instead: role → CONDITIONING that the other model gets in place of the run's own. moments: at how many of the run's evaluations. Raises NoRecording and ValueError.
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


def _ask(
    models: tuple, path: RecordedPath, instead, moments: int, progress
) -> tuple[list[torch.Tensor], Followed]:
    """What the first model makes of the latents kept, and how far they move with the other."""
    lists = {role: conds_of(path, role)[0] for role in instead}
    changed = {lists[role]: as_held(conditioning) for role, conditioning in instead.items()}
    steps, (model, other) = path.chosen(moments), models
    own, _ = follow(model, [], steps, path, progress=lambda done, total: progress(done, 2 * total))
    _, (followed,) = follow(
        other,
        [changed],
        steps,
        path,
        known=own,
        progress=lambda done, total: progress(total + done, 2 * total),
    )
    return own, followed


def _change_of(answers: tuple[list[torch.Tensor], Followed], row: int) -> ModelChange:
    """Of the image in this row of the run's batch."""
    own, followed = answers
    spreads = [max(spread(one[row]), 1e-30) for one in own]
    by_moment = [
        (float(one[row]) / varies) ** 0.5 for one, varies in zip(followed.by_step, spreads, strict=True)
    ]
    return model_change(followed.moved[row], spreads[-1], by_moment)
