"""Peaks that stand alone at the border of a map: against the plainest computation, and what heatmap, lens and choice of heads make of them."""

import pytest
import torch
from planted import blob, planted
from synthetic import LAYOUT
from test_lens import unpack

from hrv_pack.hrv.look.heatmap import Style, heatmaps
from hrv_pack.hrv.look.lens import look
from hrv_pack.hrv.maps.border_peaks import KEPT, LEFT_OUT, Levelling, border_peaks, without_border_peaks
from hrv_pack.hrv.recording.recording import Match
from hrv_pack.hrv.relevance.best_maps import ALL, BEST
from hrv_pack.hrv.relevance.heads_for_word import choose_heads

BORDER = 2  # of a side of 16: 8 %, rounded up
SINK = (slice(0, 1), slice(0, 1))
THING = blob(8, 8)  # 0.3 on 0.01


def with_peak(map, height=0.9, where=SINK):
    map = map.clone()
    map[where] = height
    return map


def plain(map):
    """For each height, what of the map is as high and hangs together with such a place inside, pixel by pixel."""
    rows, columns = map.shape
    reached, map = [[float(map.min())] * columns for _ in range(rows)], map.tolist()
    for height in sorted({value for row in map for value in row}):
        todo = [
            (y, x)
            for y in range(BORDER, rows - BORDER)
            for x in range(BORDER, columns - BORDER)
            if map[y][x] >= height
        ]
        seen = set(todo)
        while todo:
            y, x = todo.pop()
            reached[y][x] = height
            for near in ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
                inside = 0 <= near[0] < rows and 0 <= near[1] < columns
                if inside and near not in seen and map[near[0]][near[1]] >= height:
                    seen.add(near)
                    todo.append(near)
    return torch.tensor(reached)


@pytest.mark.parametrize("seed", range(3))
def test_what_does_not_hang_together_with_the_inside_is_levelled_to_the_pass_before_it(seed):
    noise = 0.05 * torch.rand(16, 16, generator=torch.Generator().manual_seed(seed))
    map = with_peak(with_peak(THING + noise, 0.8), 0.7, (slice(13, 16), slice(14, 16)))
    found = without_border_peaks(map[None])[0]
    assert torch.equal(found, plain(map))
    assert torch.equal(found[BORDER:-BORDER, BORDER:-BORDER], map[BORDER:-BORDER, BORDER:-BORDER])
    assert found.max() == map[BORDER:-BORDER, BORDER:-BORDER].max() and found[0, 0] < 0.1
    assert torch.equal(border_peaks(map), found < map) and border_peaks(map)[0, 0]


def test_other_maps_are_left_as_they_are():
    at_the_border, whole_corner, in_the_corner = (
        blob(2, 8, 5),
        torch.full((16, 16), 0.01),
        torch.full((16, 16), 0.01),
    )
    at_the_border[0] *= 1.4  # a thing that is cut off by the border, and looked at most there
    whole_corner[:4, :4] = torch.tensor([0.9, 0.5, 0.3, 0.2]).view(4, 1)  # a thing of some size
    in_the_corner[0, 0] = 0.9  # nothing else in the map
    maps = torch.stack(
        [THING, at_the_border, whole_corner, in_the_corner, with_peak(THING, 0.44), torch.zeros(16, 16)]
    )  # fmt: skip
    assert without_border_peaks(maps) is maps
    tiny = torch.rand(3, 2, 2)
    assert without_border_peaks(tiny) is tiny
    wide = torch.rand(1, 2, 40)
    assert without_border_peaks(wide) is wide


def test_only_maps_with_such_peaks_change():
    maps = torch.stack([THING, with_peak(THING)])
    found = without_border_peaks(maps)
    assert torch.equal(found[0], THING) and torch.equal(found[1], THING)
    assert maps[1, 0, 0] == 0.9  # what was given stays


