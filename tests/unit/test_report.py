"""Prompt Report on recordings whose maps are known: what is measured, what is found, what is said."""

import json
from pathlib import Path

import pytest
import torch
from planted import FAINT, FLAT, LEFT, MIDDLE, RIGHT, blob, entry, planted, recording
from prompts import Vector, prompt

from hrv_pack.hrv.effect.effect import Effects
from hrv_pack.hrv.recording.recording import NoRecording
from hrv_pack.hrv.report.evidence import agreements, examine, measure
from hrv_pack.hrv.report.finding import KINDS, LIMITS, gathers
from hrv_pack.hrv.report.findings import find
from hrv_pack.hrv.report.report import report

FISH_AND_CAR = "a red fish and a blue car"
SOUND = {"red": LEFT, "fish": LEFT, "blue": RIGHT, "car": RIGHT}


def findings(text, heats, **more):
    return report(*planted(text, heats), **more).findings[0]


def kinds(found):
    return [(f.kind, *f.words) for f in found]


def test_strength_mean_and_gathering_by_hand():
    heat = torch.arange(100.0).reshape(10, 10) / 1000
    facts = measure("word", heat)
    strongest = sorted(heat.flatten().tolist())[-10:]
    assert facts.strength == pytest.approx(sum(strongest) / 10)
    assert facts.mean == pytest.approx(sum(heat.flatten().tolist()) / 100)
    assert facts.gathering == pytest.approx(1 - facts.mean / facts.strength)
    assert measure("flat", FLAT).gathering == pytest.approx(0, abs=1e-6)
    assert measure("nothing", torch.zeros(4, 4)).gathering == 0
    dot = torch.zeros(10, 10)
    dot[3, 4] = 1
    assert measure("dot", dot).gathering == pytest.approx(0.9)


def test_a_noun_without_a_place_is_not_outlined():
    """Outlines of an even map would be rounding drawn large."""
    kept, latent, image = planted("a fish and a car", {"fish": LEFT, "car": FLAT})
    (match,) = kept.match(latent)
    entries = match.run.of_role("positive")
    evidence = examine(match, entries, [entries[0].prompt], "words")
    assert [gathers(evidence, noun) for noun in evidence.nouns] == [True, False]
    page = report(kept, latent, image).grid[0, :400, 400:780]
    orange = torch.tensor((213, 94, 0)) / 255
    assert not ((page - orange).abs() < 0.01).all(-1).any()


def test_ignored_is_what_changed_nothing_where_that_is_known():
    """Attention says that the car was hardly looked at; asked, it is the fish that changed nothing."""
    heats = {"red": LEFT, "fish": LEFT, "blue": FLAT * 0.01, "car": FLAT * 0.01}
    before = kinds(findings(FISH_AND_CAR, heats))
    assert any(kind == "ignored" and "fish" not in words for kind, *words in before)
    names = ("red", "fish", "blue", "car")
    known = Effects(names, torch.tensor([0.3, 0.01, 0.2, 0.4]).double(), torch.zeros(4, 4, 4), 2.0)
    found = report(*planted(FISH_AND_CAR, heats), effects=[known])
    assert [f.words for f in found.findings[0] if f.kind == "ignored"] == [("fish",)]
    (told,) = (f for f in found.findings[0] if f.kind == "ignored")
    assert told.headline == "“fish” changed nothing." and told.tip.startswith("Leave it out")
    assert "| car |" in found.markdown and "40 % |" in found.markdown
    assert json.loads(found.data)["pictures"][0]["words"][-1]["effect"] == 0.4


def test_agreement_is_the_correlation_over_pixels():
    a, b = torch.rand(2, 9, 7, generator=torch.Generator().manual_seed(0))
    found = agreements(torch.stack([a, b, 2 * a + 1, 1 - a, torch.ones(9, 7)]))
    assert found[0, 1] == pytest.approx(
        float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]), abs=1e-6
    )
    assert found[0, 2] == pytest.approx(1) and found[0, 3] == pytest.approx(-1)
    assert not found[4].any() and not found[:, 4].any()


def test_a_prompt_that_was_drawn_as_meant():
    found = report(*planted(FISH_AND_CAR, SOUND))
    assert found.findings == [[]] and found.summary == "nothing stands out"
    assert "Nothing stands out" in found.markdown and json.loads(found.data)["pictures"][0]["findings"] == []


def test_an_ignored_word():
    (finding,) = findings(FISH_AND_CAR, {**SOUND, "car": FAINT, "blue": RIGHT})
    assert (finding.kind, finding.words) == ("ignored", ("car",))
    assert "1.0 %" in finding.text and "3.0 %" in finding.text and "(car:1.3)" in finding.tip


