"""From a recording to overlays, heat, masks and words: layout, scales, batches, errors."""

import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, entry, run_of

from hrv_pack.hrv.draw.overlay import TINTS, color_table
from hrv_pack.hrv.heads.selection import HeadSelection
from hrv_pack.hrv.look.heatmap import Style, heatmaps
from hrv_pack.hrv.maps.bicubic import resize
from hrv_pack.hrv.maps.lookup import find_word
from hrv_pack.hrv.maps.word_maps import Target, word_maps
from hrv_pack.hrv.prompt import WordNotFound
from hrv_pack.hrv.recording.recording import Match, NoRecording, Recording

PROMPT = prompt("a red cat and a dog")
PLAIN = Style(caption=False)


def latents(count=1, seed=0):
    return torch.randn(count, 4, 16, 24, generator=torch.Generator().manual_seed(seed))


def recording(latent, *entries, **kwargs):
    r = Recording(LAYOUT, 2**40)
    r.add(run_of(latent, *(entries or [entry(PROMPT, batch=len(latent))]), **kwargs))
    return r


def expected_map(r, words, size, element=0, heads=None):
    e = r.runs[-1].entries[0]
    maps = word_maps(
        Match(r.runs[-1], element, True), [Target(((e, e.prompt.find(w).columns),)) for w in words], heads
    )
    return resize(maps, size)


def test_every_content_word_of_the_prompt_without_asking():
    x = latents()
    out = heatmaps(recording(x), x, style=PLAIN)
    assert out.words == ["red", "cat", "dog"]
    assert out.overlay.shape == (3, 128, 192, 3) and out.heat.shape == out.mask.shape == (3, 128, 192)
    assert out.warnings == []


def test_filler_words_are_shown_when_asked_for_or_when_there_is_nothing_else():
    x = latents()
    assert heatmaps(recording(x), x, "and, a#2", style=PLAIN).words == ["and", "a#2"]
    assert heatmaps(recording(x, entry(prompt("the the"))), x, style=PLAIN).words == ["the#1", "the#2"]


def test_the_shown_names_can_be_typed():
    x = latents()
    r = recording(x)
    everything = heatmaps(r, x, style=PLAIN)
    typed = heatmaps(r, x, ", ".join(everything.words), style=PLAIN)
    assert typed.words == everything.words
    assert torch.equal(typed.heat, everything.heat)


def test_tags_are_one_entry_each():
    x = latents()
    p = prompt("red cat , blue dog , sand", text="red cat, blue dog, sand")
    r = recording(x, entry(p))
    assert heatmaps(r, x, style=PLAIN).words == ["red cat", "blue dog", "sand"]
    assert heatmaps(r, x, unit="words", style=PLAIN).words == ["red", "cat", "blue", "dog", "sand"]


def test_heat_has_one_scale_for_all_words_of_the_prompt_also_those_not_shown():
    x = latents()
    r = recording(x)
    r.runs[0].entries[0].maps = {
        b: m * torch.linspace(0.2, 1, 8).view(1, 1, 1, 8, 1, 1).half()
        for b, m in r.runs[0].entries[0].maps.items()
    }
    every = heatmaps(r, x, style=PLAIN)
    some = heatmaps(r, x, "red", style=PLAIN)
    assert torch.equal(some.heat[0], every.heat[0])
    e = r.runs[0].entries[0]
    peak = word_maps(Match(r.runs[0], 0, True), [Target(((e, w.columns),)) for w in PROMPT.words()]).max()
    assert torch.allclose(some.heat, (expected_map(r, ["red"], (128, 192)) / peak).clamp(0, 1), atol=1e-6)
    assert some.heat.max() < 0.8


def test_heat_per_word_and_mask_take_the_minimum_away():
    x = latents()
    r = recording(x)
    out = heatmaps(r, x, "cat, dog", style=Style("per word", threshold=0.3, caption=False))
    maps = expected_map(r, ["cat", "dog"], (128, 192))
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    relative = (maps - low) / (high - low)
    assert torch.allclose(out.heat, relative, atol=1e-6)
    assert torch.equal(out.mask, (relative >= 0.3).float())
    shared = heatmaps(r, x, "cat, dog", style=Style(threshold=0.3, caption=False))
    assert torch.equal(shared.mask, out.mask)


