"""Knowing a latent again: exactly by its numbers, or by its looks after a node has changed it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch
from torch.nn import functional

LATENT_PIXEL = 8  # pixels of the image per latent pixel, along each axis, in SD1 and SDXL
SHAPE_TOLERANCE = 0.05  # two shapes are the same when their aspect ratios differ by no more than this share
THUMBNAIL = 32
ALIKE = 0.95
"""The least likeness at which a changed latent is still the image that was recorded (docs/architecture.md, "Which run"). On the
demo model the same image upscaled, encoded again or with noise added reaches 0.96 and more; another seed of the same prompt,
0.94 at most."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Traces:
    """What a sampling's latents are known by later.

    names: the fingerprint of each image of the batch. others: fingerprints of other latents of these images, each with its place
    in the batch (`denoised_output` of a sampler). thumbnails: float16 (image, channel, height, width), see `thumbnails`; None
    where there are none. size: (height, width) in latent pixels.
    """

    names: list[str] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
    thumbnails: torch.Tensor | None = None
    size: Size | None = None


def fingerprints(latent: torch.Tensor) -> list[str]:
    """SHA-256 of the float32 bytes of each batch element of a tensor (batch, …)."""
    rows = latent.detach().to(device="cpu", dtype=torch.float32).contiguous()
    return [hashlib.sha256(row.numpy().tobytes()).hexdigest() for row in rows]


def fingerprints_kept(latent: torch.Tensor) -> tuple[list[str], list[str]]:
    """The fingerprints under which a latent may have been kept: its own, and those of its copy in half precision. A ComfyUI
    that was started with --fp16-intermediates rounds what most sampler nodes hand on, but not all."""
    return fingerprints(latent), fingerprints(latent.half())


def traces_of(latent: torch.Tensor, denoised: torch.Tensor | None = None) -> Traces:
    """latent: (batch, …, height, width), what a sampler gave; denoised: what it gave as `denoised_output`, if anything."""
    names = fingerprints(latent)
    others = {}
    if denoised is not None and denoised.shape == latent.shape:
        others = {name: row for row, name in enumerate(fingerprints(denoised)) if name not in names}
    return Traces(names, others, thumbnails(latent), size_of(latent))


def size_of(latent: torch.Tensor) -> Size:
    """(height, width) in latent pixels."""
    return latent.shape[-2], latent.shape[-1]


def image_size_of(latent: torch.Tensor) -> Size:
    """(height, width) of the image that a latent stands for, in pixels."""
    height, width = size_of(latent)
    return height * LATENT_PIXEL, width * LATENT_PIXEL


def thumbnails(latent: torch.Tensor) -> torch.Tensor | None:
    """Each image of a latent on at most 32 pixels a side, averaged over area, each channel's mean taken away, and scaled to unit
    norm: float16 (image, channel, height, width); None for what has no height and width. 8 KB for a square image with 4
    channels."""
    if latent.ndim < 4 or not latent.numel():
        return None
    height, width = size_of(latent)
    part = min(1.0, THUMBNAIL / max(height, width))
    return _looks(latent, (max(1, round(height * part)), max(1, round(width * part)))).half()


class Looks:
    """One image, to be compared with the thumbnails of others. latent: (1, …, height, width)."""

    def __init__(self, latent: torch.Tensor):
        self._latent = latent
        self._small: dict[Size, torch.Tensor] = {}

    def like(self, traces: Traces) -> tuple[float, int]:
        """(likeness, row) of the image of a sampling that this one is most like: the correlation of their pixels at the
        thumbnail's size, each channel's mean taken away. 1 is the same, 0 nothing in common, or nothing to compare: another shape."""
        seen = traces.thumbnails
        if seen is None or traces.size is None or self._latent.ndim < 4:
            return 0.0, 0
        if not same_shape(traces.size, size_of(self._latent)):
            return 0.0, 0
        size = size_of(seen)
        if size not in self._small:
            self._small[size] = _looks(self._latent, size)
        if self._small[size].shape[1:] != seen.shape[1:]:
            return 0.0, 0
        scores = torch.nan_to_num(seen.float().flatten(1) @ self._small[size].flatten())
        row = int(scores.argmax())
        return float(scores[row]), row


def same_shape(one: Size, other: Size) -> bool:
    """Whether two (height, width) have the same aspect ratio, rounding to whole pixels left aside."""
    ratio = (one[0] * other[1]) / (one[1] * other[0])
    return max(ratio, 1 / ratio) <= 1 + SHAPE_TOLERANCE


def _looks(latent: torch.Tensor, size: Size) -> torch.Tensor:
    """float32 (image, channel, height, width) of unit norm, averaged over area; frames count as channels."""
    flat = latent.detach().to(device="cpu", dtype=torch.float32).flatten(1, -3)
    small = functional.adaptive_avg_pool2d(flat, size)
    small = small - small.mean((-2, -1), keepdim=True)
    norms = small.flatten(1).norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    return small / norms[:, None, None, None]