@pytest.mark.parametrize("heat", [blob(8, 12, level=0.02, floor=0.001), torch.full((16, 16), 0.2)])
def test_a_faint_word_that_gathers_and_a_broad_strong_one_are_not_ignored(heat):
    found = findings("a red fish and a car", {"red": LEFT, "fish": LEFT, "car": heat})
    assert not [f for f in found if f.kind == "ignored"]


def test_the_tip_for_an_ignored_word_knows_its_weight():
    for weight, said in ((0.5, "raise it"), (1.0, "(car:1.3)"), (1.5, "Strengthen Concept")):
        p = prompt(["a", "fish", "and", "a", ("car", weight)])
        (finding,) = report(*recording(entry(p, {"fish": LEFT, "car": FAINT}))).findings[0]
        assert said in finding.tip


def test_without_filler_words_the_other_words_are_the_measure():
    heats = {word: blob(8, 2 + 2 * n) for n, word in enumerate(("rot", "fisch", "blau", "meer"))}
    assert kinds(findings("rot fisch blau auto meer", {**heats, "auto": FAINT})) == [("ignored", "auto")]
    assert findings("fisch auto", {"fisch": LEFT, "auto": FAINT}) == []  # nothing to compare with


def test_two_things_in_one_place():
    found = findings("a fish and a car", {"fish": MIDDLE, "car": MIDDLE})
    assert kinds(found) == [("shared place", "fish", "car")]
    assert (
        found[0].headline
        == "“fish” and “car” are in the same place: one of them may be missing, or the two were mixed up."
    )
    assert found[0].numbers["agreement"] == pytest.approx(1, abs=1e-3) and "Set Area" in found[0].tip


def test_the_same_adjective_twice_and_things_in_their_place_are_no_fault():
    heats = {"red#1": MIDDLE, "fish": LEFT, "red#2": MIDDLE, "car": RIGHT, "grass": LEFT}
    found = findings("a red fish and a red car on grass", heats)
    assert not [f for f in found if f.kind == "shared place"]


def test_how_much_of_the_place_is_the_same():
    """Two squares of 5 × 5 pixels that are 3 columns apart share 2 columns: 10 of 40 pixels."""
    kept, latent, _ = planted("a fish and a car", {"fish": blob(8, 5), "car": blob(8, 8)})
    (match,) = kept.match(latent)
    entries = match.run.of_role("positive")
    evidence = examine(match, entries, [entries[0].prompt], "words")
    assert evidence.iou("fish", "car") == pytest.approx(10 / 40) and evidence.iou("fish", "fish") == 1


def test_adjectives_of_two_nouns_in_one_place():
    """Told in one sentence: because blue moved, red and blue share a place, and what describes fish and car is mixed."""
    (finding,) = findings(FISH_AND_CAR, {**SOUND, "blue": LEFT})
    assert kinds([finding]) == [("wrong noun", "blue", "car", "fish")]
    assert finding.headline == "“blue” was meant for “car” but landed on “fish”."
    assert ("shared place", "red", "blue") in kinds(finding.details) and ("no place", "car") in kinds(
        finding.details
    )


def test_adjectives_that_lie_between_two_nouns():
    found = findings(FISH_AND_CAR, {**SOUND, "red": MIDDLE, "blue": MIDDLE})
    (shared,) = [one for finding in found for one in finding.details if one.kind == "shared place"]
    assert (
        shared.headline == "“red” and “blue” are in the same place, though they belong to “fish” and “car”."
    )
    assert shared.nouns == ("fish", "car") and shared.numbers["agreement"] == pytest.approx(1, abs=1e-3)


def test_modifiers_count_as_in_one_place_only_when_their_nouns_lie_further_apart():
    """Where everything lies together, as in prompts that a model hardly knows, that tells nothing."""
    near = 0.9 * LEFT + 0.1 * RIGHT
    found = findings(FISH_AND_CAR, {"red": near, "fish": LEFT, "blue": near, "car": 0.8 * LEFT + 0.2 * RIGHT})
    assert not [
        one
        for finding in found
        for one in finding.details
        if one.kind == "shared place" and "red" in one.words
    ]


def test_adjectives_on_the_wrong_nouns():
    (finding,) = findings(FISH_AND_CAR, {"red": RIGHT, "fish": LEFT, "blue": LEFT, "car": RIGHT})
    assert finding.headline == "“red” and “blue” swapped places."
    found = finding.details
    assert kinds(found) == [("wrong noun", "red", "fish", "car"), ("wrong noun", "blue", "car", "fish")]
    assert "landed on “car”" in found[0].text and found[0].numbers["other"] > 0.9 > found[0].numbers["own"]


