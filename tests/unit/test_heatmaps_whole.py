"""Heatmaps of many words: against the plainest computation, on one thread and several, and what they take of the memory."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from prompts import prompt
from synthetic import LAYOUT, entry, plain_map, run_of

from hrv_pack.hrv.draw.overlay import Caption, caption_strips, color_table
from hrv_pack.hrv.look import heatmap
from hrv_pack.hrv.look.heatmap import Style, heatmaps
from hrv_pack.hrv.recording.recording import Recording
from hrv_pack.hrv.wording import share_text

SIZE = (150, 225)
MANY = " ".join(f"word{n} , other{n} thing{n} ," for n in range(10)).removesuffix(" ,")
TAGS = prompt(MANY, text=MANY.replace(" ,", ","))  # 20 tags of one word and of two
MB = 2**20


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"], autouse=True)
def threads(request):
    usual = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(usual)


def recorded(latent, *entries):
    recording = Recording(LAYOUT, 2**40)
    recording.add(run_of(latent, *(entries or [entry(TAGS, batch=len(latent))])))
    return recording


def latents(count=1):
    return torch.randn(count, 4, 16, 24, generator=torch.Generator().manual_seed(0))


def images(count=1):
    return torch.rand(count, *SIZE, 3, generator=torch.Generator().manual_seed(1))


def enlarged(one, size=SIZE):
    return F.interpolate(one[None, None], size, mode="bicubic", align_corners=False)[0, 0]


@pytest.mark.parametrize("how", ["shared", "per word"])
@pytest.mark.parametrize("colormap", ["turbo", "gray"])
def test_everything_is_what_the_plainest_computation_gives(how, colormap):
    x, image = latents(2), images(2)
    recording = recorded(x)
    (e,) = recording.runs[0].entries
    out = heatmaps(recording, x, image=image, style=Style(how, 0.3, 0.7, colormap, tint="everywhere"))
    names = [tag.text for tag in TAGS.tags()]
    assert len(names) == 20 and out.words == names * 2
    strips, captions = out.overlay[:, SIZE[0] :], []
    for number in range(2):
        maps = [plain_map(e, tag.columns, (8, 12), element=number) for tag in TAGS.tags()]
        peak = float(torch.stack(maps).max())
        for row, (name, small) in enumerate(zip(names, maps, strict=True), start=20 * number):
            large = enlarged(small)
            relative = (large - large.min()) / (large.max() - large.min())
            heat = relative if how == "per word" else (large / peak).clamp(0, 1)
            assert (out.heat[row] - heat).abs().max() < 2e-6
            sure = (relative - 0.3).abs() > 2e-6
            assert (
                torch.equal(out.mask[row][sure], (relative[sure] >= 0.3).float())
                and sure.float().mean() > 0.99
            )
            colour = color_table(colormap)[(out.heat[row] * 255).round().long()]
            plain = 0.3 * image[number] + 0.7 * colour
            assert (out.overlay[row, : SIZE[0]] - plain).abs().max() < 1e-6
            source = f"all 12 heads (DAAM) · image {number + 1}"
            if how == "shared":
                note = f"this word: up to {share_text(float(small.max()))} · one scale for all words"
                captions.append(Caption(name, 0.0, peak, float(small.max()), note, source))
            else:
                captions.append(
                    Caption(name, float(small.min()), float(small.max()), None, "each word has its own scale", source)
                )  # fmt: skip
    assert torch.equal(strips, caption_strips(captions, SIZE, colormap))


def test_a_timeline_is_what_the_parts_give_one_by_one():
    x, counts = latents(), (5, 2, 7)
    e = entry(TAGS, counts=counts)
    out = heatmaps(recorded(x, e), x, image=images(), style=Style(caption=False, timeline=True))
    assert out.words == [tag.text for tag in TAGS.tags() for _ in counts]
    maps = [[plain_map(e, tag.columns, (8, 12), time_bin=part) for part in range(3)] for tag in TAGS.tags()]
    peak = max(float(one.max()) for word in maps for one in word)
    expected = torch.stack([(enlarged(one) / peak).clamp(0, 1) for word in maps for one in word])
    assert (out.heat - expected).abs().max() < 2e-6
    large = torch.stack([torch.stack([enlarged(one) for one in word]) for word in maps])
    low, high = large.amin((1, 2, 3), keepdim=True), large.amax((1, 2, 3), keepdim=True)
    assert (out.mask - ((large - low) / (high - low) >= 0.4).float().flatten(0, 1)).abs().mean() < 1e-3


def test_images_of_one_latent_have_the_same_heat_made_once(monkeypatch):
    x, asked = latents(), []
    plain = heatmap.word_maps
    monkeypatch.setattr(heatmap, "word_maps", lambda m, t, h: asked.append(len(t)) or plain(m, t, h))
    out = heatmaps(recorded(x), x, image=images(3), style=Style(caption=False))
    assert sum(asked) == 20 and len(out.words) == 60
    assert torch.equal(out.heat[:20], out.heat[40:]) and not torch.equal(out.overlay[:20], out.overlay[40:])


def test_progress_comes_before_each_word_and_what_it_raises_stops_the_work(threads):
    x, calls = latents(), []
    heatmaps(recorded(x), x, progress=lambda done, total: calls.append((done, total)))
    first = calls.index((1, 20))
    assert calls[:first] == [(0, 20)] * first and calls[first:] == [(n, 20) for n in range(1, 21)]

    class Cancel(Exception):
        pass

    for last in (0, 7):

        def stop(done, total, last=last):
            if done == last:
                raise Cancel

        with pytest.raises(Cancel):
            heatmaps(recorded(x), x, progress=stop)
        assert torch.get_num_threads() == threads


def test_what_comes_out_can_be_changed_in_the_mode_it_was_made_in():
    x = latents()
    with torch.inference_mode():
        out = heatmaps(recorded(x), x, image=images())
        out.overlay.mul_(0.5), out.heat.mul_(0.5), out.mask.mul_(0.5)
    heatmaps(recorded(x), x, image=images()).overlay.mul_(0.5)


def test_b5_what_cannot_fit_is_refused_before_anything_is_made(monkeypatch):
    chunks = [" ".join(f"tag{n} ," for n in range(first, first + 30)) for first in range(0, 150, 30)]
    p = prompt(*chunks, text=" ".join(chunks).replace(" ,", ","))
    x, image = latents(4)[..., :16], torch.zeros(1, 1, 1, 3).expand(4, 1024, 1024, 3)
    monkeypatch.setattr(heatmap, "word_maps", lambda *_: pytest.fail("the work was begun"))
    said = []
    with pytest.raises(ValueError) as refused:
        heatmaps(recorded(x, entry(p, batch=4)), x, image=image, style=Style(caption=False),
                 free_memory=6 * 2**30, notice=said.append)  # fmt: skip
    assert str(refused.value) == (
        "Overlays, heat and masks (150 × 4 × 1024×1024) need 11.7 GB. That is more than the 6.0 GB that is free. Type the words you "
        "want into `words`. Connect fewer images at a time. Connect a smaller `image`."
    )
    assert said == []


def outputs(out):
    return out.overlay.nbytes + out.heat.nbytes + out.mask.nbytes


def test_a_sentence_comes_before_the_work_where_the_outputs_take_more_than_half_of_what_is_free(monkeypatch):
    x, order = latents(), []
    size = outputs(heatmaps(recorded(x), x, image=images(), style=Style(caption=False)))
    kwargs = {"image": images(), "style": Style(caption=False), "notice": order.append}
    monkeypatch.setattr("hrv_pack.hrv.look.heatmap_memory.WORKSPACE", 0)
    assert heatmaps(recorded(x), x, free_memory=2 * size, **kwargs).warnings == [] == order
    assert heatmaps(recorded(x), x, free_memory=None, **kwargs).warnings == [] == order
    progress = lambda done, total: order.append(done)  # noqa: E731
    out = heatmaps(recorded(x), x, free_memory=2 * size - 1, progress=progress, **kwargs)
    assert out.warnings == [
        f"Overlays, heat and masks (20 × 225×150) need {size / MB:.0f} MB. That is more than half of the "
        f"{(2 * size - 1) / MB:.0f} MB that is free. Type the words you want into `words`. Connect a smaller `image`."
    ]
    assert order[0] == out.warnings[0] and 20 in order
    assert heatmaps(recorded(x), x, free_memory=size, **kwargs).warnings
    with pytest.raises(ValueError, match="more than the .* that is free"):
        heatmaps(recorded(x), x, free_memory=size - 1, **kwargs)


@pytest.mark.parametrize(
    ("asked", "what", "advice"),
    [
        ({"words": "word1, word2"}, "Overlays, heat and masks (2 × 225×150)", "Ask for fewer words. Connect a smaller `image`."),
        ({"words": "word1"}, "Overlays, heat and masks (225×150)", "Connect a smaller `image`."),
        ({"unit": "words"}, "Overlays, heat and masks (30 × 225×150)", "Type the words you want into `words`. Connect"),
        ({"style": Style(timeline=True), "words": "word1"}, "Overlays, heat and masks (3 × 225×150)",
         "Switch `timeline` off. Connect a smaller `image`."),
    ],
)  # fmt: skip
def test_the_sentence_names_what_was_asked_for_and_only_what_helps(asked, what, advice):
    x = latents()
    with pytest.raises(ValueError) as refused:
        heatmaps(recorded(x, entry(TAGS, counts=(5, 2, 7))), x, image=images(), free_memory=1, **asked)
    assert str(refused.value).startswith(what) and advice in str(refused.value)


def test_captions_are_counted():
    x, sizes = latents(), []
    for caption in (False, True):
        said = []
        heatmaps(
            recorded(x),
            x,
            image=images(),
            style=Style(caption=caption),
            free_memory=10**9,
            notice=said.append,
        )
        made = heatmaps(recorded(x), x, image=images(), style=Style(caption=caption))
        order = heatmap.Order([20], [1], SIZE, made.overlay.shape[1] - SIZE[0], False)
        assert order.nbytes == outputs(made) and said == []
        sizes.append(order.nbytes)
    assert sizes[1] > sizes[0]


def test_memory_that_the_computer_refuses_is_an_error_that_says_what_to_do(monkeypatch):
    def refuse(*shape):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    x = latents()
    recording, plain = recorded(x), torch.empty
    monkeypatch.setattr(
        "hrv_pack.hrv.look.heatmap_memory.torch.empty", lambda *s, **k: (refuse if s[0] == 20 and len(s) > 2 else plain)(*s, **k)
    )  # fmt: skip
    with pytest.raises(
        ValueError,
        match=r"^Overlays, heat and masks \(20 × 225×150\) need 1. MB. That much is not free. Type",
    ):
        heatmaps(recording, x, image=images())


PROBE = """
import gc, json, sys
sys.path[:0] = [{benchmarks!r}, {unit!r}, {tests!r}]
import conftest, bench, torch
from prompts import prompt
from synthetic import LAYOUT, entry, run_of
from hrv_pack.hrv.look.heatmap import Style, heatmaps
from hrv_pack.hrv.recording.recording import Recording

