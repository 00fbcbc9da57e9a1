"""Overlays over the schedule: one for each part that was sampled, on one scale."""

import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, entry, match, plain_map, run_of

from hrv_pack.hrv.heads.selection import HeadSelection
from hrv_pack.hrv.look.heatmap import Style, heatmaps
from hrv_pack.hrv.maps.bicubic import resize
from hrv_pack.hrv.maps.timeline import ONE_PART, recorded_parts, timeline_maps
from hrv_pack.hrv.maps.word_maps import Target
from hrv_pack.hrv.recording.recording import Recording

PROMPT = prompt("a red cat")
TIMELINE = Style(caption=False, timeline=True)


def recorded(*entries, batch=1):
    latent = torch.randn(batch, 4, 16, 24, generator=torch.Generator().manual_seed(0))
    kept = Recording(LAYOUT, 2**40)
    kept.add(run_of(latent, *entries))
    return kept, latent


def test_maps_of_each_part_against_the_plainest_sum():
    e = entry(PROMPT, counts=(2, 0, 3))
    maps = timeline_maps(match(e), [Target(((e, (3,)),)), Target(((e, (2, 3)),))], [0, 2])
    for frame, part in zip(maps, (0, 2), strict=True):
        assert torch.allclose(frame[0], plain_map(e, (3,), (8, 12), time_bin=part), atol=1e-5)
        both = [plain_map(e, (c,), (8, 12), time_bin=part) for c in (2, 3)]
        assert torch.allclose(frame[1], sum(both) / 2, atol=1e-5)


def test_parts_without_evaluations_are_left_out():
    assert recorded_parts([entry(PROMPT, counts=(0, 2, 0, 1))]) == [1, 3]
    assert recorded_parts([entry(PROMPT, counts=(0, 2)), entry(PROMPT, counts=(1, 0), index=1)]) == [0, 1]


def test_prompts_that_take_turns():
    """Conditioning Set Timestep Range: each prompt counts where it was evaluated."""
    first, second = entry(PROMPT, counts=(2, 0)), entry(prompt("a cat"), counts=(0, 3), index=1, seed=4)
    cat, red = Target(((first, (3,)), (second, (2,)))), Target(((first, (2,)),))
    maps = timeline_maps(match(first, second), [cat, red], [0, 1])
    assert torch.allclose(maps[0, 0], plain_map(first, (3,), (8, 12), time_bin=0), atol=1e-5)
    assert torch.allclose(maps[1, 0], plain_map(second, (2,), (8, 12), time_bin=1), atol=1e-5)
    assert maps[0, 1].max() > 0 and not maps[1, 1].any()


def test_layers_that_a_cache_skipped():
    """Case D2: a part counts if any layer ran in it, and is the mean over those that did."""
    e = entry(PROMPT, counts=(2, 2, 3), layer_counts={0: (0, 0, 3), 1: (0, 0, 1), 2: (0, 0, 3), 3: (1, 0, 3)})
    assert recorded_parts([e]) == [0, 2]
    target = Target(((e, (3,)),))
    maps = timeline_maps(match(e), [target], [0, 2])
    for frame, part in zip(maps, (0, 2), strict=True):
        assert torch.allclose(frame[0], plain_map(e, (3,), (8, 12), time_bin=part), atol=1e-5)
    weights = torch.zeros(LAYOUT.heads)
    weights[LAYOUT.span(0)] = 1  # heads that ran in the last part only
    chosen = timeline_maps(match(e), [target], [0, 2], HeadSelection(LAYOUT, weights))
    assert not chosen[0].any() and chosen[1].any()


def test_overlays_come_word_by_word_each_with_its_parts():
    kept, latent = recorded(entry(PROMPT, counts=(2, 2, 2)))
    out = heatmaps(kept, latent, "red, cat", style=TIMELINE)
    assert out.words == ["red"] * 3 + ["cat"] * 3 and out.heat.shape == out.mask.shape == (6, 128, 192)
    (m,) = kept.match(latent)
    (e,) = m.run.entries
    targets = [Target(((e, w.columns),)) for w in PROMPT.words()]
    maps = timeline_maps(m, targets, [0, 1, 2])
    cat = resize(maps[:, 2], (128, 192))
    assert torch.allclose(out.heat[3:], (cat / maps.max()).clamp(0, 1), atol=1e-6)
    assert torch.equal(out.mask[3:], ((cat - cat.min()) / (cat.max() - cat.min()) >= 0.4).float())


def test_a_word_with_its_own_scale_keeps_it_through_all_parts():
    kept, latent = recorded(entry(PROMPT, counts=(2, 2)))
    out = heatmaps(kept, latent, "cat", style=Style("per word", caption=False, timeline=True))
    assert out.heat.min() == 0 and out.heat.max() == pytest.approx(1)
    assert (out.heat.amax((1, 2)) < 1).sum() == 1


def test_pictures_of_a_batch_and_captions():
    kept, latent = recorded(entry(PROMPT, counts=(2, 2), batch=2), batch=2)
    image = torch.rand(2, 64, 96, 3)
    out = heatmaps(kept, latent, "cat", image=image, style=Style(alpha=0.0, timeline=True))
    assert torch.equal(out.overlay[:, :64], image.repeat_interleave(2, 0)) and out.overlay.shape[1] > 64
    strips = out.overlay[:, 64:]
    assert not torch.equal(strips[0], strips[1])  # "part 1 of 2", "part 2 of 2"


def test_a_recording_without_parts_gives_one_overlay_and_says_why():
    kept, latent = recorded(entry(PROMPT))
    plain = heatmaps(kept, latent, "cat", style=Style(caption=False))
    out = heatmaps(kept, latent, "cat", style=TIMELINE)
    assert torch.equal(out.heat, plain.heat) and out.warnings == [ONE_PART] and plain.warnings == []
