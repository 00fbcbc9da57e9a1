"""Asks a model how far an image would come to lie from itself with other conditionings, by the host's own way to a sampling: guidance, areas,
masks, ControlNets, hooks, timestep ranges and combined prompts act as they do there. Nothing is sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...hrv.effect.effect import carried, change
from ...hrv.recording.path import RecordedPath, Step
from ..facts.guider import POSITIVE, Asked, ask
from ..facts.running import stop_if_cancelled

OTHER_MODEL = (
    "The model does not fit this run, or a prompt does not fit the model: one of them is of another kind (SD 1.5, SDXL and so on). Connect "
    "the model that your sampler used, and prompts that were encoded by its own CLIP."
)
INVALID = (
    "The model produced invalid values (NaN), so there is nothing to compare, and its image is probably black. Usual causes are a broken "
    "LoRA, or half precision that is too coarse for the model."
)
Conds = list[dict[str, Any]]
Changed = Mapping[str, Conds]  # name of a guider's list, as “positive” → what it holds instead


@dataclass(eq=False)
class Followed:
    """moved: `change` of δ after the last step, (image, height, width); by_step: its mean over pixels for Δ of each step, (image,). Nothing
    larger is kept, for prompts have many words, and videos many frames. float64, on the CPU, in the model's own latent units."""

    moved: torch.Tensor
    by_step: list[torch.Tensor] = field(default_factory=list)


@torch.inference_mode()
def follow(
    model,
    changed: Sequence[Changed],
    steps: Sequence[Step],
    path: RecordedPath,
    *,
    known: list[torch.Tensor] | None = None,
    is_same: bool = True,
    progress: Callable[[int, int], None],
) -> tuple[list[torch.Tensor], list[Followed]]:
    """What the model makes of each step's latent as it was guided, (image, channel, …) on the CPU, and how far the latent moves with
    each change of its conditionings (hrv/effect/effect.py).

    model: a ModelPatcher, without wrappers that follow samplings. changed: conditionings as guiders hold them; without any, nothing
    differs but the model. path: what the sampling was given. known: what was made of the steps in an earlier call, by this
    model if it `is_same`. progress(done, total) is called after each evaluation; what it raises, or a cancel, ends the work. Raises ValueError
    where they do not fit the model.
    """
    own: list[torch.Tensor] = list(known or ())
    found = [Followed(torch.empty(0)) for _ in changed]
    sigmas = [*(float(step.sigma.flatten()[0]) for step in steps), 0.0]
    lists, instead = _named(path.conds, changed)
    total, done = len(steps) * (len(changed) + (not own)), 0

    def answered(made: torch.Tensor, of_one: int = 1) -> torch.Tensor:
        nonlocal done
        done += of_one
        progress(done, total)
        stop_if_cancelled()
        return made.float().cpu()

    def work(asked: Asked) -> None:
        first = steps[0]
        if not own:
            own.extend(answered(asked.estimate({}, step.x, step.sigma)) for step in steps)
        # at the first latent the negative prompt says the same to both, and need not be asked again
        weight = asked.weight if is_same and any(POSITIVE in names for names in instead) else None
        alone = None if weight is None else answered(asked.without_guidance({}, first.x, first.sigma), 0)
        for one, names in zip(found, instead, strict=True):
            deviation = torch.zeros_like(own[0])
            for number, (step, before) in enumerate(zip(steps, own, strict=True)):
                if number == 0 and alone is not None and set(names) == {POSITIVE}:
                    made = answered(asked.without_guidance(names, step.x, step.sigma))
                    difference = weight * (made - alone)
                else:
                    x = step.x + deviation.to(step.x)
                    difference = answered(asked.estimate(names, x, step.sigma)) - before
                if asked.mask is not None:
                    difference = difference * asked.mask.to(difference)
                one.by_step.append(_changes(difference).mean((-2, -1)))
                deviation = carried(deviation, difference, sigmas[number], sigmas[number + 1])
            one.moved = _changes(deviation)

    try:
        ask(
            model,
            path.guidance,
            lists,
            path.latent,
            mask=path.mask,
            sigmas=torch.tensor(sigmas),
            work=work,
        )
    except RuntimeError as error:  # torch knows no class of its own for shapes that do not fit
        if isinstance(error, torch.OutOfMemoryError) or "shapes" not in str(error):
            raise
        raise ValueError(OTHER_MODEL) from error
    if not all(bool(tensor.isfinite().all()) for tensor in [*own, *(one.moved for one in found)]):
        raise ValueError(INVALID)
    return own, found


def _changes(differences: torch.Tensor) -> torch.Tensor:
    """`change` of each image: (image, channel, …) → (image, height, width)."""
    return torch.stack([change(one) for one in differences])


def _named(
    conds: Mapping[str, Conds], changed: Sequence[Changed]
) -> tuple[dict[str, Conds], list[dict[str, str]]]:
    """Every list under a name of its own, and of each change which list stands for which."""
    lists, instead = dict(conds), []
    for number, one in enumerate(changed):
        names = {role: f"{role} {number}" for role in one}
        lists |= {name: one[role] for role, name in names.items()}
        instead.append(names)
    return lists, instead
