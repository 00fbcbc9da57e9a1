"""Case C4: one of a thing is one, in every line that counts; and sentences that know what they are made of."""

import copy
import json

import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, entry, run_of

from hrv_pack.hrv.look.heatmap import heatmaps
from hrv_pack.hrv.recording.recording import Recording
from hrv_pack.hrv.recording.summary import recording_in_words
from hrv_pack.hrv.wording import Said, counted, figure, quoted, said, said_in, sentences, shortened


@pytest.mark.parametrize(("number", "text"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps")])
def test_counted(number, text):
    assert counted(number, "step") == text


def test_shortened():
    assert shortened("a red\n  cat", 9) == "a red cat" and shortened("a red cat", 8) == "a red c…"


@pytest.mark.parametrize(("evaluations", "text"), [(1, "1 model evaluation"), (2, "2 model evaluations")])
def test_evaluations_in_what_nodes_show(evaluations, text):
    latent = torch.randn(1, 4, 8, 12)
    recording = Recording(LAYOUT, 2**30)
    recording.add(run_of(latent, entry(prompt("cat"), counts=(evaluations,))))
    assert recording_in_words(recording).endswith(f"1 image · 12 heads · grid 12×8 · {text}")
    assert heatmaps(recording, latent).summary.endswith(f"· {text}")
    assert heatmaps(recording, latent).summary.startswith("1 word · ")


def test_a_sentence_is_an_english_text_that_knows_its_parts():
    one = said("“{word}” gets {share}.", word="fish", share=figure("3.1 %"))
    parts = {"text": "“{word}” gets {share}.", "values": {"word": "fish", "share": {"figure": "3.1 %"}}}
    assert one == "“fish” gets 3.1 %." and one.parts == parts
    assert json.loads(json.dumps([one])) == [one], "as text where nobody asks for more"
    both = sentences(one, "", said("Put it first."))
    assert both == "“fish” gets 3.1 %. Put it first."
    assert both.parts == {"sentences": [parts, {"text": "Put it first.", "values": {}}]}
    assert said_in({"a": [one, {"b": (both, "plain")}]}) == {one: parts, both: both.parts}


def test_it_outlives_an_error_and_a_copy_and_loses_its_parts_where_it_is_put_together_otherwise():
    one = said("Put it first.")
    for kept in (str(ValueError(one)), copy.deepcopy([one])[0], next(iter(dict.fromkeys([one])))):
        assert isinstance(kept, Said) and kept.parts == one.parts
    assert not any(isinstance(text, Said) for text in (f"{one}!", one + "!", " ".join([one, one])))


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("a", "“a”"),
        ("ab", "“a” and “b”"),
        ("abc", "“a”, “b” and “c”"),
        ("abcd", "“a”, “b” and 2 more"),
        ("", ""),
    ],
)
def test_a_list_of_names(names, text):
    assert quoted(list(names), 3) == text