def test_a_levelling_knows_of_which_words():
    level = Levelling(LEFT_OUT)
    maps = torch.stack([THING, with_peak(THING), THING])
    assert torch.equal(level(["cat", "dog", "hat"], maps), torch.stack([THING] * 3))
    parts = torch.stack([THING, with_peak(THING)])[:, None]
    assert torch.equal(level(["sun"], parts), torch.stack([THING, THING])[:, None])
    (note,) = level.note(["sun", "cat", "dog"])
    assert "“sun” and “dog”" in note and "cat" not in note and "`border_peaks`" in note
    assert level.note(["cat"]) == []
    kept = Levelling(KEPT)
    assert kept(["a", "b", "c"], maps) is maps and kept.note(["b"]) == []
    with pytest.raises(ValueError, match="border_peaks is 'both'"):
        Levelling("both")


TEXT = "a cat and a dog"


def run(cat=None):
    return planted(TEXT, {"cat": with_peak(THING) if cat is None else cat, "dog": blob(11, 4, level=0.2)})


@pytest.mark.parametrize("maps", [ALL, BEST])
def test_the_heatmap_is_that_of_a_recording_without_the_peak(maps):
    given, clean = run(), run(THING)
    style = Style(caption=False, border_peaks=LEFT_OUT)
    found = heatmaps(*given[:2], maps=maps, style=style)
    wanted = heatmaps(*clean[:2], maps=maps, style=style)
    assert torch.allclose(found.heat, wanted.heat, atol=2e-3) and torch.equal(found.mask, wanted.mask)
    assert len(found.notes) == 1 and "“cat”:" in found.notes[0] and wanted.notes == []
    kept = heatmaps(*given[:2], maps=maps, style=Style(caption=False))
    assert kept.notes == [] and kept.mask[0, 0, 0] == 1
    # the thing itself and the other word are dim, and the mask of the thing is gone
    assert kept.heat[0, 112:144, 112:144].max() < 0.6 and found.heat[0, 112:144, 112:144].max() > 0.95
    assert kept.mask[0, 128:144, 128:144].max() == 0 and kept.heat[1].max() < 0.5 * found.heat[1].max()


@pytest.mark.parametrize("maps", [ALL, BEST])
def test_the_lens_shows_what_the_heatmap_shows(maps):
    recording, latent, image = run()
    found = look(recording, latent, image, words="cat", maps=maps, border_peaks=LEFT_OUT)
    style = Style(border_peaks=LEFT_OUT)
    wanted = heatmaps(recording, latent, "cat", image=image, maps=maps, style=style)
    assert torch.equal(found.mask, wanted.mask) and torch.equal(found.overlay, wanted.overlay)
    (frame,) = found.payload["frames"]
    cat = unpack(frame, len(frame["names"]))[frame["names"].index("cat")]
    assert cat.max() == pytest.approx(0.3, abs=2e-3) and cat[0, 0] < 0.03
    answer = found.lens.answer(0, [frame["names"].index("cat")])
    assert answer["high"] == [frame["high"][frame["names"].index("cat")]]
    assert len(found.notes) == 1 and "“cat”:" in found.notes[0]
    kept = look(recording, latent, image, words="cat", maps=maps)
    assert max(kept.payload["frames"][0]["high"]) == pytest.approx(0.9, abs=2e-3) and kept.notes == []


def test_heads_that_look_into_the_corner_are_not_chosen_for_it():
    recording, latent, _ = run(THING)
    (found,) = recording.runs
    (entry,) = found.entries
    column = entry.columns.index(entry.prompt.find("cat").columns[0])
    generator = torch.Generator().manual_seed(0)
    of_thing = range(4)  # heads that find the thing; all others look into the corner, and elsewhere at random
    for number, block in enumerate(LAYOUT.blocks):
        for head in range(block.heads):
            noise = 0.02 * torch.rand(16, 16, generator=generator)
            own = THING if LAYOUT.offsets[number] + head in of_thing else torch.zeros(16, 16)
            entry.maps[number][0, 0, head, column] = with_peak(own + noise, 1.5).half()
    weights = choose_heads([Match(found, 0, True)], "cat", 100.0).heads.weights
    assert weights[:4].min() > 20 * weights[4:].max()
