"""Maps from the best heads for each word, against the formulas written out, and what they promise."""

import math
from dataclasses import replace

import pytest
import torch
from planted import GRID
from prompts import prompt
from synthetic import match

from hrv_pack.hrv.heads.layout import Block, Layout
from hrv_pack.hrv.maps.bicubic import moved
from hrv_pack.hrv.maps.lookup import targets_of_unit
from hrv_pack.hrv.maps.word_maps import word_maps
from hrv_pack.hrv.recording.recording import Entry
from hrv_pack.hrv.recording.schedule import LATE, Bin
from hrv_pack.hrv.relevance.best_maps import COMPARED, best_choices, best_maps, cells_ahead, choice_text
from hrv_pack.hrv.relevance.heads_for_word import choose_heads, compared_maps, opinions
from hrv_pack.hrv.relevance.vectors import heads_of_percent

HEADS = 20
LAYOUT = Layout((Block("input", 1, 0, HEADS),))
TEXT = "a red star on sand"
THING, AROUND = torch.zeros(GRID), torch.ones(GRID)
THING[5:11, 5:11], AROUND[4:12, 4:12] = 1.0, 0.0


EARLY_AND_LATE = (Bin(0, False), Bin(0, True))


def recorded(of_word, bins=EARLY_AND_LATE, counts=(6, 4), text=TEXT) -> Entry:
    """of_word: word → its maps P in each bin, (bin, head, height, width). Other words get little, everywhere."""
    p = prompt(text)
    columns = p.recorded_columns
    maps = torch.full((1, len(counts), HEADS, len(columns), *GRID), 0.01)
    for word, own in of_word.items():
        for column in p.find(word).columns:
            maps[0, :, :, columns.index(column)] = own
    maps *= torch.tensor(counts, dtype=torch.float32).view(1, -1, 1, 1, 1, 1)
    return Entry("positive", 0, p, p.length, columns, list(counts), 1, {0: maps.half()}, bins=bins)


def noise(seed, level=0.004):
    return level * torch.rand(2, HEADS, *GRID, generator=torch.Generator().manual_seed(seed))


def scene():
    """A star, found by heads 0 to 8, its colour by 3 to 13, and sand: every head looks for it at the star too, but less than it looks
    for the others there. A loud head (19) looks for everything in a corner."""
    corner = torch.zeros(GRID)
    corner[:3, :3] = 1
    star, red, sand = noise(1) + 0.02, noise(2) + 0.02, noise(3) + 0.03
    star[:, :9] += 0.08 * THING
    red[:, 3:14] += 0.08 * THING
    sand += 0.01 * THING
    for own in (star, red, sand):
        own[:, 19] += 0.5 * corner
    return recorded({"star": star, "red": red, "sand": sand})


def shown(entry, unit="words"):
    m = match(entry, layout=LAYOUT)
    targets = targets_of_unit([entry], [entry.prompt], unit)
    content = list(targets_of_unit([entry], [entry.prompt], unit, fillers=False))
    choices = best_choices(m, targets, content)
    return m, targets, choices, dict(zip(targets, best_maps(m, targets, choices)[0], strict=True))


def iou(heat, mask) -> float:
    cut = (heat - heat.min()) / (heat.max() - heat.min()) >= 0.4
    return float((cut & (mask > 0)).sum() / (cut | (mask > 0)).sum())


def test_things_lie_on_the_thing_and_places_around_it():
    entry = scene()
    m, targets, choices, maps = shown(entry)
    assert iou(maps["star"], THING) > 0.95 and iou(maps["red"], THING) > 0.95
    assert iou(maps["sand"], AROUND) > 0.85
    assert [name for name, choice in choices.items() if choice.place is not None] == ["sand"]
    daam = dict(zip(targets, word_maps(m, list(targets.values())), strict=True))
    assert iou(daam["star"], THING) < 0.9 and iou(daam["sand"], AROUND) < 0.5


