"""Which tags name things, and which only say how the image is to be made."""

import pytest

from hrv_pack.hrv.prompt.tag_kinds import is_manner, is_medium, is_person, is_praise

MANNERS = """masterpiece; best quality; very aesthetic; highres; absurdres; newest; score_8_up; score_9; 8k uhd; dslr; f/1.8; 50mm;
iso 100; photorealistic; by alphonse mucha; art by claude monet; in the style of klimt; solo; solo focus; no humans; looking at viewer;
from behind; upper body; depth of field; cinematic lighting; soft blue lighting; film grain; RAW photo; oil painting; anime style;
rating:general; source_anime; year 2024; 1/200s; 16:9; 1920x1080; 1990s; :d; >_<; ^_^; canon eos r5; shot on 35mm film;
watercolor (medium); <lora:detail:0.8>; embedding:easypositive; --ar 16:9; extremely detailed CG unity 8k wallpaper; Best_Quality;
ultra-detailed; masterpiece."""
THINGS = """1girl; 2boys; red star; blue fish; a blue fish on sand; hatsune miku (cosplay); tracer_(overwatch); blue eyes;
detailed skin; beautiful detailed eyes; night sky; camera; pencil; field; red top; light smile; by the window; photo of a cat;
oil painting of a house; 猫; 长发; film star; golden crown; year of the dragon; iso container; key; 3 cats"""


def listed(names):
    return [name.strip() for name in names.split(";")]


@pytest.mark.parametrize("tag", listed(MANNERS))
def test_quality_camera_medium_style_and_view_name_no_thing(tag):
    assert is_manner(tag)


@pytest.mark.parametrize("tag", listed(THINGS))
def test_everything_else_may_be_a_thing(tag):
    assert not is_manner(tag)


def test_people_are_told_by_the_last_word():
    assert [is_person(t) for t in ("1girl", "2boys", "multiple girls", "old man", "1 girl", "6+girls", "snowman", "girl hat", "")] == [
        True, True, True, True, True, True, False, False, False,
    ]  # fmt: skip


def test_praise_describes_nothing():
    assert all(is_praise(word) for word in ("detailed", "beautiful", "ultra-detailed", "4k", "50mm"))
    assert not any(is_praise(word) for word in ("red", "golden", "striped", "long", "ultra-red"))


def test_a_medium_may_be_a_thing():
    assert is_medium("painting") and not is_medium("house")


@pytest.mark.parametrize(
    "tag", ["", " ", "()", "1" * 5000, "a " * 3000, "\\", "((((", "…", "_" * 3000, "-" * 3000]
)
def test_any_text_is_told_quickly(tag):
    assert is_manner(tag) in (True, False) and is_person(tag) is False
