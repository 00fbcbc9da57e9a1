"""Masks at the edges of the image: right where there are edges, and the plain mask where the image says nothing."""

import cv2
import numpy as np
import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, entry, run_of

from hrv_pack.hrv.look.heatmap import Style, heatmaps
from hrv_pack.hrv.look.lens import look
from hrv_pack.hrv.maps.refine import IMAGE_EDGES, refined_mask
from hrv_pack.hrv.recording.recording import Recording

SIDE = 160


def blob(side: int = SIDE) -> tuple[torch.Tensor, torch.Tensor]:
    """(a star's mask, heat that is a blur of it, moved and uneven), both (side, side)."""
    turn = np.linspace(0, 2 * np.pi, 11)[:-1]
    radius = np.where(np.arange(10) % 2, 0.16, 0.36) * side
    points = np.stack([side / 2 + radius * np.sin(turn), side / 2 - radius * np.cos(turn)], axis=1)
    mask = cv2.fillPoly(np.zeros((side, side), np.uint8), [points.round().astype(np.int32)], 1)
    heat = cv2.GaussianBlur(np.roll(mask, side // 40, axis=1).astype(np.float32), (0, 0), side / 14)
    heat *= np.linspace(0.8, 1.2, side, dtype=np.float32)
    return torch.from_numpy(mask.astype(bool)), torch.from_numpy(
        (heat - heat.min()) / (heat.max() - heat.min())
    )


def painted(mask: torch.Tensor, contrast: float, noise: float, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    picture = 0.4 + noise * torch.randn(*mask.shape, 3, generator=rng)
    return (picture + contrast * mask[..., None]).clamp(0, 1)


def iou(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.bool() & other.bool()).sum() / (one.bool() | other.bool()).sum())


@pytest.mark.parametrize(
    "side, contrast, noise", [(SIDE, 0.4, 0.02), (SIDE, 0.4, 0.15), (SIDE, 0.05, 0.01), (700, 0.4, 0.02)]
)
def test_the_outline_of_the_thing_is_found(side, contrast, noise):
    truth, heat = blob(side)
    found = refined_mask(heat, painted(truth, contrast, noise), 0.4)
    assert iou(heat >= 0.4, truth) < 0.75
    assert (
        found.dtype == torch.float32 and found.shape == truth.shape and set(found.unique().tolist()) == {0, 1}
    )
    assert iou(found, truth) > 0.93


def test_another_thing_of_the_same_colour_far_from_the_heat_is_left_out():
    truth, heat = blob()
    picture = painted(truth, 0.4, 0.02)
    picture[4:24, 4:24] += 0.4
    assert not refined_mask(heat, picture, 0.4)[:30, :30].any()


def test_the_same_input_gives_the_same_mask():
    truth, heat = blob()
    picture = painted(truth, 0.4, 0.15)
    first = refined_mask(heat, picture, 0.4)
    cv2.setRNGSeed(77)
    assert torch.equal(refined_mask(heat, picture, 0.4), first)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_an_image_that_shows_nothing_refines_nothing(noise):
    truth, heat = blob()
    assert refined_mask(heat, painted(truth, 0.0, noise), 0.4) is None


def test_a_thing_much_larger_than_its_heat_leaves_the_heat():
    truth, heat = blob()
    rest = torch.zeros_like(truth)
    rest[10:150, 10:150] = True
    assert refined_mask(heat.pow(2), painted(rest, 0.5, 0.02), 0.4) is None


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_mask_of_everything_or_of_one_pixel_has_no_outline(threshold):
    truth, heat = blob()
    assert refined_mask(heat, painted(truth, 0.4, 0.02), threshold) is None


PROMPT = prompt("a red cat and a dog")


def seen() -> tuple[Recording, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(recording in which “cat” lies where the star is, its latent, an image of the star, the star's mask)."""
    latent = torch.randn(1, 4, 20, 20, generator=torch.Generator().manual_seed(0))
    truth, heat = blob()
    one = entry(PROMPT)
    column = PROMPT.find("cat").columns[0]
    for maps in one.maps.values():
        small = torch.nn.functional.interpolate(heat[None, None], maps.shape[-2:], mode="area")[0, 0]
        maps[..., one.columns.index(column), :, :] = small.to(maps.dtype)
    recording = Recording(LAYOUT, 2**40)
    recording.add(run_of(latent, one))
    return recording, latent, painted(truth, 0.4, 0.02)[None], truth


def test_heatmap_and_lens_give_refined_masks_and_leave_the_heat_alone():
    recording, latent, image, truth = seen()
    plain = heatmaps(recording, latent, "cat", image=image, style=Style(caption=False))
    sharp = heatmaps(recording, latent, "cat", image=image, style=Style(caption=False, refine=IMAGE_EDGES))
    assert torch.equal(plain.heat, sharp.heat) and torch.equal(plain.overlay, sharp.overlay)
    assert iou(sharp.mask[0], truth) > 0.9 > 0.8 > iou(plain.mask[0], truth)
    assert torch.equal(look(recording, latent, image, words="cat", refine=IMAGE_EDGES).mask, sharp.mask)
    assert sharp.warnings == []


def test_words_whose_mask_stays_plain_are_named():
    recording, latent, image, _ = seen()
    gray = torch.full_like(image, 0.5)
    style = Style(caption=False, refine=IMAGE_EDGES)
    found = heatmaps(recording, latent, "cat", image=gray, style=style)
    plain = heatmaps(recording, latent, "cat", image=gray, style=Style(caption=False))
    assert torch.equal(found.mask, plain.mask)
    assert found.warnings == [
        "The plain mask is kept for “cat”: the image has no clear edge where the heatmap is."
    ]
    assert look(recording, latent, gray, words="cat", refine=IMAGE_EDGES).warnings == found.warnings


def test_without_an_image_there_are_no_edges():
    recording, latent, _, _ = seen()
    found = heatmaps(recording, latent, "cat", style=Style(caption=False, refine=IMAGE_EDGES))
    assert len(found.warnings) == 1 and "no image is connected" in found.warnings[0]