def plain(maps):
    """Weights of the heads for a word, head by head, from docs/formulas.md. maps: M, (head, height, width)."""
    flat = [sorted(one.flatten().tolist()) for one in maps]
    tenth = round(0.1 * len(flat[0]))
    gathers = [max(0.0, 1 - (sum(v) / len(v)) / (sum(v[-tenth:]) / tenth)) for v in flat]
    say = [g**4 / math.sqrt(v[-1] - v[0]) for g, v in zip(gathers, flat, strict=True)]
    reference = sum(v * one for v, one in zip(say, maps, strict=True)).flatten()
    agrees = [float(torch.corrcoef(torch.stack([one.flatten(), reference]))[0, 1]) for one in maps]
    return [v * max(0.0, s) ** 6 for v, s in zip(say, agrees, strict=True)]


def test_weights_and_maps_are_what_the_formula_says():
    entry = scene()
    m, targets, choices, maps = shown(entry)
    (column,) = entry.prompt.find("star").columns
    sums = entry.maps[0][0, :, :, entry.columns.index(column)].float()  # (bin, head, h, w)
    late, whole = sums[1] / 4, sums.sum(0) / 10
    weights = plain(late)
    chosen = choose_heads([m], "star", 100.0)
    mean = sum(weights) / len(weights)
    assert chosen.heads.weights.tolist() == pytest.approx([w / mean for w in weights], rel=1e-3, abs=1e-6)
    both = torch.ones(GRID)
    for own, power in ((late, 0.5), (whole, 0.56)):
        weights = plain(own)
        adds = [w * float(one.max() - one.min()) for w, one in zip(weights, own, strict=True)]
        counted = [w if add >= 0.01 * max(adds) else 0.0 for w, add in zip(weights, adds, strict=True)]
        found = sum(w * one for w, one in zip(counted, own, strict=True))
        both *= ((found - found.min()) / (found.max() - found.min())) ** power
    everyone = late.mean(0)
    low, high = everyone.min(), everyone.max()
    expected = low + (high - low) * (both - both.min()) / (both.max() - both.min())
    assert (maps["star"] - expected).abs().max() < 1e-3 * (high - low)


@pytest.mark.parametrize(
    ("parts", "late", "whole"),
    [(("input", "middle", "output"), 8, 1), (("double", "single", "single"), 2, 4)],
)
def test_late_the_last_layers_count_and_over_the_whole_run_the_first(parts, late, whole):
    layout = Layout(tuple(Block(part, number, 0, HEADS) for number, part in enumerate(parts)))
    entry = scene()
    entry.maps |= {1: entry.maps[0] ** 0.9, 2: entry.maps[0] ** 1.1}
    m = match(entry, layout=layout)
    target = targets_of_unit([entry], [entry.prompt], "words")["star"]
    choice = best_choices(m, {"star": target}, [])["star"]
    depths = [1 / 6, 3 / 6, 5 / 6]
    for heads, part, counts in (
        (choice.heads, LATE, [x**late for x in depths]),
        (choice.whole, None, [(1 - x) ** whole for x in depths]),
    ):
        found = opinions(compared_maps(m, target, part))
        expected = torch.cat([w * n for w, n in zip(found.weights.split(HEADS), counts, strict=True)])
        adds = expected * found.range
        expected[adds < 0.01 * adds.max()] = 0
        assert torch.allclose(heads.weights, expected)
        assert (expected.view(3, HEADS).sum(1) > 0).sum() >= 2
    both = int(((choice.heads.weights > 0) | (choice.whole.weights > 0)).sum())
    assert choice_text(choice) == f"best {both} heads for this word"
    assert (
        choice_text(choice, timeline=True)
        == f"best {int((choice.whole.weights > 0).sum())} heads for this word"
    )


def test_maps_of_a_unet_are_moved_to_where_its_cells_lie():
    entry = scene()
    m, targets, choices, maps = shown(entry)
    assert cells_ahead(m.run) == (0.0, 0.0)  # how large the latent is, is not known
    height, width = GRID
    m.run.traces = replace(m.run.traces, size=(2 * height, 2 * width))
    assert cells_ahead(m.run) == (0.125, 0.125)
    for name, one in zip(targets, best_maps(m, targets, choices)[0], strict=True):
        if choices[name].heads is None:
            continue  # flat
        expected = moved(maps[name][None], (0.125, 0.125))[0]
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        low, high = choices[name].low, choices[name].high
        assert torch.allclose(one, low + (high - low) * expected, atol=1e-5)
    m.run.traces = replace(m.run.traces, size=GRID)  # a grid that was not halved
    assert cells_ahead(m.run) == (0.0, 0.0)
    of_transformer = match(entry, layout=Layout((Block("double", 0, 0, HEADS),)))
    of_transformer.run.traces = replace(m.run.traces, size=(2 * height, 2 * width))
    assert cells_ahead(of_transformer.run) == (0.0, 0.0)


