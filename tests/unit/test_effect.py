"""Shares of what words change, by hand; and the page that shows them."""

import itertools
import json

import pytest
import torch

from hrv_pack.hrv.effect.effect import Effects, area_of_half, carried, change, effects, model_change, spread
from hrv_pack.hrv.look.tiles import Style
from hrv_pack.hrv.look.word_effect_page import show_effects
from hrv_pack.hrv.recording.path import KEPT, RecordedPath, Step, kept_of


def test_change_is_the_sum_over_channels_and_the_mean_over_frames():
    moved = torch.randn(3, 4, 5)
    expected = sum(moved[c].double() ** 2 for c in range(3))
    assert torch.allclose(change(moved), expected)
    frames = torch.stack([moved, torch.zeros_like(moved)], dim=1)  # (channel, frame, height, width)
    assert torch.allclose(change(frames), expected / 2)


def test_carrying_is_eulers_method_on_the_difference_of_two_samplings():
    """Two samplings by hand, dx/dσ = (x − D) / σ, each with a D of its own that depends on x."""
    sigmas = [10.0, 4.0, 1.5, 0.5, 0.0]
    one = other = torch.tensor([30.0, -7.0])
    deviation = torch.zeros(2)
    for sigma, following in itertools.pairwise(sigmas):
        made, made_other = one.tanh() * sigma**0.5, (other - 1).tanh() * sigma**0.5
        difference = ((one + deviation) - 1).tanh() * sigma**0.5 - made
        deviation = carried(deviation, difference, sigma, following)
        one = one + (one - made) / sigma * (following - sigma)
        other = other + (other - made_other) / sigma * (following - sigma)
    assert torch.allclose(deviation, other - one, atol=1e-5) and bool((deviation.abs() > 0.01).all())
    # noise that a sampler adds moves both samplings alike
    assert torch.equal(carried(deviation, torch.zeros(2), 1.0, 3.0), deviation)
    assert torch.equal(
        carried(deviation, torch.ones(2), 0.0, 0.0), deviation
    )  # noise that is gone: nothing moves any more


def test_a_share_is_a_part_of_the_whole_texts_change():
    one = torch.zeros(1, 4, 4).double()
    one[0, :2] = 8.0  # in the upper half alone
    found = effects(["red"], one, torch.full((4, 4), 100.0).double())
    assert float(found.shares) == pytest.approx(4.0**0.5 / 10)
    assert torch.allclose(found.maps[0, :2], torch.full((2, 4), 8.0**0.5 / 10))
    assert not found.maps[0, 2:].any() and found.whole == pytest.approx(10.0)


def test_a_model_change_is_a_share_of_the_images_own_spread():
    estimate = torch.randn(3, 6, 8).double()
    own = sum(float(((channel - channel.mean()) ** 2).mean()) for channel in estimate)
    assert spread(estimate) == pytest.approx(own)
    flat = estimate.mean((1, 2), keepdim=True).expand_as(estimate)
    found = model_change(change(flat - estimate), own, [1.0])
    assert found.amount == pytest.approx(1.0) and found.by_moment == (1.0,)
    found = model_change(change(torch.full_like(estimate, 0.1)), own, [0.5, 0.2])
    assert found.amount == pytest.approx((3 * 0.01 / own) ** 0.5)
    assert torch.allclose(found.map, torch.full((6, 8), found.amount))
    nothing = model_change(torch.zeros(6, 8).double(), own, [0.0, 0.0])
    assert nothing.amount == 0 and not nothing.map.any() and nothing.by_moment == (0.0, 0.0)


def test_half_of_a_change_lies_in_so_much_of_the_area():
    heat = torch.zeros(10, 10)
    heat[0, :4] = 1.0
    assert area_of_half(heat) == pytest.approx(0.02)
    assert area_of_half(torch.ones(10, 10)) == pytest.approx(0.5)
    assert area_of_half(torch.zeros(10, 10)) == 0


