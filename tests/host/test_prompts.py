"""Every kind of conditioning: which entries a run has, which words they know, which maps they hold."""

import nodes
import pytest
import rig
import safetensors.torch
import torch

from hrv_pack.hrv.prompt import END, START


def draw(studio, positive, negative=None, **options):
    """One sampling of two steps; returns the calls of the UNet as they really were."""
    with rig.watch(studio.model) as calls:
        rig.sample(studio.recorded, positive, studio.negative if negative is None else negative, **options)
    return calls


def words_of(entry) -> list[str]:
    return [word.text for word in entry.prompt.words()]


def check_maps(studio, entry, calls, conditioning, size=None) -> None:
    """The maps of an entry are Σ P of the rows that were really given this conditioning."""
    rig.assert_maps(entry, calls, studio.recording.layout, conditioning[0][0], tolerance=2e-3, size=size)


def test_plain():
    studio = rig.studio(positive="A photo of a Red cat, in a hat!")
    calls = draw(studio, studio.positive)
    (entry,) = rig.last_run(studio.recording).entries
    assert (entry.role, entry.index, entry.length, [entry.count()], entry.batch) == (
        "positive",
        0,
        77,
        [2],
        1,
    )
    assert words_of(entry) == ["A", "photo", "of", "a", "Red", "cat", "in", "a", "hat"]
    assert entry.prompt.find("red cat").columns == (5, 6)
    assert entry.columns == tuple(range(13))  # start, nine words, comma, exclamation mark, end
    kinds = [entry.prompt.tokens[c].kind for c in entry.columns]
    assert kinds[0] == START and kinds[-1] == END and len(set(kinds)) == 3
    check_maps(studio, entry, calls, studio.positive)


def test_weights():
    studio = rig.studio(positive="a (cat:1.4) on a [mat]")
    calls = draw(studio, studio.positive)
    entry = rig.entry(studio.recording)
    assert words_of(entry)[:4] == ["a", "cat", "on", "a"]
    cat = entry.prompt.find("cat")
    assert cat.columns == (2,) and cat.weight == pytest.approx(1.4)
    check_maps(studio, entry, calls, studio.positive)


@pytest.mark.parametrize("chunks", [2, 3])
def test_long_prompt_against_a_short_negative(chunks):
    """The short negative is padded by repetition; both are right."""
    studio = rig.studio(positive="cat " * (75 * (chunks - 1)) + "hat", record_negative=True)
    studio.negative = rig.encode(studio.clip, "ugly dog")
    calls = draw(studio, studio.positive)
    assert calls[0].context.shape[1] == 77 * chunks
    run = rig.last_run(studio.recording)
    assert [(e.role, e.length) for e in run.entries] == [("positive", 77 * chunks), ("negative", 77)]
    assert run.entries[0].prompt.find("hat").columns == (77 * (chunks - 1) + 1,)
    assert words_of(run.entries[1]) == ["ugly", "dog"]
    check_maps(studio, run.entries[0], calls, studio.positive)
    check_maps(studio, run.entries[1], calls, studio.negative)


@pytest.mark.way("Textual inversion")
def test_textual_inversion(tmp_path, monkeypatch):
    studio = rig.studio()
    tokenizer = studio.clip.tokenizer.clip_l
    monkeypatch.setattr(tokenizer, "embedding_directory", [str(tmp_path)])
    generator = torch.Generator().manual_seed(0)
    for name, vectors in (("moody", 3), ("soft", 1)):
        embedding = torch.randn(vectors, rig.WIDTH["sdxl"], generator=generator)
        safetensors.torch.save_file({"emb_params": embedding}, tmp_path / f"{name}.safetensors")
    prompt = rig.encode(studio.clip, "a embedding:moody cat, (embedding:soft:1.2) hat")
    calls = draw(studio, prompt)
    entry = rig.entry(studio.recording)
    assert words_of(entry) == ["a", "embedding:moody", "cat", "embedding:soft", "hat"]
    assert entry.prompt.find("embedding:moody").columns == (2, 3, 4)
    assert entry.prompt.find("embedding:soft").columns == (7,)
    assert entry.prompt.find("hat").columns == (8,)
    check_maps(studio, entry, calls, prompt)