def test_who_got_what_is_in_the_data():
    found = report(*planted(FISH_AND_CAR, {"red": RIGHT, "fish": LEFT, "blue": RIGHT, "car": RIGHT}))
    (picture,) = json.loads(found.data)["pictures"]
    assert [(m["word"], m["meant_for"], m["sits_on"]) for m in picture["modifiers"]] == [
        ("red", "fish", "car"),
        ("blue", "car", "car"),
    ]
    assert picture["modifiers"][0]["agreement"]["car"] == pytest.approx(1, abs=1e-3)
    assert "| red | fish | **car** |" in found.markdown


def test_a_bare_place_takes_no_adjectives():
    text = "a red fish and a blue car on grass"
    found = report(*planted(text, {**SOUND, "blue": 1 - RIGHT, "car": RIGHT, "grass": 1 - RIGHT}))
    assert not [f for f in found.findings[0] if f.kind == "wrong noun"]
    assert "grass" not in json.loads(found.data)["pictures"][0]["modifiers"][1]["agreement"]


def test_an_adjective_that_lies_on_no_noun():
    found = report(*planted(FISH_AND_CAR, {**SOUND, "red": blob(1, 8)}))
    red = json.loads(found.data)["pictures"][0]["modifiers"][0]
    assert red["sits_on"] is None and "| red | fish | **(no noun)** |" in found.markdown
    assert found.findings == [[]]


def test_a_part_beyond_77_tokens_that_got_little():
    p = prompt("a fish and a car", "a tree in snow")
    heats = {"fish": LEFT, "car": RIGHT, "tree": blob(3, 8, level=0.05), "snow": blob(13, 8, level=0.05)}
    found = report(*recording(entry(p, heats))).findings[0]
    assert kinds(found) == [("late part", "tree", "snow")] and found[0].numbers["part"] == 2
    assert "After token 77" in found[0].text
    louder = {**heats, "tree": blob(3, 8), "snow": blob(13, 8)}
    assert report(*recording(entry(p, louder))).findings == [[]]


def test_tags_are_listed_but_adjectives_are_still_told_apart():
    text = "red fish , blue car , sand"
    heats = {"red": RIGHT, "fish": LEFT, "blue": LEFT, "car": RIGHT, "sand": FLAT * 4}
    found = report(*planted(text, heats, FAINT))
    (picture,) = json.loads(found.data)["pictures"]
    assert [w["word"] for w in picture["words"]] == ["red fish", "blue car", "sand"]
    assert {f["kind"] for f in picture["findings"]} == {"wrong noun"}
    words = report(*planted(text, heats, FAINT), unit="words")
    listed = [w["word"] for w in json.loads(words.data)["pictures"][0]["words"]]
    assert listed == ["red", "fish", "blue", "car", "sand"]


def test_several_prompts_are_read_together():
    first, second = prompt("a red fish"), prompt("a blue car in snow")
    kept = recording(
        entry(first, {"red": LEFT, "fish": LEFT}),
        entry(second, {"blue": RIGHT, "car": RIGHT, "snow": FAINT}, index=1),
    )
    found = report(*kept)
    assert kinds(found.findings[0]) == [("ignored", "snow")]
    assert found.markdown.count("Prompt: ") == 2


@pytest.mark.parametrize(
    "words",
    [
        "",
        "cat",
        "cat dog",
        ",",
        "a the",
        "café 😀",
        "1girl , solo , :3 , long hair",
        "cat cat cat",
        ["see", Vector("style")],
    ],
)
def test_any_prompt_gives_a_sound_report(words):
    p = prompt(words)
    found = report(*recording(entry(p, {})))
    assert 0 <= found.grid.min() and found.grid.max() <= 1 and found.grid.shape[0] == 1
    data = json.loads(found.data)
    assert (data["format"], data["format_version"]) == ("hrv_prompt_report", 1)
    assert found.markdown.startswith("# Prompt report\n") and found.summary


def test_150_words_in_two_chunks():
    words = [f"word{n}" for n in range(150)]
    p = prompt(words[:75], words[75:])
    generator = torch.Generator().manual_seed(3)
    heats = {word: torch.rand(16, 16, generator=generator) ** 4 * 0.1 for word in words}
    found = report(*recording(entry(p, heats)))
    assert len(json.loads(found.data)["pictures"][0]["words"]) == 150
    assert found.grid.shape[2] == 1280 and found.grid.shape[1] > 1500