torch.set_num_threads(2)
p = prompt(" ".join(f"word{{n}}" for n in range(70)))
x, image = torch.zeros(1, 4, 8, 8), torch.rand(1, 384, 384, 3)
recording = Recording(LAYOUT, 2**40)
recording.add(run_of(x, entry(p)))
with torch.inference_mode():
    heatmaps(recording, x, "word1", image=image)  # imports, fonts, tables
    before = bench.resident()

    def stop(done, total):
        if done == 60:
            raise KeyboardInterrupt

    try:
        heatmaps(recording, x, image=image, progress=stop)
    except KeyboardInterrupt:
        pass
    gc.collect()
    left = bench.resident() - before
    stopped = bench.resident_peak() - before
    out = heatmaps(recording, x, image=image)
made = out.overlay.nbytes + out.heat.nbytes + out.mask.nbytes
print(json.dumps({{"made": made, "stopped": stopped, "left": left, "beside": bench.resident_peak() - before - made}}))
"""


def test_the_work_takes_little_beside_its_outputs_and_nothing_once_it_is_stopped(threads):
    """In a process of its own, of which the system itself says what it takes; a second copy of the overlays would be 137 MB."""
    if threads > 1:
        pytest.skip("once is enough: the process sets its own number")
    gc.collect()
    tests = Path(__file__).resolve().parents[1]
    folders = {"benchmarks": tests.parent / "benchmarks", "unit": tests / "unit", "tests": tests}
    script = PROBE.format(**{name: str(folder) for name, folder in folders.items()})
    run = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["made"] > 200 * MB and found["stopped"] > 150 * MB  # it was under way when it was stopped
    assert found["beside"] < 40 * MB and found["left"] < 40 * MB
