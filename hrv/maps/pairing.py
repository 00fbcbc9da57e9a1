"""Images beside the runs that they came from, and what a reader of these runs must know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar, overload

import torch

from ..draw.overlay import as_rgb
from ..recording.recording import EVERYTHING, TEXT, Match, Recording
from ..runs.latents import Size, image_size_of, same_shape, size_of
from ..wording import said

ONE_SHARE = said(
    "`share` makes no difference for this model: its image looks at the text alone in the recorded layers, so the share of the text is the "
    "share of everything."
)


@overload
def pair(
    recording: Recording, latent: torch.Tensor, image: torch.Tensor, share: str = ...
) -> tuple[list[Match], list[torch.Tensor]]: ...


@overload
def pair(
    recording: Recording, latent: torch.Tensor, image: torch.Tensor | None, share: str = ...
) -> tuple[list[Match], Sequence[torch.Tensor | None]]: ...


def pair(
    recording: Recording, latent: torch.Tensor, image: torch.Tensor | None, share: str = EVERYTHING
) -> tuple[list[Match], Sequence[torch.Tensor | None]]:
    """One match and one image for each of the images to draw: equal batches, or one of them repeated.

    latent: (batch, channel, h, w), what the sampler gave; image: (batch, height, width, channel), of any size but of the latent's
    shape, or None. share: one of SHARES. Raises NoRecording, and ValueError for an image that is not of this latent.
    """
    return beside(recording.match(latent, share), latent, image)


Found = TypeVar("Found")


def beside(
    matches: list[Found], latent: torch.Tensor, image: torch.Tensor | None
) -> tuple[list[Found], Sequence[torch.Tensor | None]]:
    """What was found of each image of a latent, beside the images to draw, as `pair` has it."""
    if image is None:
        return matches, [None] * len(matches)
    if image.ndim != 4:
        raise ValueError(
            f"The image must be (batch, height, width, channel); this one is {tuple(image.shape)}."
        )
    if not image.numel():
        raise ValueError(
            said(
                "The image is empty (its shape is {shape}). Connect the image that was decoded from this latent.",
                shape=str(tuple(image.shape)),
            )
        )
    _check_shape(latent, image)
    images = list(as_rgb(image))
    if len(images) == len(matches):
        return matches, images
    if len(images) == 1:
        return matches, images * len(matches)
    if len(matches) == 1:
        return matches * len(images), images
    raise ValueError(
        said(
            "The image batch has {images} images, the latent batch {latents}. Connect the image that was decoded from this latent, or pick "
            "one with Get Image from Batch.",
            images=len(images),
            latents=len(matches),
        )
    )


def drawn_size(latent: torch.Tensor, image: torch.Tensor | None) -> Size:
    """(height, width) in pixels of what is drawn: that of the image, or of the one that the latent stands for."""
    return image_size_of(latent) if image is None else (image.shape[1], image.shape[2])


def warnings_of(matches: Iterable[Match]) -> list[str]:
    """What the reader of these runs must know, each sentence once."""
    matches = list(matches)
    notes = [match.note for match in matches if match.note]
    if any(match.share == TEXT and not match.run.is_joint for match in matches):
        notes.append(ONE_SHARE)
    return list(dict.fromkeys([*notes, *(warning for match in matches for warning in match.run.warnings)]))


def _check_shape(latent: torch.Tensor, image: torch.Tensor) -> None:
    """Raises ValueError for an image that was cropped, stretched or is another one."""
    height, width = image.shape[1:3]
    rows, columns = image_size_of(latent)
    if not same_shape((height, width), size_of(latent)):
        raise ValueError(
            said(
                "The image is {width}×{height} pixels, but the latent belongs to an image of {columns}×{rows}, which has another shape: the "
                "heatmap would be in the wrong place. Connect the image that was decoded from this latent. An enlarged image is fine; a "
                "cropped or stretched one is not.",
                width=width,
                height=height,
                columns=columns,
                rows=rows,
            )
        )