def test_each_picture_of_a_batch_has_its_own_page_and_chapter():
    p = prompt(FISH_AND_CAR)
    kept = recording(entry(p, SOUND, batch=2), pictures=2)
    maps = kept[0].runs[0].entries[0].maps
    column = p.recorded_columns.index(p.find("car").columns[0])
    for block in maps.values():
        block[1, :, :, column] = 0.01
    found = report(*kept)
    assert [kinds(f) for f in found.findings] == [[], [("ignored", "car")]]
    assert found.grid.shape[0] == 2 and "## Image 2" in found.markdown
    assert found.summary.splitlines()[:2] == [
        "Image 1: nothing stands out",
        "Image 2: 1 thing stands out",
    ]


def test_unknown_words_are_an_error_that_says_what_to_do():
    kept, latent, image = planted("a cat", {})
    kept.runs[0].entries[0].prompt = None
    with pytest.raises(NoRecording, match="type the prompt into prompt_text.$"):
        report(kept, latent, image)


def test_marks_of_markdown_in_words_are_escaped():
    found = report(*planted("a |_ cat*s <b>", {"cat*s": LEFT}))
    assert "| cat\\*s |" in found.markdown and "\\<b\\>" in found.markdown


def test_findings_know_their_kind():
    kept, *_ = planted(FISH_AND_CAR, {"red": RIGHT, "fish": LEFT, "blue": LEFT, "car": FAINT})
    (match,) = kept.match(torch.zeros(1, 4, 32, 32))
    entries = match.run.of_role("positive")
    found = find(examine(match, entries, [entries[0].prompt], "words"))
    assert found
    for finding in found:
        assert finding.kind in KINDS and finding.headline.endswith(".") and finding.tip.endswith((".", ")"))
        assert all(finding.mark(word) for word in finding.words)
        assert not any(letter.isdigit() for letter in finding.headline), "numbers stand behind the sentence"


def test_the_documented_limits_are_those_in_use():
    text = (Path(__file__).parents[2] / "docs" / "formulas.md").read_text(encoding="utf-8")
    for said in (
        f"strength < {LIMITS.ignored_strength:g} · f_s and gathering < max({LIMITS.even:g}, {LIMITS.ignored_gathering:g} · f_g)",
        f"presence < {LIMITS.presence:g}",
        f"the factors {LIMITS.lone_strength:g} and {LIMITS.lone_gathering:g}",
        f"two nouns with agreement ≥ {LIMITS.shared_nouns:g}",
        f"modifiers of two nouns with agreement ≥ {LIMITS.shared_modifiers:g}",
        f"larger by {LIMITS.nearer:g} than that of the nouns",
        f"Among {LIMITS.many} or more things it must also lie {LIMITS.outlier:g} below their median",
        f"is the largest, at least {LIMITS.margin:g},",
        f"is below {LIMITS.late:g} of the first",
    ):
        assert said in text, said


def test_what_the_page_shows_is_what_the_report_says():
    """Findings with their remedies, a small image each, and every word."""
    kept, latent, _ = planted("a red fish and a blue car and a tree", {**SOUND, "tree": FAINT})
    image = torch.rand(1, 256, 256, 3)
    found = report(kept, latent, image)
    (shown,) = found.panel["pictures"]
    (finding,) = found.findings[0]
    assert [one["headline"] for one in shown["findings"]] == [finding.headline]
    assert shown["findings"][0]["remedies"] == [
        {"kind": "weight", "words": ("tree",), "weight": 1.3},
        {"kind": "first", "words": ("tree",), "weight": None},
    ]
    assert "`(tree:1.3)`" in finding.tip and "first" in finding.tip, "a click does what the tip says"
    assert {word["name"] for word in shown["words"]} == {"red", "fish", "blue", "car", "tree"}
    strengths = [word["strength"] for word in shown["words"]]
    assert strengths == sorted(strengths, reverse=True) and shown["words"][-1]["mark"]
    (thumb,) = found.thumbs
    assert thumb.shape == (256, 256, 3)
    assert (thumb - image[0]).abs().max() < 0.1, "a word without heat leaves the image as it is"


def test_the_small_image_of_two_words_outlines_both():
    kept, latent, image = planted("a fish and a car", {"fish": MIDDLE, "car": MIDDLE})
    found = report(kept, latent, image)
    (thumb,) = found.thumbs
    plain = 0.45 * image[0] + 0.55
    assert found.findings[0][0].kind == "shared place" and not torch.allclose(thumb, plain, atol=0.1)