def test_what_changes_nothing_is_zero():
    changes = torch.zeros(1, 4, 4).double()
    assert float(effects(["the"], changes, torch.ones(4, 4).double()).shares) == 0
    empty = effects(["the"], changes, torch.zeros(4, 4).double())
    assert float(empty.shares) == 0 and empty.whole == 0


def test_what_is_kept_follows_the_noise():
    """By hand: √t of the first is 0.064, so the others are wanted at 0.19, 0.31 … 0.67 (t = 1 / (1 + σ))."""
    sigmas = [250.0, 100.0, 40.0, 25.0, 12.0, 9.0, 5.0, 4.0, 2.5, 1.2, 0.5, 0.1]
    wanted = [0.063 + 0.937 * 0.13 * n for n in range(6)]
    nearest = {min(range(12), key=lambda n: abs((1 / (1 + sigmas[n])) ** 0.5 - at)) for at in wanted}
    assert kept_of(sigmas, 250.0) == nearest == {0, 3, 5, 7, 8, 9}
    straight = [1.0, 0.98, 0.92, 0.85, 0.7, 0.6, 0.5, 0.25]
    assert kept_of(straight, 1.0) == {0, 1, 2, 3, 4, 5}
    assert kept_of([14.6], 14.6) == {0} and kept_of([1.0, 0.75, 0.5, 0.25], 1.0) == {0, 1, 2}
    for count in range(1, 80):
        kept = kept_of([14.6 * 0.003 ** (n / count) for n in range(count)], 14.6)
        assert 1 <= len(kept) <= KEPT and 0 in kept


def test_moments_are_first_close_then_apart():
    steps = {n: Step(torch.full((1, 4, 8, 8), float(n)), torch.tensor([float(n)])) for n in range(6)}
    path = RecordedPath(torch.zeros(1, 4, 8, 8), None, {}, None, steps)
    places = {1: [0], 2: [0, 1], 3: [0, 1, 3], 4: [0, 1, 2, 5], 5: [0, 1, 2, 3, 5], 6: [0, 1, 2, 3, 4, 5]}
    for wanted, expected in places.items():
        assert [int(step.sigma) for step in path.chosen(wanted)] == expected
    assert len(path.chosen(9)) == 6
    assert path.nbytes == 6 * 4 * 64 * 4
    assert len(path.followed_by(path).steps) == 2 * KEPT


def test_the_page():
    maps = torch.zeros(3, 8, 8)
    maps[1, 2:4, 2:4] = 1.0
    found = Effects(("soft", "star", "sand"), torch.tensor([0.001, 0.6, 0.3]).double(), maps, 4.0)
    page = show_effects([found], torch.zeros(1, 4, 8, 8), torch.rand(1, 64, 64, 3), Style())
    assert page.words == ["star", "sand", "soft"]
    assert page.mask[0, 20, 20] == 1 and page.mask[0, 60, 60] == 0 and not page.mask[1:].any()
    assert page.text == "“star” did most (60 %). Do nothing here, can go: soft."
    assert "| star | 60 % |" in page.report and "can go: soft" in page.report
    words = json.loads(page.data)["pictures"][0]["words"]
    assert [(w["name"], round(w["effect"], 3)) for w in words] == [
        ("star", 2.4),
        ("sand", 1.2),
        ("soft", 0.004),
    ]
    instead = show_effects([found], torch.zeros(1, 4, 8, 8), None, Style(caption=False), "moon")
    assert "“moon”" in instead.text and "can go" not in instead.text + instead.report
    with pytest.raises(ValueError, match="another shape"):
        show_effects([found], torch.zeros(1, 4, 8, 8), torch.rand(1, 64, 96, 3), Style())


def test_what_would_not_fit_is_refused():
    found = Effects(("star",), torch.tensor([0.5]).double(), torch.rand(1, 8, 8), 1.0)
    with pytest.raises(ValueError, match="more than the .* that is free"):
        show_effects([found], torch.zeros(1, 4, 8, 8), None, Style(), free_memory=2**16)
