"""Prompt Report on lists of tags: what may be said of them and what not, and many findings told in few sentences."""

import json
import random
import re
from dataclasses import replace

import pytest
from planted import FAINT, FLAT, LEFT, MIDDLE, RIGHT, blob, entry, recording
from prompts import prompt

from hrv_pack.hrv.report.evidence import examine
from hrv_pack.hrv.report.finding import KINDS
from hrv_pack.hrv.report.report import report

ANIME = "masterpiece,best quality,very aesthetic,highres,absurdres,newest,1girl,solo,red star,blue fish"
PHOTO = "(masterpiece:1.2), 8k uhd, dslr, f/1.8, 50mm, iso 100, a red star, a blue fish on sand"
PIECES = {
    "1girl": "1 girl",
    "8k": "8 k",
    "f/1.8": "f / 1 . 8",
    "50mm": "5 0 mm",
    "100": "1 0 0",
}  # as CLIP cuts them
TAGS = {
    ANIME: ANIME.split(","),
    PHOTO: ["masterpiece", "8k uhd", "dslr", "f/1.8", "50mm", "iso 100", "a red star", "a blue fish on sand"],
}


def of_tags(typed: str, heats: dict, rest=FLAT):
    """(recording, latent, image) of a list of tags; heats: tag or word → its map."""
    tokens = []
    for tag in typed.split(","):
        weight = float(found[1]) if (found := re.search(r":([\d.]+)\)$", tag)) else 1.0
        plain = re.sub(r":[\d.]+\)$", "", tag.strip().removeprefix("(") if weight != 1 else tag.strip())
        for word in plain.replace("\\(", "( ").replace("\\)", " )").split():
            tokens += [(piece, weight) for piece in PIECES.get(word, word).split()]
        tokens.append((",", 1.0))
    p = prompt(tokens[:-1], text=typed)
    return recording(entry(p, heats, rest))


def told(typed: str, heats: dict, rest=FLAT):
    found = report(*of_tags(typed, heats, rest))
    return found, found.findings[0]


def quality_in_one_place(typed: str) -> dict:
    """Every tag that is no thing gathers in the same place: were they things, all of them would share it."""
    manners = [tag for tag in TAGS[typed] if not re.search("star|fish|girl", tag)]
    return {tag: MIDDLE for tag in manners} | {"red": LEFT, "star": LEFT, "blue": RIGHT, "fish": RIGHT}


@pytest.mark.parametrize("typed", [ANIME, PHOTO])
def test_quality_and_camera_share_no_place_and_cannot_be_missing(typed):
    found, findings = told(typed, quality_in_one_place(typed))
    assert findings == [] and found.summary == "nothing stands out"
    assert report(*of_tags(typed, quality_in_one_place(typed)), unit="words").findings == [[]]
    faint = dict.fromkeys(quality_in_one_place(typed), FAINT) | {
        "red": LEFT,
        "star": LEFT,
        "blue": RIGHT,
        "fish": RIGHT,
    }
    assert told(typed, faint)[1] == []


@pytest.mark.parametrize("typed", [ANIME, PHOTO])
def test_a_missing_thing_is_told_by_its_tag_as_typed(typed):
    star, fish = TAGS[typed][-2:]
    heats = quality_in_one_place(typed)
    found, (finding,) = told(typed, heats | {"blue": FAINT, "fish": FAINT, "a#2": FAINT, "on": FAINT, "sand": FAINT} if typed == PHOTO
                             else heats | {"blue": FAINT, "fish": FAINT})  # fmt: skip
    assert (finding.kind, finding.words) == ("ignored", (fish,))
    assert finding.headline == f"“{fish}” was hardly looked at." and f"({fish}:1.3)" in finding.tip
    (picture,) = json.loads(found.data)["pictures"]
    assert [word["word"] for word in picture["words"]] == TAGS[typed]
    assert [word["word"] for word in picture["words"] if not word["manner"]] == [
        t for t in TAGS[typed] if re.search("star|fish|girl", t)
    ]
    _, (finding,) = told(typed, heats | {"red": MIDDLE, "star": MIDDLE, "blue": MIDDLE, "fish": MIDDLE})
    assert (finding.kind, finding.words) == ("shared place", (star, fish))


