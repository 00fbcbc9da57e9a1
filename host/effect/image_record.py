"""Recording what a model sees in an image that it need not have made: noised at a few levels, and evaluated once at each."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...hrv.recording.recording import Recording
from ..facts.cancel import CANCELS
from ..facts.guider import evaluate_noised
from ..facts.patcher import sigma_at
from ..follow.base.errors import OUT_OF_MEMORY, cause_of
from ..follow.recorder import RecordOptions, attach
from ..text.asked_words import AskedWords

FAILED = (
    "The model could not be run on this image with this prompt. Usually one of them was encoded for another kind of model: take model, CLIP "
    "and VAE from one loader, and connect the latent of an image."
)
FROM = 0.5  # of the schedule: where there is more noise than that, the image can hardly be seen


def parts_of_schedule(moments: int) -> list[float]:
    """Where the model is asked: the middles of so many equal parts of the schedule's later half."""
    return [FROM + (1 - FROM) * (number + 0.5) / moments for number in range(moments)]


@torch.inference_mode()
def record_image(
    model, positive: list, latent: dict, *, moments: int, seed: int, progress: Callable[[int, int], None],
    asked: AskedWords | None = None,
) -> Recording:  # fmt: skip
    """latent: LATENT of an encoded image, which is recognised afterwards as that of the recorded run. asked: words that are not in the
    prompt, to be looked for as well.

    Raises ValueError where the model, the prompt and the image do not fit together.
    """
    recorded, _, recording = attach(model, None, RecordOptions(asked=asked))
    try:
        evaluate_noised(
            recorded,
            positive,
            latent["samples"],
            sigmas=[sigma_at(recorded, part) for part in parts_of_schedule(moments)],
            mask=None,
            seed=seed,
            progress=progress,
        )
    except CANCELS:
        raise
    except OUT_OF_MEMORY:
        raise
    except Exception as error:
        raise ValueError(f"{FAILED} ({cause_of(error)})") from error
    return recording