@pytest.mark.way("ConditioningCombine")
def test_combine():
    studio = rig.studio()
    cat, dog = rig.encode(studio.clip, "a cat"), rig.encode(studio.clip, "two dogs")
    (both,) = nodes.ConditioningCombine().combine(cat, dog)
    calls = draw(studio, both)
    entries = rig.last_run(studio.recording).entries
    found = [(e.role, e.index, [e.count()], words_of(e)) for e in entries]
    assert found == [("positive", 0, [2], ["a", "cat"]), ("positive", 1, [2], ["two", "dogs"])]
    check_maps(studio, entries[0], calls, cat)
    check_maps(studio, entries[1], calls, dog)


@pytest.mark.way("ConditioningConcat")
def test_concat():
    studio = rig.studio()
    cat, dog = rig.encode(studio.clip, "a cat"), rig.encode(studio.clip, "two dogs")
    (both,) = nodes.ConditioningConcat().concat(cat, dog)
    calls = draw(studio, both)
    entry = rig.entry(studio.recording)
    assert entry.length == 154 and words_of(entry) == ["a", "cat", "two", "dogs"]
    assert entry.prompt.find("dogs").columns == (77 + 2,)
    check_maps(studio, entry, calls, both)
    assert rig.last_run(studio.recording).warnings == []


def test_concat_with_a_foreign_part():
    """A part that another CLIP encoded: the maps are right, the unknown words are told."""
    studio = rig.studio()
    cat, dog = rig.encode(studio.clip, "a cat"), rig.encode(rig.clip("sdxl"), "two dogs")
    (both,) = nodes.ConditioningConcat().concat(cat, dog)
    calls = draw(studio, both)
    entry = rig.entry(studio.recording)
    assert words_of(entry) == ["a", "cat"]
    check_maps(studio, entry, calls, both)
    (warning,) = rig.last_run(studio.recording).warnings
    assert warning.startswith("Part of the prompt was not encoded with the CLIP")


@pytest.mark.way("ConditioningAverage")
def test_average():
    """The words are those of conditioning_to, and a warning says that the numbers are mixed."""
    studio = rig.studio()
    cat, dog = rig.encode(studio.clip, "a cat"), rig.encode(studio.clip, "two dogs")
    (mixed,) = nodes.ConditioningAverage().addWeighted(cat, dog, 0.5)
    calls = draw(studio, mixed)
    entry = rig.entry(studio.recording)
    assert words_of(entry) == ["a", "cat"]
    check_maps(studio, entry, calls, mixed)
    (warning,) = rig.last_run(studio.recording).warnings
    assert "ConditioningAverage" in warning


