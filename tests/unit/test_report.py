"""Prompt Report on recordings whose maps are known: what is measured, what is found, what is said."""

import json

import pytest
import torch
from planted import FAINT, FLAT, LEFT, MIDDLE, RIGHT, blob, entry, planted, recording
from prompts import Vector, prompt
from synthetic import LAYOUT

from hrv_pack.hrv.evidence import agreements, examine, measure
from hrv_pack.hrv.findings import KINDS, find
from hrv_pack.hrv.known_layouts import SD1
from hrv_pack.hrv.recording import NoRecording
from hrv_pack.hrv.report import report
from hrv_pack.hrv.senses import concept_shares
from hrv_pack.hrv.vectors import HeadRelevance

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
    assert found[0].numbers["agreement"] == pytest.approx(1, abs=1e-3) and "Set Area" in found[0].tip


def test_adjectives_of_two_nouns_in_one_place():
    found = findings(FISH_AND_CAR, {**SOUND, "blue": LEFT})
    assert ("shared place", "red", "blue") in kinds(found) and ("wrong noun", "blue", "car", "fish") in kinds(
        found
    )


def test_adjectives_on_the_wrong_nouns():
    found = findings(FISH_AND_CAR, {"red": RIGHT, "fish": LEFT, "blue": LEFT, "car": RIGHT})
    assert kinds(found) == [("wrong noun", "red", "fish", "car"), ("wrong noun", "blue", "car", "fish")]
    assert "sits on “car”" in found[0].text and found[0].numbers["other"] > 0.9 > found[0].numbers["own"]


def test_who_got_what_is_in_the_data():
    found = report(*planted(FISH_AND_CAR, {"red": RIGHT, "fish": LEFT, "blue": RIGHT, "car": RIGHT}))
    (picture,) = json.loads(found.data)["pictures"]
    assert [(m["word"], m["meant_for"], m["sits_on"]) for m in picture["modifiers"]] == [
        ("red", "fish", "car"),
        ("blue", "car", "car"),
    ]
    assert picture["modifiers"][0]["agreement"]["car"] == pytest.approx(1, abs=1e-3)
    assert "| red | fish | **car** |" in found.markdown


def test_a_part_beyond_77_tokens_that_got_little():
    p = prompt("a fish and a car", "a tree in snow")
    heats = {"fish": LEFT, "car": RIGHT, "tree": blob(3, 8, level=0.05), "snow": blob(13, 8, level=0.05)}
    found = report(*recording(entry(p, heats))).findings[0]
    assert kinds(found) == [("late part", "tree", "snow")] and found[0].numbers["part"] == 2
    assert "after token 77" in found[0].text
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
    assert found.grid.shape[0] == 2 and "## Picture 2" in found.markdown
    assert found.summary.splitlines()[:2] == [
        "Picture 1: nothing stands out",
        "Picture 2: 1 thing stands out",
    ]


def test_unknown_words_are_an_error_that_says_what_to_do():
    kept, latent, image = planted("a cat", {})
    kept.runs[0].entries[0].prompt = None
    with pytest.raises(NoRecording, match="Connect CLIP through Record Attention and run again.$"):
        report(kept, latent, image)


def test_marks_of_markdown_in_words_are_escaped():
    found = report(*planted("a |_ cat* <b>", {"cat*": LEFT}))
    assert "| cat\\* |" in found.markdown and "\\<b\\>" in found.markdown


def test_findings_know_their_kind():
    kept, *_ = planted(FISH_AND_CAR, {"red": RIGHT, "fish": LEFT, "blue": LEFT, "car": FAINT})
    (match,) = kept.match(torch.zeros(1, 4, 32, 32))
    entries = match.run.of_role("positive")
    for finding in find(examine(match, entries, [entries[0].prompt], "words")):
        assert finding.kind in KINDS and finding.headline and finding.tip.endswith((".", ")"))
        assert all(finding.mark(word) for word in finding.words)


def relevance(rows) -> HeadRelevance:
    rows = torch.tensor(rows)
    names = ("Animals", "Vehicles", "Color")[: len(rows)]
    return HeadRelevance(names, rows * rows.shape[1] / rows.sum(1, keepdim=True), LAYOUT)


def test_concept_shares_by_hand():
    vectors = relevance([[4.0] * 6 + [0.0] * 6, [1.0] * 12, [0.0] * 6 + [4.0] * 6])
    activity = torch.tensor([0.3] * 6 + [0.1] * 6)
    usual = torch.full((12,), 0.1)
    ratio = activity / usual
    score = [float((vectors.of(c) * ratio).sum() / ratio.sum()) for c in vectors.concepts]
    assert score == pytest.approx([1.5, 1.0, 0.5])
    assert concept_shares(activity, usual, vectors) == {"Animals": pytest.approx(1)}
    assert concept_shares(torch.zeros(12), usual, vectors) == {}


def test_a_word_of_doubtful_sense():
    """Of twelve heads the first four stand for Animals, the next four for Vehicles."""
    kept = planted("a mouse and a car", {"mouse": LEFT, "car": RIGHT})
    e = kept[0].runs[0].entries[0]
    mouse, car = (e.prompt.recorded_columns.index(e.prompt.find(w).columns[0]) for w in ("mouse", "car"))
    for number, maps in e.maps.items():
        first = LAYOUT.offsets[number]
        for head in range(maps.shape[2]):
            maps[:, :, head, mouse] *= 2 if first + head < 8 else 0.5
            maps[:, :, head, car] *= 2 if 4 <= first + head < 8 else 0.5
    vectors = relevance([[1.0] * 4 + [0.1] * 8, [0.1] * 4 + [1.0] * 4 + [0.1] * 4, [0.1] * 8 + [1.0] * 4])
    found = report(*kept, vectors=vectors)
    senses = {s["word"]: s["concepts"] for s in json.loads(found.data)["pictures"][0]["senses"]}
    assert next(iter(senses["car"])) == "Vehicles" and set(senses["mouse"]) == {"Animals", "Vehicles"}
    assert "What each word was taken for" in found.markdown


def test_vectors_of_another_model_are_an_error():
    other = HeadRelevance(("A",), torch.ones(1, SD1.heads), SD1)
    with pytest.raises(ValueError, match="128"):
        report(*planted("a cat", {}), vectors=other)
