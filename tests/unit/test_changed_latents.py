"""Latents that a node has changed since they were sampled: whose they are, and when nobody can tell."""

import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, entry, run_of
from torch.nn.functional import interpolate

from hrv_pack.hrv.maps.pairing import warnings_of
from hrv_pack.hrv.recording.recording import NoRecording, Recording, Run
from hrv_pack.hrv.runs.latents import ALIKE, Looks, same_shape, thumbnails, traces_of


def image(seed, count=1, size=(48, 48)):
    """Latents with forms: large at first, finer ones over them."""
    generator = torch.Generator().manual_seed(seed)
    grids = [torch.randn(count, 4, n, n, generator=generator) / n**0.5 for n in (4, 8, 16, 32)]
    return sum(interpolate(one, size, mode="bilinear") for one in grids)


def recording(*latents):
    r = Recording(LAYOUT, 2**40)
    for latent in latents:
        r.add(run_of(latent, entry(prompt("cat"), batch=len(latent))))
    return r


def upscaled(latent, factor=2.0):
    return interpolate(latent, scale_factor=factor, mode="bicubic")


def noisy(latent, share):
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(9))
    return latent + share * latent.std() * noise


CHANGES = {
    "upscaled": upscaled,
    "made smaller": lambda x: upscaled(x, 0.75),
    "a little noise": lambda x: noisy(x, 0.1),
    "another scale": lambda x: 0.18 * x + 3,
    "a small patch repainted": lambda x: torch.cat([x[..., :45], x[..., 45:] * 0.7], dim=-1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_stands_for_the_image_that_it_was(change):
    r = recording(image(1), image(2, count=3), image(3))
    (match,) = r.match(CHANGES[change](image(2, count=3)[1:2]))
    assert match.run is r.runs[1] and match.element == 1 and not match.exact
    (warning,) = warnings_of([match])
    assert warning.startswith(
        "This latent did not come straight out of a sampler behind Record Attention. It matches"
    )
    assert "alike), so that one is used." in warning


UNKNOWN = {
    "another image": lambda x: image(77),
    "a crop, enlarged": lambda x: upscaled(x[..., :24, :24]),
    "mirrored": lambda x: x.flip(-1),
    "half of another image": lambda x: torch.cat([x[..., :24], image(78)[..., 24:]], dim=-1),
    "nothing": lambda x: torch.zeros_like(x),
    "not numbers": lambda x: x * float("nan"),
    "another number of channels": lambda x: torch.cat([x, x], dim=1),
}


@pytest.mark.parametrize("change", UNKNOWN)
def test_it_never_stands_for_another(change):
    r = recording(image(1), image(2))
    with pytest.raises(NoRecording) as error:
        r.match(UNKNOWN[change](image(2)))
    assert "matches none of the images that did. Kept are: 2 × 384×384." in str(error.value)
    assert "If an image has no latent of its own, as after a tiled upscale" in str(error.value)


def test_tiles_never_stand_for_the_whole_nor_the_whole_for_a_tile():
    """Case D1: the joined latent of a tiled upscale, and one of a tile that was not sampled so."""
    base = image(5)
    large = upscaled(base)
    tiles = [noisy(t, 0.1) for half in large.chunk(2, dim=-2) for t in half.chunk(2, dim=-1)]
    r = recording(base, *tiles)
    joined = torch.cat([torch.cat(tiles[:2], dim=-1), torch.cat(tiles[2:], dim=-1)], dim=-2)
    assert [m.run for m in r.match(joined)] == [r.runs[0]]
    assert [m.run for m in r.match(upscaled(tiles[2]))] == [r.runs[3]]
    with pytest.raises(NoRecording, match="matches none"):
        r.match(large[..., 20:68, 20:68])


def test_the_only_run_of_a_size_stands_in_with_a_warning():
    r = recording(image(1), image(2, size=(32, 32)))
    (match,) = r.match(image(7))
    assert match.run is r.runs[0] and "The only image of this size is used" in match.note
    with pytest.raises(NoRecording):
        r.match(image(7, size=(64, 64)))
    with pytest.raises(NoRecording):
        r.match(image(7, count=2))  # it had one image
    r.add(Run(LAYOUT, traces=traces_of(image(3))))
    with pytest.raises(NoRecording, match=r"Kept are: 2 × 384×384, 1 × 256×256"):
        r.match(image(7))


def test_the_only_run_of_a_size_must_have_been_the_only_one_ever():
    r = Recording(LAYOUT, 1)
    for seed in (1, 2):
        r.add(run_of(image(seed), entry(prompt("cat"))))
    assert len(r.runs) == 1
    with pytest.raises(NoRecording, match="matches none"):
        r.match(image(7))


def test_a_changed_latent_of_a_forgotten_image_is_known_as_such():
    r = Recording(LAYOUT, 1)
    for seed in (1, 2):
        r.add(run_of(image(seed), entry(prompt("cat"))))
    with pytest.raises(
        NoRecording, match=r"It matches an image that is no longer kept. Others were sampled after it \(1\)"
    ):
        r.match(upscaled(image(1)))
    assert r.match(upscaled(image(2)))[0].run is r.runs[0]


def test_denoised_output_is_its_runs_latent():
    """Case B3."""
    r = Recording(LAYOUT, 2**40)
    for seed in (1, 2):
        r.add(Run(LAYOUT, traces=traces_of(image(seed, 2), noisy(image(seed, 2), 0.01))))
    for seed in (1, 2):
        found = r.match(noisy(image(seed, 2), 0.01))
        assert [(m.run, m.element, m.exact) for m in found] == [(r.runs[seed - 1], n, True) for n in (0, 1)]


def test_equal_images_of_a_batch_keep_their_places():
    latent = image(1).repeat(3, 1, 1, 1)
    assert [m.element for m in recording(latent).match(latent)] == [0, 1, 2]


def test_likeness_is_correlation_at_the_size_of_a_thumbnail():
    a, b = image(1), image(2)
    centred = [
        x - x.mean((-1, -2), keepdim=True) for x in (interpolate(y, (24, 24), mode="area") for y in (a, b))
    ]
    plain = float((centred[0] * centred[1]).sum() / (centred[0].norm() * centred[1].norm()))
    small = traces_of(interpolate(a, (24, 24), mode="area"))
    assert Looks(b).like(small)[0] == pytest.approx(plain, abs=2e-3) and abs(plain) < ALIKE
    assert Looks(a).like(small) == (pytest.approx(1, abs=2e-3), 0)
    assert thumbnails(a).shape == (1, 4, 32, 32) and thumbnails(image(1, size=(24, 64))).shape == (
        1,
        4,
        12,
        32,
    )


def test_latents_with_a_frame_axis():
    latent = image(1, count=2).unsqueeze(2)
    r = recording(latent)
    assert [m.element for m in r.match(upscaled(latent[:, :, 0]).unsqueeze(2))] == [0, 1]


@pytest.mark.parametrize(("one", "other", "same"), [
    ((64, 64), (1000, 1000), True), ((64, 96), (500, 768), True), ((64, 64), (64, 67), True), ((64, 64), (64, 68), False),
    ((96, 64), (64, 96), False),
])  # fmt: skip
def test_shapes(one, other, same):
    assert same_shape(one, other) == same_shape(other, one) == same