def halved(size, times):
    for _ in range(times):
        size = tuple(-(-n // 2) for n in size)
    return size


def check_crop(studio, entry, calls, conditioning, crop, latent=(16, 24)) -> None:
    """Maps are zero outside the area, and inside what the model computed on the crop."""
    height, width, y, x = crop
    layout = studio.recording.layout
    wanted = rig.expected(calls, layout, conditioning[0][0], entry.columns)
    assert set(wanted) == set(entry.maps)
    assert any(call.shape[-2:] == (height, width) for call in calls)
    for number in wanted:
        maps = entry.maps[number].float().sum(1).double()
        times = next(n for n in range(4) if halved(latent, n) == tuple(maps.shape[-2:]))
        h, w = halved((height, width), times)
        top, left = y // 2**times, x // 2**times
        inside = maps[..., top : top + h, left : left + w]
        assert torch.allclose(inside.flatten(-2), wanted[number], atol=2e-3)
        assert maps.sum().item() == pytest.approx(inside.sum().item())


def area(conditioning):
    return nodes.ConditioningSetArea().append(conditioning, 96, 64, 64, 32, 1.0)[0]


def percentage(conditioning):
    return nodes.ConditioningSetAreaPercentage().append(conditioning, 0.5, 0.5, 1 / 3, 0.25, 1.0)[0]


def mask_bounds(conditioning):
    mask = torch.zeros(16, 24)
    mask[4:12, 8:20] = 1.0
    return nodes.ConditioningSetMask().append(conditioning, mask, "mask bounds", 1.0)[0]


@pytest.mark.way("Area prompts")
@pytest.mark.parametrize("crop_by", [area, percentage, mask_bounds])
def test_areas(crop_by):
    """An area is sampled as a crop; ComfyUI copies it, uuid and all, into the negative list."""
    studio = rig.studio(record_negative=True)
    studio.negative = rig.encode(studio.clip, "ugly")
    cat, everything = rig.encode(studio.clip, "a cat"), rig.encode(studio.clip, "a garden")
    calls = draw(studio, crop_by(cat) + everything)
    run = rig.last_run(studio.recording)
    found = [(e.role, e.index, [e.count()], words_of(e)) for e in run.entries]
    assert found == [
        ("positive", 0, [2], ["a", "cat"]),
        ("positive", 1, [2], ["a", "garden"]),
        ("negative", 0, [2], ["ugly"]),
    ]
    check_crop(studio, run.entries[0], calls, cat, crop=(8, 12, 4, 8))
    check_maps(studio, run.entries[1], calls, everything)
    check_maps(
        studio, run.entries[2], calls, studio.negative, size=(16, 24)
    )  # not what the copy in its list made


def test_area_that_leaves_the_picture():
    """The host cuts it off; so do we."""
    studio = rig.studio()
    cat = rig.encode(studio.clip, "a cat")
    (reaching_out,) = nodes.ConditioningSetArea().append(cat, 128, 128, 128, 64, 1.0)
    calls = draw(studio, reaching_out)
    check_crop(studio, rig.entry(studio.recording), calls, cat, crop=(8, 8, 8, 16))


def test_mask_over_the_whole_picture():
    """Mode `default`: the model sees the whole picture, the mask acts on what it predicts."""
    studio = rig.studio()
    mask = torch.zeros(128, 192)
    mask[:, 96:] = 1.0
    cat = rig.encode(studio.clip, "a cat")
    (masked,) = nodes.ConditioningSetMask().append(cat, mask, "default", 1.0)
    calls = draw(studio, masked)
    check_maps(studio, rig.entry(studio.recording), calls, cat)


@pytest.mark.way("Prompts with time ranges")
def test_timestep_ranges():
    """Each prompt counts the evaluations that it was in."""
    studio = rig.studio()
    prompts = rig.encode(studio.clip, "a cat"), rig.encode(studio.clip, "two dogs")
    ranged = []
    for prompt, start, end in zip(prompts, (0.0, 0.6), (0.6, 1.0), strict=True):
        ranged += nodes.ConditioningSetTimestepRange().set_range(prompt, start, end)[0]
    calls = draw(studio, ranged, steps=5)
    entries = rig.last_run(studio.recording).entries
    for entry, prompt in zip(entries, prompts, strict=True):
        evaluations = sum(1 for call in calls if (call.context == prompt[0][0]).flatten(1).all(1).any())
        assert 0 < entry.count() == evaluations < 5
        check_maps(studio, entry, calls, prompt)
    assert sum(entry.count() for entry in entries) == 5


def test_zeroed_negative():
    studio = rig.studio(record_negative=True)
    studio.negative = rig.encode(studio.clip, "ugly")
    (zero,) = nodes.ConditioningZeroOut().zero_out(studio.negative)
    calls = draw(studio, studio.positive, zero)
    positive, negative = rig.last_run(studio.recording).entries
    assert words_of(positive)[0] == "a"
    assert negative.prompt is None and negative.columns == tuple(range(77))
    check_maps(studio, positive, calls, studio.positive)
    check_maps(studio, negative, calls, zero)


def test_empty_prompt():
    studio = rig.studio(positive="")
    calls = draw(studio, studio.positive)
    entry = rig.entry(studio.recording)
    assert words_of(entry) == [] and entry.columns == (0, 1)  # start and end
    check_maps(studio, entry, calls, studio.positive)


def test_a_prompt_that_was_not_traced():
    """Every column is kept, so that the words can be given later as text."""
    studio = rig.studio()
    prompt = rig.encode(rig.clip("sdxl"), "a cat")
    calls = draw(studio, prompt)
    entry = rig.entry(studio.recording)
    assert entry.prompt is None and entry.columns == tuple(range(77))
    check_maps(studio, entry, calls, prompt)
