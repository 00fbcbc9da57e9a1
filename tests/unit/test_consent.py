"""Prompt Report: nouns on whose place the heads disagree."""

import json

import pytest
from planted import FLAT, blob, planted
from synthetic import LAYOUT
from test_report import FISH_AND_CAR, SOUND

from hrv_pack.hrv.auto_heads import consent
from hrv_pack.hrv.evidence import examine
from hrv_pack.hrv.head_maps import head_maps
from hrv_pack.hrv.reading import find_word
from hrv_pack.hrv.recording import Match
from hrv_pack.hrv.report import report


def test_a_noun_that_every_head_sees_elsewhere_may_be_missing():
    """Heads that look for the car look in one place each; for the other words all look in the same."""
    kept, latent, image = planted(FISH_AND_CAR, SOUND)
    e = kept.runs[0].entries[0]
    column = e.columns.index(e.prompt.find("car").columns[0])
    for number, maps in e.maps.items():
        for head in range(maps.shape[2]):
            place = LAYOUT.offsets[number] + head
            maps[0, 0, head, column] = blob(1 + 4 * (place // 4), 2 + 4 * (place % 4), size=3).half()
    (finding,) = [f for f in report(kept, latent, image).findings[0] if f.kind == "no place"]
    assert (
        finding.words == ("car",) and "disagree where “car” is" in finding.text and "(car:1.3)" in finding.tip
    )
    assert finding.numbers["consent"] < 0.8 and finding.numbers["clearest_consent"] == pytest.approx(
        1, abs=0.01
    )
    assert "may be missing" in finding.headline
    words = json.loads(report(kept, latent, image).data)["pictures"][0]["findings"]
    assert "no place" in [f["kind"] for f in words]


def test_the_consent_of_heads_is_that_of_the_best_quarter():
    kept, latent, _ = planted(FISH_AND_CAR, SOUND)
    (match,) = kept.match(latent)
    entries = match.run.of_role("positive")
    evidence = examine(match, entries, [entries[0].prompt], "words")
    assert evidence.words["fish"].consent == pytest.approx(1, abs=1e-3)  # every head holds the same map
    (flat,) = planted("mist", {"mist": FLAT})[0].runs
    assert (
        consent(
            head_maps(Match(flat, 0, True), find_word("mist", flat.entries, [flat.entries[0].prompt])), 23.0
        )
        is None
    )
