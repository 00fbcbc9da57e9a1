"""Shares of what words change, by hand; and the page that shows them."""

import json

import pytest
import torch

from hrv_pack.hrv.effect.effect import Effects, area_of_half, change, effects, model_change, spread
from hrv_pack.hrv.look.tiles import Style
from hrv_pack.hrv.look.word_effect_page import show_effects
from hrv_pack.hrv.recording.path import KEPT, RecordedPath, Step, kept_of


def test_change_is_the_sum_over_channels_and_the_mean_over_frames():
    a, b = torch.rand(2, 3, 4, 5)
    expected = sum((a[c].double() - b[c].double()) ** 2 for c in range(3))
    assert torch.allclose(change(a, b), expected)
    frames = torch.stack([a, b], dim=1), torch.stack([b, b], dim=1)  # (channel, frame, height, width)
    assert torch.allclose(change(*frames), expected / 2)


def test_a_share_is_a_part_of_the_whole_texts_change_over_all_moments():
    whole = torch.ones(2, 4, 4).double() * torch.tensor([1.0, 100.0])[:, None, None]
    one = torch.zeros(2, 1, 4, 4).double()
    one[0, 0, :2], one[1, 0, :2] = 0.5, 8.0  # in the upper half alone
    found = effects(["red"], one, whole)
    assert float(found.shares) == pytest.approx((0.25**0.5 + 4.0**0.5) / 11)
    assert torch.allclose(found.maps[0, :2], torch.full((2, 4), (0.5**0.5 + 8.0**0.5) / 11))
    assert not found.maps[0, 2:].any() and found.whole == pytest.approx(11.0)


def test_a_model_change_is_a_share_of_the_images_own_spread():
    estimate = torch.randn(3, 6, 8).double()
    own = sum(float(((channel - channel.mean()) ** 2).mean()) for channel in estimate)
    assert spread(estimate) == pytest.approx(own)
    flat = estimate.mean((1, 2), keepdim=True).expand_as(estimate)
    found = model_change(change(estimate, flat)[None], [own])
    assert found.amount == pytest.approx(1.0) and found.by_moment == pytest.approx((1.0,))
    moved = torch.stack([change(estimate, estimate + d) for d in (0.1, 0.3)])
    found = model_change(moved, [own, 2 * own])
    assert found.amount == pytest.approx((3 * (0.01 + 0.09) / (3 * own)) ** 0.5)
    assert torch.allclose(found.map, torch.full((6, 8), found.amount))
    nothing = model_change(torch.zeros(2, 6, 8).double(), [own, own])
    assert nothing.amount == 0 and not nothing.map.any() and nothing.by_moment == (0.0, 0.0)


def test_half_of_a_change_lies_in_so_much_of_the_area():
    heat = torch.zeros(10, 10)
    heat[0, :4] = 1.0
    assert area_of_half(heat) == pytest.approx(0.02)
    assert area_of_half(torch.ones(10, 10)) == pytest.approx(0.5)
    assert area_of_half(torch.zeros(10, 10)) == 0


def test_what_changes_nothing_is_zero():
    changes = torch.zeros(2, 1, 4, 4).double()
    assert float(effects(["the"], changes, torch.ones(2, 4, 4).double()).shares) == 0
    empty = effects(["the"], changes, torch.zeros(2, 4, 4).double())
    assert float(empty.shares) == 0 and empty.whole == 0


def test_moments_come_from_the_first_half():
    assert kept_of(1) == {0} and kept_of(4) == {0, 1} and kept_of(20) == {0, 1, 3, 5, 6, 8}
    for evaluations in range(1, 80):
        kept = kept_of(evaluations)
        assert 1 <= len(kept) <= KEPT and 0 in kept and max(kept) <= (evaluations - 1) / 2 + 0.5
    steps = {n: Step(torch.full((1, 4, 8, 8), float(n)), torch.tensor([float(n)])) for n in range(6)}
    path = RecordedPath(torch.zeros(1, 4, 8, 8), None, {}, steps)
    assert [float(step.sigma) for step in path.chosen(3)] == [0, 2, 4]
    assert len(path.chosen(1)) == 1 and len(path.chosen(9)) == 6
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
