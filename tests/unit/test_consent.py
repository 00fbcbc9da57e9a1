"""Prompt Report: nouns on whose place the heads disagree."""

import json
import math

import pytest
import torch
from planted import FLAT, blob, planted
from synthetic import LAYOUT
from test_report import FISH_AND_CAR, SOUND

from hrv_pack.hrv.maps.head_maps import head_maps
from hrv_pack.hrv.maps.lookup import find_word
from hrv_pack.hrv.recording.recording import Match
from hrv_pack.hrv.relevance.heads_for_word import consent
from hrv_pack.hrv.report import presence
from hrv_pack.hrv.report.evidence import examine
from hrv_pack.hrv.report.finding import LIMITS
from hrv_pack.hrv.report.report import report


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
        finding.words == ("car",)
        and finding.text.startswith(
            "“car” may be missing. The attention heads that find it best agree on its location by"
        )
        and "(car:1.3)" in finding.tip
    )
    assert (
        finding.numbers["presence"] < LIMITS.presence
        and finding.numbers["consent"] < 0.8
        and finding.numbers["clearest_consent"] == pytest.approx(1, abs=0.01)
    )
    assert finding.headline == "“car” may be missing."
    words = json.loads(report(kept, latent, image).data)["pictures"][0]["findings"]
    assert "no place" in [f["kind"] for f in words]


def test_the_consent_of_heads_is_that_of_the_best_quarter():
    kept, latent, _ = planted(FISH_AND_CAR, SOUND)
    (match,) = kept.match(latent)
    entries = match.run.of_role("positive")
    evidence = examine(match, entries, [entries[0].prompt], "words")
    assert evidence.words["fish"].consent.level == pytest.approx(1, abs=1e-3)  # every head holds the same map
    (flat,) = planted("mist", {"mist": FLAT})[0].runs
    assert (
        consent(
            head_maps(Match(flat, 0, True), find_word("mist", flat.entries, [flat.entries[0].prompt])), 23.0
        )
        is None
    )


def plain_correlation(a, b) -> float:
    a, b = a.double().flatten() - a.double().mean(), b.double().flatten() - b.double().mean()
    return float(a @ b / (a.norm() * b.norm()))


def plain_gathering(a) -> float:
    top = sorted(a.flatten().tolist(), reverse=True)
    top = top[: round(len(top) / 10)]
    return 1 - float(a.double().mean()) / (sum(top) / len(top))


def test_presence_is_what_its_formula_says(monkeypatch):
    """Two things, each described by two words, with maps of which every head holds another share."""
    prompt = "a small red fish and a blue striped car on sand"
    kept, latent, _ = planted(
        prompt, {word: blob(4, 4) for word in ("small", "red", "fish", "blue", "striped", "car", "sand")}
    )
    e = kept.runs[0].entries[0]
    generator = torch.Generator().manual_seed(3)
    for maps in e.maps.values():
        maps += 0.3 * torch.rand(maps.shape, generator=generator).half()
    (match,) = kept.match(latent)
    evidence = examine(match, [e], [e.prompt], "words")
    best, clear = {}, {}
    for word in ("small", "red", "fish", "blue", "striped", "car", "sand"):
        found = head_maps(match, find_word(word, [e], [e.prompt])).maps.double()
        weights = [1 / math.sqrt(float(m.max() - m.min())) for m in found]
        reference = sum(w * m for w, m in zip(weights, found, strict=True))
        scores = [plain_correlation(m, reference) for m in found]
        chosen = sorted(range(len(found)), key=lambda n: -scores[n])[: round(0.23 * len(found))]
        best[word] = sum(scores[n] for n in chosen) / len(chosen)
        clear[word] = sum(weights[n] * found[n] for n in chosen) / sum(weights[n] for n in chosen)
    described = {"fish": ("small", "red"), "car": ("blue", "striped")}
    pairs = [plain_correlation(clear[a], clear[b]) for a in described["fish"] for b in described["car"]]
    mixed = sum(pairs) / 4 - plain_correlation(clear["fish"], clear["car"])
    strength = {
        noun: sum(evidence.words[word].strength for word in (noun, *words))
        for noun, words in described.items()
    }
    plain = {
        noun: sum(best[word] for word in (noun, *words)) / 3 / max(best.values())
        + sum(plain_gathering(clear[word]) for word in words)
        / 2
        / max(map(plain_gathering, clear.values()))
        / 2
        - mixed / 5
        + 0.15 * math.log(strength[noun] / strength[other])
        for (noun, words), other in zip(described.items(), ("car", "fish"), strict=True)
    }
    assert {one.noun: one.level for one in presence.presences(evidence)} == pytest.approx(plain, abs=2e-3)
    monkeypatch.setattr(presence, "levels", lambda maps: (0.0, 0.0, 0.0))
    assert presence.presences(evidence) == [], "where nothing gathers, nothing is said"