def test_pictures_come_in_order_each_with_all_its_words():
    x = latents(3)
    r = recording(x)
    image = torch.rand(3, 54, 80, 3)
    out = heatmaps(r, x, "dog, cat", image=image, style=Style(alpha=0.0, caption=False))
    assert out.words == ["dog", "cat"] * 3
    assert torch.equal(out.overlay, image.repeat_interleave(2, 0))
    one = heatmaps(r, x[1:2], "dog, cat", image=image[1:2], style=PLAIN)
    many = heatmaps(r, x, "dog, cat", image=image, style=PLAIN)
    assert torch.equal(many.heat[2:4], one.heat) and torch.equal(many.overlay[2:4], one.overlay)
    assert not torch.allclose(many.heat[0], many.heat[2], atol=1e-3)


@pytest.mark.parametrize("tint", TINTS)
def test_the_overlay_is_the_colour_of_the_heat_over_the_picture(tint):
    x, image = latents(), torch.rand(1, 50, 75, 3)
    style = Style(alpha=0.25, colormap="viridis", caption=False, tint=tint)
    out = heatmaps(recording(x), x, "cat", image=image, style=style)
    colour = color_table("viridis")[(out.heat * 255).round().long()]
    cover = 0.25 if tint == "everywhere" else ((1 - 0.75**2) * (1 - (1 - out.heat) ** 2))[..., None]
    assert torch.allclose(out.overlay, image + cover * (colour - image), atol=1e-6)


def test_the_page_gets_every_overlay_in_order_and_the_shape_of_its_image():
    x, image = latents(2), torch.rand(2, 64, 96, 3)
    r = recording(x)
    out = heatmaps(r, x, "dog, cat", image=image)
    tiles = out.panel["tiles"]
    assert [(one["picture"], one["word"]) for one in tiles] == [
        (0, "dog"),
        (0, "cat"),
        (1, "dog"),
        (1, "cat"),
    ]
    assert out.panel["size"] == [64, 96] and out.panel["strip"] == out.overlay.shape[1] - 64
    for one, picture in zip(tiles, (0, 0, 1, 1), strict=True):
        match = r.match(x)[picture]
        entries = match.run.of_role("positive")
        target = find_word(one["word"], entries, [entry.prompt for entry in entries])
        assert one["value"] == pytest.approx(float(word_maps(match, [target]).max()))


def test_a_caption_leaves_the_picture_alone():
    x, image = latents(2), torch.rand(2, 256, 384, 3)
    r = recording(x)
    plain = heatmaps(r, x, image=image, style=PLAIN).overlay
    captioned = heatmaps(r, x, image=image).overlay
    assert captioned.shape[1] > 256 and captioned.shape[2] == 384
    assert torch.equal(captioned[:, :256], plain)
    strips = captioned[:, 256:]
    assert not torch.equal(strips[1], strips[2]) and not torch.equal(strips[1], strips[4])  # word, picture


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_gray_and_transparent_pictures(channels):
    x = latents()
    image = torch.rand(1, 40, 60, channels)
    out = heatmaps(recording(x), x, "cat", image=image, style=Style(alpha=0.0, caption=False)).overlay
    assert torch.equal(out, image[..., :1].repeat(1, 1, 1, 3) if channels < 3 else image[..., :3])


@pytest.mark.parametrize("size", [(512, 768), (33, 49), (128, 192), (8, 12)])
def test_pictures_of_any_size(size):
    x = latents()
    r = recording(x)
    out = heatmaps(r, x, "cat", image=torch.rand(1, *size, 3), style=PLAIN)
    assert out.heat.shape == (1, *size)
    assert torch.equal(out.heat, heatmaps(r, x, "cat", image=torch.zeros(1, *size, 3), style=PLAIN).heat)


def test_one_picture_serves_all_latents_and_one_latent_all_pictures():
    x, image = latents(3), torch.rand(3, 32, 48, 3)
    r = recording(x)
    assert heatmaps(r, x, "cat", image=image[:1], style=Style(alpha=0, caption=False)).overlay.equal(
        image[:1].repeat(3, 1, 1, 1)
    )
    out = heatmaps(r, x[2:], "cat", image=image, style=Style(alpha=0, caption=False))
    assert out.overlay.equal(image) and out.heat[0].equal(out.heat[2]) and out.words == ["cat"] * 3
    with pytest.raises(ValueError, match="image batch has 2 images, the latent batch 3"):
        heatmaps(r, x, "cat", image=image[:2])


