"""Pictures of a word with two senses: does the verdict name the sense that the judge sees?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from truth_iou import PERCENT

SENSES = {"thing": "Objects", "colour": "Colours"}
STEPS, BATCH, SIDE = 20, 4, 256


@dataclass(frozen=True)
class Drawn:
    """One picture: its prompt's word, the sense that was drawn, and the run. clear: the prompt leaves no choice."""

    word: str
    sense: str
    clear: bool
    match: object


def prompts(rng: np.random.Generator, clear: bool) -> tuple[str, str]:
    """(prompt, its two-sense word): "rose, on sand" may be either; "a blue rose on sand", "a rose fish on sand" not."""
    from hrv_pack.tools.train_demo.world import BACKGROUNDS, CLASHES, COLOURS, KINDS, PLACES, TWO_SENSE

    def choice(options):
        options = list(options)
        return options[rng.integers(len(options))]

    word = choice(TWO_SENSE)
    background = choice(BACKGROUNDS)
    place = PLACES[background]
    if not clear:
        return choice([f"{word}, {place}", f"{place}, {word}"]), word
    if rng.random() < 0.5:
        colour = choice(c for c in COLOURS if c not in TWO_SENSE and (c, background) not in CLASHES)
        return f"a {colour} {word} {place}", word
    return f"a {word} {choice(k for k in KINDS if k not in TWO_SENSE)} {place}".replace(
        "a orange", "an orange"
    ), word


def draw(
    studio, count: int, seed: int, clear: bool, progress: Callable[[int], None]
) -> tuple[list[Drawn], int]:
    """`count` pictures whose sense the judge can tell, and how many were drawn for that (at most four times as many).

    A sense can be told when the judge names the word as the thing or as the colour, and not as both.
    """
    rng, found, drawn = np.random.default_rng(seed), [], 0
    while len(found) < count and drawn < 4 * count:
        text, word = prompts(rng, clear)
        latent = {"samples": torch.zeros(BATCH, 4, SIDE // 8, SIDE // 8)}
        pictures, matches = studio.draw(text, latent, seed + drawn, STEPS, 1.0)
        drawn += BATCH
        for said, match in zip(studio.ask.ask(studio.judge, list(pictures)), matches, strict=True):
            thing, colour = said["kind"] == word, said["colour"] == word
            if thing != colour:
                found.append(Drawn(word, "thing" if thing else "colour", clear, match))
        progress(len(found))
    return found[:count], drawn


def scores(one: Drawn, vectors) -> dict[str, list[float]]:
    """What each candidate score gives Objects and Colours."""
    from hrv_pack.hrv.compare import evidence_of
    from hrv_pack.hrv.concept_scores import SCORES
    from hrv_pack.hrv.reading import find_word, targets_of_unit

    entries = one.match.run.of_role("positive")
    known = [entry.prompt for entry in entries]
    words = list(targets_of_unit(entries, known, "words").values())
    target = find_word(one.word, entries, known)
    evidence = evidence_of(one.match, target, words, vectors, list(SENSES.values()), PERCENT)
    return {name: score(evidence).tolist() for name, score in SCORES.items()}


def measure(studio, count: int, seed: int, relevance: dict, progress) -> dict:
    """{"ambiguous" and "clear": {pictures, drawn, senses, right: {vectors: {score: [bool for each picture]}}}}."""
    out = {}
    for clear, some in ((False, count), (True, count // 2)):
        pictures, drawn = draw(studio, some, seed + clear, clear, progress)
        right: dict[str, dict[str, list[bool]]] = {}
        for name, vectors in relevance.items():
            for one in pictures:
                for score, (thing, colour) in scores(one, vectors).items():
                    said = "thing" if thing > colour else "colour"
                    right.setdefault(name, {}).setdefault(score, []).append(said == one.sense)
        senses = [one.sense for one in pictures]
        out["clear" if clear else "ambiguous"] = {
            "pictures": len(pictures), "drawn": drawn, "senses": senses, "right": right,
        }  # fmt: skip
    return out


def markdown(found: dict) -> str:
    """Accuracy of the verdict for each candidate score."""
    lines = []
    for kind, example in (
        ("ambiguous", "`rose, on sand`"),
        ("clear", "`a blue rose on sand`, `a rose fish on sand`"),
    ):
        group = found[kind]
        senses = Counter(group["senses"])
        told = ", ".join(f"{count} {sense}" for sense, count in senses.most_common())
        lines += [
            f"**Prompts such as {example}**: {group['pictures']} pictures whose sense the judge can tell ({told}), of "
            f"{group['drawn']} drawn. Without concepts (DAAM alone) there is nothing to decide by: always the commoner "
            f"sense is right in {max(senses.values(), default=0) / max(1, group['pictures']):.1%}.",
            "",
        ]
        if not group["pictures"]:
            continue
        lines += ["| score | vectors | verdict right | mean of the two senses |", "|---|---|---|---|"]
        for vectors, scores in group["right"].items():
            for score, right in scores.items():
                each = [
                    np.mean([r for r, s in zip(right, group["senses"]) if s == sense]) for sense in senses
                ]
                lines.append(
                    f"| {score.replace('_', ' ')} | {vectors} | {np.mean(right):.1%} | {np.mean(each):.1%} |"
                )
        lines.append("")
    return "\n".join(lines).strip()