@pytest.mark.parametrize("typed", [ANIME, PHOTO])
def test_no_piece_of_a_tag_is_ever_named(typed):
    """Whatever the maps are, findings name tags as typed and, for what describes a thing, words as typed."""
    chance = random.Random(5)
    places = (LEFT, RIGHT, MIDDLE, FAINT, FLAT, blob(3, 12, size=3))
    allowed = {*TAGS[typed], "red", "blue", "fish", "star", "sand", "1girl", "on the left", "on the right"}
    kinds = set()
    for _ in range(24):
        found, findings = told(
            typed, {tag: chance.choice(places) for tag in [*TAGS[typed], "red", "star", "blue", "fish"]}
        )
        kinds |= {single.kind for finding in findings for single in finding.details}
        for single in (single for finding in findings for single in (finding, *finding.details)):
            assert set(re.findall("“(.*?)”", f"{single.text} {single.tip}")) <= allowed, single
            assert {name for name in re.findall(r"`\((.*?):", single.tip)} <= allowed, single
    assert kinds


def test_many_ignored_tags_are_one_sentence_without_forty_weights():
    tags = [f"thing{n}" for n in range(40)]
    found, (finding,) = told(
        ", ".join(["red star", *tags]), {"red": LEFT, "star": LEFT} | dict.fromkeys(tags, FAINT)
    )
    assert finding.kind == "ignored" and len(finding.details) == 40 == len(finding.words)
    assert finding.headline == "“thing0”, “thing1” and 38 more were hardly looked at."
    assert "(thing" not in found.summary and ":1.3" not in found.summary
    (listed,) = json.loads(found.data)["pictures"][0]["findings"]
    assert [single["words"] for single in listed["details"]] == [[tag] for tag in tags]
    assert (
        found.markdown.count("was hardly looked at") == 12
        and "and 28 more (all of them: output `data`)" in found.markdown
    )


def test_things_that_hang_together_are_one_group():
    tags = ["dog", "hat", "tree", "mug", "car", "boat"]
    heats = dict.fromkeys(tags[:3], LEFT) | {"mug": blob(3, 12, size=3), "car": RIGHT, "boat": RIGHT}
    _, (finding,) = told(", ".join(tags), heats)
    assert finding.kind == "shared place" and len(finding.details) == 4
    assert (
        finding.headline
        == "Some things are in the same place: “dog” with “hat” and “tree”; “car” with “boat”."
    )
    _, (finding,) = told(", ".join(tags), dict.fromkeys(tags, LEFT))
    assert finding.headline == "“dog”, “hat” and 4 more are in the same place." and len(finding.details) == 15


def test_a_person_is_where_what_describes_her_is():
    tags = "1girl, solo, long hair, blue dress, smile"
    heats = dict.fromkeys(["1girl", "long", "hair", "blue", "dress", "smile"], LEFT)
    assert told(tags, heats)[1] == []
    two = "1girl, 1boy, long hair, blue dress"
    heats = dict.fromkeys(["1girl", "1boy", "long", "hair", "blue", "dress"], LEFT)
    (finding,) = told(two, heats)[1]
    assert (finding.kind, finding.words) == ("shared place", ("1girl", "1boy"))
    beside = "1girl, red hat, green car"
    heats = {"1girl": LEFT, "red": RIGHT, "hat": RIGHT, "green": RIGHT, "car": RIGHT}
    assert [f.words for f in told(beside, heats)[1]] == [("red hat", "green car")]


def test_the_same_noun_twice_is_one_thing_in_a_list_of_tags():
    tags = "long hair, pink hair, green tree"
    heats = {"hair": LEFT, "long": LEFT, "pink": LEFT, "green": RIGHT, "tree": RIGHT}
    assert told(tags, heats)[1] == []


