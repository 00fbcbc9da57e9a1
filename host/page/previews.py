"""Images that a node shows of what it gives: small where they are many, so that showing costs little beside making them."""

from __future__ import annotations

import math
import random
import string
from collections.abc import Sequence

import torch
from comfy_api.latest import ui

from ...hrv.threads import share_out
from ..facts import paths

FEW = 9  # shown as ComfyUI's own preview is: PNG with the workflow in it
SIDES = ((FEW, 1024), (36, 512), (math.inf, 384))  # (up to so many images, their longest side in pixels)
QUALITY = 90  # of a JPEG: a tenth of the bytes and a twentieth of the time of a PNG


def preview(images: torch.Tensor, cls=None, legible: bool = False) -> dict:
    """What a node returns as `ui` to show these images; they are written into ComfyUI's temp folder.

    images: (image, height, width, 3), 0 to 1. cls: the node, for the workflow that goes into a PNG. legible: whether they are pages
    or charts with small type; a few of these keep their size.
    """
    side = next(side for most, side in SIDES if len(images) <= most)
    if len(images) <= FEW:
        shown = images if legible else [_shrunk(image, side) for image in images]
        return ui.PreviewImage(shown, cls=cls).as_dict()
    return {"images": _jpegs(images, side), "animated": (False,)}


def saved_previews(images: Sequence[torch.Tensor]) -> list[dict]:
    """Where the page finds these images, (height, width, 3) each, which are no preview of the node's own."""
    return _jpegs(images, max((max(image.shape[:2]) for image in images), default=1)) if images else []


def _shrunk(image: torch.Tensor, side: int) -> torch.Tensor:
    """(height, width, 3), its longest side at most `side`; smaller ones are left as they are."""
    import cv2  # takes a tenth of a second to import, which ComfyUI's start need not wait for

    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return torch.from_numpy(cv2.resize(image.cpu().float().numpy(), size, interpolation=cv2.INTER_AREA))


def _jpegs(images: torch.Tensor | Sequence[torch.Tensor], side: int) -> list[dict]:
    """Writes them; what the page needs to find each."""
    import cv2

    prefix = "ComfyUI_temp_" + "".join(random.choices(string.ascii_lowercase, k=8))  # noqa: S311
    free = paths.free_name(prefix, paths.temp(), (images[0].shape[1], images[0].shape[0]))
    files = [f"{free.name}_{free.number + number:05}_.jpg" for number in range(len(images))]

    def write(number: int) -> None:
        pixels = cv2.convertScaleAbs(_shrunk(images[number], side).clamp(0, 1).numpy(), alpha=255)
        _, data = cv2.imencode(
            ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        )
        # not by OpenCV: on Windows it cannot write into folders with letters of other languages
        with open(free.folder / files[number], "wb") as file:
            file.write(data)

    share_out(write, range(len(images)))
    return [{"filename": file, "subfolder": free.subfolder, "type": paths.TEMP} for file in files]
