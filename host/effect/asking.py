"""Asks a model what it makes of a latent, given one conditioning after another, by the host's own way to a sampling: areas, masks,
ControlNets, hooks, timestep ranges and combined prompts act as they do there. Nothing is sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...hrv.recording.path import RecordedPath, Step
from ..facts.guider import ask
from ..facts.running import stop_if_cancelled

LISTS_AT_ONCE = (
    8  # what the host may put into one batch; a cancel or the progress waits for no more than that
)
OTHER_MODEL = (
    "The model does not fit this run, or a prompt does not fit the model: one of them is of another kind (SD 1.5, SDXL and so on). Connect "
    "the model that your sampler used, and prompts that were encoded by its own CLIP."
)
INVALID = (
    "The model produced invalid values (NaN), so there is nothing to compare, and its image is probably black. Usual causes are a broken "
    "LoRA, or half precision that is too coarse for the model."
)


@torch.inference_mode()
def estimates(
    model,
    lists: Sequence[list[dict[str, Any]]],
    steps: Sequence[Step],
    path: RecordedPath,
    *,
    progress: Callable[[int, int], None],
) -> list[list[torch.Tensor]]:
    """What the model makes of each step's latent, given each list of conditionings: [step][list] (image, channel, …) on the CPU,
    in the model's own latent units.

    model: a ModelPatcher, without wrappers that follow samplings. lists: conditionings as guiders hold them. path: what the
    sampling was given beside its prompts. The same conditionings are asked once, so that they get the same answer. progress(done,
    total) is called after each batch; what it raises, or a cancel, ends the work. Raises ValueError where they do not fit the model.
    """
    known: dict[tuple[int, ...], str] = {}
    each = [
        known.setdefault(tuple(id(cond) for cond in conds), str(number)) for number, conds in enumerate(lists)
    ]
    names = list(known.values())
    found: list[list[torch.Tensor]] = []

    def work(answers) -> None:
        done = 0
        for step in steps:
            made: dict[str, torch.Tensor] = {}
            for first in range(0, len(names), LISTS_AT_ONCE):
                stop_if_cancelled()
                some = names[first : first + LISTS_AT_ONCE]
                made |= zip(
                    some, (one.float().cpu() for one in answers(some, step.x, step.sigma)), strict=True
                )
                done += len(some)
                progress(done, len(steps) * len(names))
            found.append([made[name] for name in each])

    sigmas = torch.stack([*(step.sigma.flatten()[0].float().cpu() for step in steps), torch.tensor(0.0)])
    given = {name: lists[int(name)] for name in names}
    try:
        ask(model, given, path.latent, mask=path.mask, sigmas=sigmas, work=work)
    except RuntimeError as error:  # torch knows no class of its own for shapes that do not fit
        if isinstance(error, torch.OutOfMemoryError) or "shapes" not in str(error):
            raise
        raise ValueError(OTHER_MODEL) from error
    return found