def test_moving_a_map():
    ramp = torch.arange(12.0).expand(10, 12)
    by = moved(ramp[None], (0.0, 0.25))[0]
    assert torch.allclose(by[:, 2:-2], ramp[:, 2:-2] + 0.25, atol=1e-5)
    assert torch.allclose(moved(ramp.T[None], (0.25, 0.0))[0], by.T)
    assert torch.allclose(moved(ramp[None], (0.0, 1.0))[0][:, :-1], ramp[:, 1:], atol=1e-5)
    assert moved(ramp, (0.0, 0.0)) is ramp


MANY = "a red star on sand, " + ", ".join(
    f"{what} {thing}"
    for what in ("wet", "old", "big")
    for thing in ("fish", "bird", "cat", "dog", "tree", "hat", "boat")
)


@pytest.mark.parametrize("text", [TEXT, MANY], ids=["few words", "more words than it is compared with"])
def test_the_map_of_a_place_is_what_the_formula_says(text):
    star, red, sand = noise(1) + 0.02, noise(2) + 0.02, noise(3) + 0.03
    star[:, :9] += 0.08 * THING
    red[:, 3:14] += 0.08 * THING
    sand += 0.01 * THING
    others = {
        word: noise(10 + number) + 0.02 + 0.06 * THING
        for number, word in enumerate(dict.fromkeys(text.replace(",", "").split()))
        if word not in ("a", "on")
    }
    entry = recorded(others | {"star": star, "red": red, "sand": sand}, text=text)
    _, targets, choices, _ = shown(entry)
    content = targets_of_unit([entry], [entry.prompt], "words", fillers=False)
    names = list(content)
    assert (len(names) > COMPARED) == (text == MANY)

    def logarithm(name):
        columns = [entry.columns.index(column) for _, found in content[name].places for column in found]
        return (entry.maps[0][0, :, :, columns].float().sum(0) / 10).mean(1).clamp(min=1e-6).log()

    count = min(COMPARED, len(names))
    usual = sum(logarithm(names[number * len(names) // count]) for number in range(count)) / count
    relative = logarithm("sand") - usual
    relative -= relative.amin((1, 2), keepdim=True)
    say = torch.tensor([1 / math.sqrt(float(one.max() - one.min())) for one in relative])
    reference = sum(w * one for w, one in zip(say, relative, strict=True)).flatten()
    agrees = [float(torch.corrcoef(torch.stack([one.flatten(), reference]))[0, 1]) for one in relative]
    best = sorted(range(HEADS), key=lambda head: -agrees[head])[: heads_of_percent(23, HEADS)]
    found = sum(say[head] * max(0.0, agrees[head]) ** 6 * relative[head] for head in best)
    expected = (found - found.min()) / (found.max() - found.min())
    assert (choices["sand"].place - expected).abs().max() < 2e-3


def test_a_word_that_all_heads_ignore_stays_dark():
    entry = scene()
    faint = 0.001 + noise(5, 1e-5)
    faint[:, 2:5] += 0.002 * THING  # its best heads show a place, faintly
    p = entry.prompt
    entry.maps[0][0, :, :, entry.columns.index(p.find("red").columns[0])] = (
        faint * torch.tensor([6.0, 4.0]).view(2, 1, 1, 1)
    ).half()
    m, targets, _, maps = shown(entry)
    late = dict(zip(targets, word_maps(m, list(targets.values()), time_bin=LATE), strict=True))
    peak = max(float(one.max()) for one in maps.values())
    assert float(maps["red"].max()) == pytest.approx(float(late["red"].max()), rel=1e-3)
    assert float(maps["red"].max()) < 0.05 * peak


def test_without_late_evaluations_all_of_them_count():
    """One step of a turbo model."""
    star = noise(2)[:1] + 0.02
    star[:, :5] += 0.05 * THING
    *_, maps = shown(recorded({"star": star}, bins=(Bin(0, False),), counts=(1,)))
    assert iou(maps["star"], THING) > 0.95


def test_what_only_the_late_evaluations_show_is_not_the_word():
    """Late maps of a word lie on other things too; the whole run tells them apart."""
    other = torch.roll(THING, 6, 1) * (1 - THING)
    star = noise(2) + 0.02
    star[:, :9] += 0.08 * THING
    star[1, :9] += 0.05 * other
    entry = recorded({"star": star}, counts=(9, 1))
    *_, maps = shown(entry)
    heat = (maps["star"] - maps["star"].min()) / (maps["star"].max() - maps["star"].min())
    late = word_maps(
        match(entry, layout=LAYOUT),
        [targets_of_unit([entry], [entry.prompt], "words")["star"]],
        time_bin=LATE,
    )[0]
    plain_late = (late - late.min()) / (late.max() - late.min())
    assert heat[other > 0].mean() < 0.7 * plain_late[other > 0].mean()


def test_a_map_that_was_seen_when_the_heads_were_chosen_is_the_one_they_give():
    """Where heads are compared on the working grid, nothing is computed twice."""
    m, targets, choices, maps = shown(scene())
    again = {name: replace(choice, map=None) for name, choice in choices.items()}
    assert all(choice.map is not None for choice in choices.values())
    for name, one in zip(targets, best_maps(m, targets, again)[0], strict=True):
        assert torch.allclose(one, maps[name], atol=1e-6)


def test_one_word_alone_and_a_word_that_is_everywhere_alike():
    entry = recorded({"sand": noise(1) + 0.02}, text="sand")
    *_, choices, maps = shown(entry)
    assert choices["sand"].place is None
    *_, choices, maps = shown(recorded({"star": torch.full((2, HEADS, *GRID), 0.02)}))
    assert choices["star"].heads is None and float(maps["star"].max() - maps["star"].min()) == 0


def test_two_things_are_no_places():
    """Each gets less where the other is; both gather."""
    left, right = noise(1) + 0.02, noise(2) + 0.02
    left[:, :9] += 0.06 * torch.roll(THING, -4, 1)
    right[:, :9] += 0.04 * torch.roll(THING, 4, 1)
    *_, choices, _ = shown(recorded({"star": left, "fish": right}, text="a star and a fish"))
    assert all(choice.place is None for choice in choices.values())


def test_a_place_beside_a_thing_that_is_not_there():
    """Which rises even less where things are: so the place is the middle one of three words."""
    star, fish, sand = noise(1) + 0.02, noise(2) + 0.02, noise(3) + 0.03
    star[:, :9] += 0.08 * THING
    sand += 0.005 * THING
    of_word = {"star": star, "fish": fish, "sand": sand}
    *_, choices, maps = shown(recorded(of_word, text="a star and a fish on sand"))
    assert choices["sand"].place is not None and choices["star"].place is None
    assert iou(maps["sand"], AROUND) > 0.8


def test_a_timeline_has_one_range_for_all_parts():
    star = (noise(1) + 0.02).repeat(2, 1, 1, 1)[:3]
    star[1:, :5] += 0.06 * THING
    entry = recorded({"star": star}, bins=(Bin(0), Bin(1), Bin(1, True)), counts=(3, 2, 5))
    m = match(entry, layout=LAYOUT)
    targets = targets_of_unit([entry], [entry.prompt], "words")
    choices = best_choices(m, targets, ["star"])
    maps = best_maps(m, {"star": targets["star"]}, choices, (0, 1))
    assert maps.shape == (2, 1, *GRID)
    assert float(maps.min()) == pytest.approx(choices["star"].low) and float(maps.max()) == pytest.approx(
        choices["star"].high
    )
    assert iou(maps[1, 0], THING) > 0.9 and float(maps[0].max()) < float(maps[1].max())
