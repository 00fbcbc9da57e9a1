"""Case C4: one of a thing is one, in every line that counts."""

import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, entry, run_of

from hrv_pack.hrv.look.heatmap import heatmaps
from hrv_pack.hrv.recording.recording import Recording
from hrv_pack.hrv.recording.summary import recording_in_words
from hrv_pack.hrv.wording import counted, shortened


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
