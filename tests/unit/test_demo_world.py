"""The demo world: captions tell the truth, masks are exact, everything is seeded; the judge knows its world."""

import numpy as np
import pytest

from hrv_pack.tools.train_demo import judge
from hrv_pack.tools.train_demo.draw import render, second_tone
from hrv_pack.tools.train_demo.world import (  # fmt: skip
    BACKGROUNDS,
    CLASHES,
    COLOURS,
    KINDS,
    PATTERNS,
    PLACES,
    SIZES,
    TWO_SENSE,
    WORDS,
    Scene,
    Thing,
    caption,
    full_caption,
    sample_scene,
)


def thing(**changes) -> Thing:
    values = {"kind": "star", "colour": "red", "pattern": "plain", "size": "medium", "x": 0.5, "y": 0.5}
    values |= {"extent": 0.45, "angle": 0.0, "mirrored": False}
    return Thing(**(values | changes))


def scenes(count: int, seed: int = 5, two_objects: float = 0.35) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, two_objects) for _ in range(count)]


def test_the_world_is_as_large_as_promised():
    assert len(KINDS) >= 8 and len(COLOURS) >= 8 and len(PATTERNS) == 3 and len(SIZES) == 3
    assert len(BACKGROUNDS) >= 4 and len(TWO_SENSE) >= 3
    assert all(word in KINDS and word in COLOURS for word in TWO_SENSE)


def test_the_same_scene_is_the_same_picture():
    first, second = render(scenes(1)[0]), render(scenes(1)[0])
    assert all((a == b).all() for a, b in zip(first, second))


@pytest.mark.parametrize("width, height", [(256, 256), (320, 192), (192, 320)])
def test_pictures_and_masks_have_the_size_asked_for(width, height):
    for scene in scenes(4):
        picture, masks = render(scene, width, height)
        assert picture.shape == (height, width, 3) and picture.dtype == np.uint8
        assert masks.shape == (len(scene.things), height, width) and masks.dtype == bool


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_where_the_picture_differs_from_one_without_the_object(kind):
    background = np.array(BACKGROUNDS["grass"])
    picture, (mask,) = render(Scene((thing(kind=kind, colour="purple"),), "grass", 3))
    far = np.abs(picture.astype(int) - background).sum(axis=2) > 114  # half way to purple
    assert (far & mask).sum() / (far | mask).sum() > 0.95


def test_every_object_is_whole_and_large_enough_to_see():
    for scene in scenes(200):
        for mask, one in zip(render(scene)[1], scene.things):
            assert mask.mean() > 0.015, (one.kind, one.size)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert len(columns) <= 1.2 * one.extent * 256 and len(rows) <= 1.2 * one.extent * 256


def test_two_objects_stand_left_and_right_and_do_not_touch():
    for scene in scenes(60, two_objects=1.0):
        left, right = render(scene)[1]
        assert not (left & right).any()
        assert np.flatnonzero(left.any(0)).max() < 128 <= np.flatnonzero(right.any(0)).min() + 6


def test_objects_stand_out_from_their_background():
    for scene in scenes(300):
        assert all((one.colour, scene.background) not in CLASHES for one in scene.things)


def test_colours_are_far_apart():
    values = np.array(list(COLOURS.values()), float)
    apart = np.linalg.norm(values[:, None] - values[None], axis=2) + 1e9 * np.eye(len(values))
    assert apart.min() > 60
    assert all(np.abs(second_tone(c) - np.array(COLOURS[c])).max() > 80 for c in COLOURS)


def test_captions_say_nothing_that_is_not_in_the_picture():
    rng = np.random.default_rng(1)
    for scene in scenes(400):
        words = set(caption(scene, rng).replace(",", " ").split())
        shown = {w for t in scene.things for w in (t.kind, t.colour, t.pattern, t.size)} | {scene.background}
        attributes = {*KINDS, *COLOURS, *PATTERNS, *SIZES, *BACKGROUNDS}
        assert words & attributes <= shown


def test_captions_use_known_words_only_and_some_are_empty():
    rng = np.random.default_rng(2)
    texts = [caption(scene, rng) for scene in scenes(500)]
    assert {w for t in texts for w in t.replace(",", " , ").split()} <= set(WORDS)
    assert 0.05 < np.mean([not t for t in texts]) < 0.15


def test_a_two_sense_word_stands_alone_in_some_captions():
    rng = np.random.default_rng(3)
    alone = {caption(s, rng).split(",")[0] for s in scenes(3000, two_objects=0.0)} & set(TWO_SENSE)
    assert alone == set(TWO_SENSE)


def test_the_full_caption_names_everything_from_left_to_right():
    left, right = thing(x=0.25, size="small", pattern="dotted"), thing(x=0.75, kind="orange", colour="orange")
    text = full_caption(Scene((left, right), "night", 0))
    assert text == "a small dotted red star and a medium plain orange orange at night"
    assert PLACES["night"] in text


def test_halves_show_one_object_each_at_its_own_scale():
    picture, _ = render(scenes(1, two_objects=1.0)[0])
    left, right = judge.halves(picture)
    assert left.shape == right.shape == picture.shape
    assert (left[:, 64:192] == picture[:, :128]).all() and (right[:, 64:192] == picture[:, 128:]).all()


@pytest.mark.skipif(not judge.settings.JUDGE.exists(), reason="judge weights are not there")
def test_the_judge_is_right_on_new_renderings():
    found = judge.check(judge.load(), count=300)["renderings"]
    assert all(share >= 0.97 for share in found.values()), found