def test_brackets_in_a_name_are_escaped_where_it_is_to_be_typed():
    tags = r"hatsune miku \(cosplay\), red star, green tree, white boat"
    heats = dict.fromkeys(["hatsune", "miku", "cosplay"], FAINT) | {
        "star": LEFT,
        "tree": MIDDLE,
        "boat": RIGHT,
    }
    found, (finding,) = told(tags, heats)
    assert (
        finding.words == ("hatsune miku (cosplay)",) and r"`(hatsune miku \(cosplay\):1.3)`" in found.markdown
    )


def test_colours_that_changed_places_are_one_sentence():
    tags = "red star, blue fish, on sand"
    heats = {"red": RIGHT, "star": LEFT, "blue": LEFT, "fish": RIGHT}
    found, (finding,) = told(tags, heats)
    assert finding.kind == "wrong noun" and finding.words == ("red", "blue", "red star", "blue fish")
    assert finding.headline == "“red” of “red star” and “blue” of “blue fish” swapped places."
    assert [one.kind for one in finding.details] == ["wrong noun", "wrong noun"]
    assert "(red star:1.3)" in found.summary and "comma" not in found.summary


def test_every_page_text_and_datum_tells_the_same_findings():
    tags = ["dog", "hat", "red tree", "blue mug", "car"]
    heats = {
        "dog": LEFT,
        "hat": LEFT,
        "red": RIGHT,
        "tree": MIDDLE,
        "blue": blob(3, 12, size=3),
        "mug": blob(3, 12, size=3),
        "car": FAINT,
    }
    found, findings = told(", ".join(tags), heats)
    (picture,) = json.loads(found.data)["pictures"]
    assert [f["kind"] for f in picture["findings"]] == [f.kind for f in findings]
    assert [KINDS.index(f.kind) for f in findings] == sorted(KINDS.index(f.kind) for f in findings)
    assert found.summary.count("• ") == found.markdown.count("- **") == len(findings) >= 2
    for finding, datum in zip(findings, picture["findings"], strict=True):
        assert finding.headline in found.summary and finding.tip in found.summary
        assert datum["text"] == finding.text and len(datum["details"]) == len(finding.details) >= 1
        assert all(single["numbers"] and single["text"] for single in datum["details"])


def test_several_words_on_wrong_things_are_told_with_their_tags():
    tags = "red star, red car, blue fish, on sand"
    heats = {"red#1": RIGHT, "star": LEFT, "red#2": RIGHT, "car": LEFT, "blue": RIGHT, "fish": RIGHT}
    _, findings = told(tags, heats)
    (wrong,) = [finding for finding in findings if finding.kind == "wrong noun"]
    assert wrong.headline == (
        "Words landed on the wrong thing: “red” of “red star” on “blue fish”; “red” of “red car” on "
        "“blue fish”."
    )
    assert wrong.words[:2] == ("red#1", "red#2") and wrong.tip.startswith(
        "Start with the first. Give “red star” more weight"
    )


def test_words_of_two_texts_that_share_their_columns_are_told_apart():
    """SDXL: under “masterpiece, the best quality” in the first text the second has “castle (, dog:1.3) and fish”, column by column."""
    first = prompt("masterpiece , the best quality", text="masterpiece, the best quality")
    second = prompt(["castle", ",", ("dog", 1.3), "and", "fish"], text="castle, (dog:1.3) and fish")
    both = replace(first, encoder="l", second=replace(second, encoder="g"))
    heats = {"castle": LEFT, "dog": MIDDLE, "fish": RIGHT}
    kept, latent, _ = recording(entry(both, heats))
    (match,) = kept.match(latent)
    entries = match.run.of_role("positive")
    evidence = examine(match, entries, [both], "words")
    named = {noun.name: (noun.filler, noun.manner, noun.weight) for noun in evidence.nouns}
    assert named == {"castle": (False, False, 1.0), "dog": (False, False, 1.3), "fish": (False, False, 1.0)}
    word = evidence.words
    assert word["and"].filler and not word["and"].manner
    assert word["masterpiece"].manner and word["quality"].manner and not word["castle"].manner
    assert word["masterpiece"].weight == word["the"].weight == 1.0
    assert {evidence.entry_of[name] for name in named} == set(named)