def test_a_chosen_set_of_heads():
    x = latents()
    r = recording(x)
    weights = torch.zeros(LAYOUT.heads)
    weights[[1, 5, 7]] = 1.0
    heads = HeadSelection(LAYOUT, weights, "Animals 25 %")
    out = heatmaps(r, x, "cat", heads=heads, style=Style("per word", caption=False))
    maps = expected_map(r, ["cat"], (128, 192), heads=heads)
    assert torch.allclose(out.heat, (maps - maps.min()) / (maps.max() - maps.min()), atol=1e-6)
    assert "Animals 25 % (3 heads)" in out.summary
    assert "all 12 heads (DAAM)" in heatmaps(r, x, "cat").summary


def test_duplicates_may_be_typed():
    x = latents()
    out = heatmaps(recording(x), x, "cat, cat", style=PLAIN)
    assert out.words == ["cat", "cat"] and out.heat[0].equal(out.heat[1])


def test_a_missing_word_is_named():
    x = latents()
    with pytest.raises(WordNotFound, match="“cta”.*“cat”"):
        heatmaps(recording(x), x, "cat, cta")
    empty = recording(x, entry(prompt("")))
    with pytest.raises(WordNotFound, match="positive prompt is empty"):
        heatmaps(empty, x)


def test_words_of_combined_prompts_come_from_all_of_them():
    x = latents()
    first, second = entry(prompt("a cat")), entry(prompt("the cat cat"), index=1, seed=3)
    r = recording(x, first, second)
    out = heatmaps(r, x, style=PLAIN)
    assert out.words == ["cat#1", "cat#2"]
    targets = [Target(((first, (2,)), (second, (2, 3))))]
    maps = word_maps(Match(r.runs[0], 0, True), targets)
    got = heatmaps(r, x, "cat", style=Style("per word", caption=False)).heat
    large = resize(maps, (128, 192))
    assert torch.allclose(got, (large - large.min()) / (large.max() - large.min()), atol=1e-6)


def test_the_negative_prompt():
    x = latents()
    both = recording(x, entry(PROMPT), entry(prompt("ugly"), role="negative"))
    assert heatmaps(both, x, role="negative", style=PLAIN).words == ["ugly"]
    with pytest.raises(NoRecording, match="Switch `negative` on"):
        heatmaps(recording(x), x, role="negative")


def test_text_that_is_not_known_is_read_from_prompt_text():
    x = latents()
    traced, untraced = recording(x), recording(x, entry(None))
    with pytest.raises(NoRecording, match="connect the loader's CLIP to Record Attention.*prompt_text"):
        heatmaps(untraced, x, "cat")
    out = heatmaps(untraced, x, "dog", prompt_text="a red cat and a dog", tokenize=prompt, style=PLAIN)
    assert out.words == ["dog"]
    with pytest.raises(WordNotFound):
        heatmaps(traced, x, "bird", prompt_text="a bird", tokenize=prompt)  # known text wins
    with pytest.raises(ValueError, match="comes to 154 tokens, but the sampled conditioning has 77"):
        heatmaps(untraced, x, prompt_text="cat", tokenize=lambda text: prompt(text, text))


def test_another_latent_gets_the_only_run_of_its_size_and_a_warning():
    x = latents()
    out = heatmaps(recording(x, warnings=["A layer was left out."]), latents(seed=9), "cat", style=PLAIN)
    assert "The only image of this size is used" in out.warnings[0]
    assert out.warnings[1:] == ["A layer was left out."]


def test_batches_of_two_runs_with_two_prompts():
    x, y = latents(seed=1), latents(seed=2)
    r = recording(x, entry(prompt("a cat")))
    r.add(run_of(y, entry(prompt("dog"))))
    out = heatmaps(r, torch.cat([y, x]))
    assert out.words == ["dog", "cat"] and out.overlay.shape[0] == 2


def test_progress_counts_every_word_and_may_stop_the_work():
    x, calls = latents(2), []
    heatmaps(
        recording(x), x, "cat, dog", style=PLAIN, progress=lambda done, total: calls.append((done, total))
    )
    assert calls[-1] == (4, 4) and all((n, 4) in calls for n in range(5))

    def stop(done, total):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        heatmaps(recording(x), x, "cat, dog", progress=stop)


def test_a_recording_of_zeros_is_dark_everywhere():
    x = latents()
    r = recording(x)
    for maps in r.runs[0].entries[0].maps.values():
        maps.zero_()
    for how in ("shared", "per word"):
        out = heatmaps(r, x, "cat", style=Style(how))
        assert out.heat.sum() == 0 and out.mask.sum() == 0 and out.overlay.isfinite().all()
