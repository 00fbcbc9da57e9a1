"""Overlays, colours and caption strips."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from hrv_pack.hrv.draw import text
from hrv_pack.hrv.draw.overlay import (
    BACKGROUND,
    COLORMAPS,
    INK,
    Caption,
    as_rgb,
    caption_strips,
    color_table,
    overlay,
)
from hrv_pack.hrv.wording import share_text

CAPTION = Caption("cat", 0.0, 0.031, 0.004, "one scale for all words", "all 1300 heads (DAAM)")
BACKGROUND_COLOUR = torch.tensor(BACKGROUND) / 255


def luminance(colours):
    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return linear @ torch.tensor([0.2126, 0.7152, 0.0722])


def test_alpha_mixes_picture_and_colour():
    picture, heat = torch.rand(5, 7, 3), torch.rand(5, 7)
    colour = overlay(picture, heat, 1.0, "viridis")
    assert torch.equal(overlay(picture, heat, 0.0, "viridis"), picture)
    assert torch.allclose(overlay(picture, heat, 0.25, "viridis"), 0.75 * picture + 0.25 * colour, atol=1e-6)


def test_a_tint_that_follows_the_heat_leaves_the_rest_of_the_picture_alone():
    picture, heat = torch.rand(3, 40, 3), torch.zeros(3, 40)
    heat[1] = torch.linspace(0, 1, 40)
    drawn = overlay(picture, heat, 0.6, "turbo", tint="where it is hot")
    assert torch.equal(drawn[0], picture[0]) and torch.equal(drawn[2], picture[2])
    cover = (1 - 0.4**2) * (1 - (1 - heat[1:2]) ** 2)[..., None]
    colour = overlay(None, heat, 1.0, "turbo")[1:2]
    assert torch.allclose(drawn[1:2], picture[1:2] + cover * (colour - picture[1:2]), atol=1e-6)
    assert torch.equal(overlay(picture, heat, 1.0, "turbo", tint="where it is hot")[1, -1], colour[0, -1])
    with pytest.raises(ValueError, match="where it is hot, everywhere"):
        overlay(picture, heat, 0.6, "turbo", tint="warm")


def test_colours_follow_the_heat():
    heat = torch.tensor([[0.0, 0.5, 1.0, 2.0, -1.0]])
    row = overlay(None, heat, 0.6, "inferno")[0]
    table = color_table("inferno")
    assert torch.equal(row, table[torch.tensor([0, 128, 255, 255, 0])])


@pytest.mark.parametrize("name", COLORMAPS)
def test_color_tables(name):
    table = color_table(name)
    assert table.shape == (256, 3) and 0 <= table.min() and table.max() <= 1
    assert len(torch.unique(table, dim=0)) >= 250
    if name != "turbo":  # turbo is a rainbow; the others must read in black and white
        assert (luminance(table).diff() >= -1e-3).all() and luminance(table[-1:]) > luminance(table[:1]) + 0.5


def test_turbo_runs_from_blue_to_red():
    table = color_table("turbo")
    assert table[30].argmax() == 2 and table[128].argmax() == 1 and table[225].argmax() == 0


def test_an_unknown_colormap_lists_the_known():
    with pytest.raises(ValueError, match="turbo, inferno, viridis, gray"):
        color_table("jet")


def test_gray_and_alpha_channels():
    x = torch.rand(2, 3, 4, 4)
    assert torch.equal(as_rgb(x), x[..., :3])
    assert torch.equal(as_rgb(x[..., :1]), x[..., :1].repeat(1, 1, 1, 3))
    assert torch.equal(as_rgb(x[..., :2]), x[..., :1].repeat(1, 1, 1, 3))
    with pytest.raises(ValueError, match="this one has 5"):
        as_rgb(torch.rand(2, 2, 5))


@pytest.mark.parametrize(
    "value, said",
    [
        (0.0, "0 %"),
        (0.0312, "3.1 %"),
        (0.00852, "0.85 %"),
        (0.1234, "12 %"),
        (1.0, "100 %"),
        (3.2e-6, "0.00032 %"),
        (1e-9, "< 0.0001 %"),
    ],
)
def test_shares_have_two_digits(value, said):
    assert share_text(value) == said


@pytest.mark.parametrize(
    "size", [(256, 256), (512, 512), (1024, 1024), (192, 320), (320, 192), (64, 64), (2048, 512)]
)
def test_strips_are_as_wide_as_the_picture_and_of_a_fitting_height(size):
    strips = caption_strips([CAPTION, CAPTION], size, "turbo")
    assert strips.shape[0] == 2 and strips.shape[2:] == (size[1], 3)
    assert strips.shape[1] <= max(110, size[0] * 0.4)
    assert torch.equal(strips[0], strips[1])


@pytest.mark.parametrize("name", COLORMAPS)
def test_the_colour_bar_runs_once_through_the_colours(name):
    strip = caption_strips([CAPTION], (512, 512), name)[0]
    table = color_table(name)
    bars = [
        row
        for row in strip
        if torch.allclose(row[14], table[1], atol=0.03) and torch.allclose(row[-14], table[-2], atol=0.03)
    ]
    assert len(bars) >= 10
    inner = bars[5][12:-12]
    place = ((inner[:, None] - table[None]).abs().sum(-1)).argmin(1)
    assert (place.diff() >= 0).all() and place[0] < 8 and place[-1] > 247


def test_the_pointer_is_where_the_words_maximum_is():
    def pointer(mark):
        with_mark = caption_strips([Caption("cat", 0.0, 1.0, mark, "", "")], (512, 512), "turbo")[0]
        without = caption_strips([Caption("cat", 0.0, 1.0, None, "", "")], (512, 512), "turbo")[0]
        changed = (with_mark - without).abs().sum((0, 2)).nonzero().flatten().float()
        return float(changed.mean())

    assert abs(pointer(0.5) - 256) < 4
    assert pointer(0.0) < 20 and pointer(1.0) > 492
    assert abs(pointer(0.25) - 134) < 4


def test_other_words_give_another_strip_and_no_word_bleeds_over_the_edge():
    long = "an extremely long phrase that no caption of this size could ever hold in one line " * 3
    captions = [
        Caption(w, 0.0, 0.03, 0.01, "one scale for all words", "all heads") for w in ("cat", "dog", long)
    ]
    strips = caption_strips(captions, (192, 320), "turbo")
    assert not torch.equal(strips[0], strips[1])
    for strip in strips:
        edges = torch.cat(
            [
                strip[:, :3].flatten(0, 1),
                strip[:, -3:].flatten(0, 1),
                strip[:2].flatten(0, 1),
                strip[-2:].flatten(0, 1),
            ]
        )
        assert (edges - BACKGROUND_COLOUR).abs().max() < 0.01


@pytest.mark.parametrize(
    "title", ["日本語", "😀 🧑‍🎨", "Ünïcödé", "عربي", "a\nb\tc", "", "\x00\ud800", "ðŁ", "embedding:x"]
)
def test_any_title_can_be_drawn(title):
    strip = caption_strips([Caption(title, 0.0, 0.0, 0.0, "", "")], (64, 200), "turbo")
    assert strip.isfinite().all()


def test_type_is_dark_on_light_and_smooth():
    image = Image.new("RGB", (200, 40), BACKGROUND)
    text.write(ImageDraw.Draw(image), (10, 5), "cowboy hat", size=24, ink=INK, room=180)
    pixels = np.asarray(image).reshape(-1, 3)
    shades = np.unique(pixels[:, 0])
    assert shades.min() <= 40 and shades.max() == BACKGROUND[0] and len(shades) > 10


def test_type_that_does_not_fit_is_cut():
    image = Image.new("RGB", (200, 40), BACKGROUND)
    text.write(ImageDraw.Draw(image), (10, 5), "w" * 100, size=24, ink=INK, room=100)
    dark = (np.asarray(image)[..., 0] < 200).any(0).nonzero()[0]
    assert dark.min() >= 9 and dark.max() <= 112 and dark.max() > 80


@pytest.mark.parametrize("size", [(300, 500), (1, 70000), (700, 3)])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_an_overlay_worked_off_in_parts_is_the_overlay(size, alpha):
    heat, picture = torch.rand(size), torch.rand(*size, 3)
    plain = torch.lerp(picture, color_table("turbo")[(heat * 255).round().long()], alpha)
    into = torch.empty(2, size[0] + 5, size[1], 3).fill_(torch.nan)
    assert overlay(picture, heat, alpha, "turbo", out=into[1, 5:]).data_ptr() == into[1, 5:].data_ptr()
    assert torch.equal(into[1, 5:], plain) and torch.equal(overlay(picture, heat, alpha, "turbo"), plain)
    assert into[0].isnan().all() and into[1, :5].isnan().all()
