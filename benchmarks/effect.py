"""What each word did, asked in a few evaluations, against the plain answer: sampling again without the word, from the same seed.

    python3 dev.py bench --suite effect              30 prompts of the demo model's world, writes docs/results.md
    python3 dev.py bench --suite effect --quick      a few, to see that it runs; writes nothing

The truth of a word is the mean squared difference of the final latents. The first half of the prompts is for choosing, the second
half is reported. "Idle" words are the fifth of all words without which the image changes least.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import bench
import suite
from studio import CFG

SEED = 960_001  # training and the other benchmarks draw from other seeds
MOMENTS = (1, 3, 6)
IDLE_PART = 0.2


@dataclass(frozen=True)
class Word:
    """prompt: number of its prompt. truth: mean squared change of the latent; attention: the word's strength, mean over the image;
    shares: by number of moments."""

    prompt: int
    name: str
    truth: float
    attention: float
    shares: dict[int, float]


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    suite.start(options.threads)
    words, seconds = measure(options)
    suite.publish("effect", report(words, options, seconds), options)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = suite.parser("effect", __doc__)
    parser.add_argument("--prompts", type=int, default=30)
    parser.add_argument("--steps", type=int, default=10, help="euler steps of an image")
    return suite.parse(parser, arguments, prompts=2, steps=4)


def measure(options) -> tuple[list[Word], tuple[float, float]]:
    """(words, seconds of (an image, an answer for its words))."""
    import numpy as np
    from studio import Studio

    from hrv_pack.tools.train_demo import world

    studio, rng = Studio(options.checkpoint), np.random.default_rng(SEED)
    progress = suite.counter("prompts", options.prompts)
    words, spent = [], [0.0, 0.0]
    for number in range(options.prompts):
        text = world.full_caption(world.sample_scene(rng, two_objects=1.0))
        words += _of_prompt(studio, number, text, options.steps, spent)
        progress(number + 1)
    return words, (spent[0] / options.prompts, spent[1] / options.prompts)


def _of_prompt(studio, number: int, text: str, steps: int, spent: list[float]) -> list[Word]:
    from studio import target_of

    from hrv_pack.host.effect.word_effects import Question, word_effects
    from hrv_pack.hrv.effect.words import typed_words
    from hrv_pack.hrv.maps.word_maps import word_maps

    model, clip, recording = studio.recorded()
    empty, seed = studio.empty(), SEED + number

    def sample(positive, of):
        return studio.sample(of, positive, *studio.encode(""), empty, seed, steps, CFG)

    start = time.monotonic()
    before = sample(*studio.encode(text, clip=clip), model)
    spent[0] += time.monotonic() - start
    found = {}
    for moments in MOMENTS:
        start = time.monotonic()
        question = Question(moments=moments)
        effects = word_effects(
            model, clip, recording, before["samples"], question, progress=lambda done, total: None
        ).effects[0]
        spent[1] += (time.monotonic() - start) * (moments == 3)
        found[moments] = dict(zip(effects.names, effects.shares.tolist(), strict=True))
    typed, (match,) = typed_words([text]), recording.match(before["samples"])
    words = []
    for name in found[3]:
        left = typed.without(typed.prompt.find(name).columns)[text]
        after = sample(*studio.encode(left), studio.model)
        truth = float((after["samples"] - before["samples"]).double().square().mean())
        attention = float(word_maps(match, [target_of(match, name)]).mean())
        words.append(Word(number, name, truth, attention, {m: found[m][name] for m in MOMENTS}))
    return words


def report(words: list[Word], options, seconds: tuple[float, float]) -> str:
    from hrv_pack.hrv.look.word_effect_page import IDLE

    half = options.prompts // 2
    reported = [word for word in words if word.prompt >= half] or words
    rows = [("attention, mean over the image", [word.attention for word in reported])]
    rows += [(f"effect, {m} moment{'s' * (m > 1)}", [word.shares[m] for word in reported]) for m in MOMENTS]
    truth = [word.truth for word in reported]
    lines = [
        "| predictor | rank correlation over all words | mean within a prompt | AUC for idle words |",
        "|---|---|---|---|",
    ]
    for name, found in rows:
        inside = _mean_within(reported, found)
        lines.append(
            f"| {name} | {rank_correlation(found, truth):.2f} | {inside:.2f} | {idle_auc(found, truth):.2f} |"
        )
    tuned, told = ([word for word in words if (word.prompt >= half) == later] for later in (False, True))
    lines += [
        "",
        f"Words called idle (share below {100 * IDLE:g} %): {_called(tuned, IDLE)} of the first half, {_called(told, IDLE)} of the second.",
    ]
    lines += [
        f"{len(reported)} words of {len({w.prompt for w in reported})} prompts, euler, {options.steps} steps, CFG {CFG}. An image took {seconds[0]:.1f} s, "
        f"the answer for all its words at 3 moments {seconds[1]:.1f} s ({seconds[1] / max(seconds[0], 1e-9):.2f} ×)."
    ]
    return "\n".join(lines)


def _called(words: list[Word], limit: float) -> str:
    """Of the words under the limit: how many, and how much the image changes without them, beside the median word."""
    if not words:
        return "none"
    idle = [word.truth for word in words if word.shares[3] < limit]
    middle = sorted(word.truth for word in words)[len(words) // 2]
    largest = max(idle, default=0.0)
    return f"{len(idle)} of {len(words)} words, without which the image changes by {largest / middle:.2f} of what it does without the median word, at most"


def ranks(values: list[float]) -> list[float]:
    """Places in ascending order, ties shared."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    for stop in range(1, len(order) + 1):
        if stop == len(order) or values[order[stop]] != values[order[start]]:
            for place in order[start:stop]:
                found[place] = (start + stop - 1) / 2
            start = stop
    return found


def rank_correlation(a: list[float], b: list[float]) -> float:
    """Spearman's."""
    import numpy as np

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1]) if len(a) > 1 else 0.0


def idle_auc(found: list[float], truth: list[float]) -> float:
    """How often an idle word has a smaller value than another one; 0.5 is chance."""
    limit = sorted(truth)[max(1, round(IDLE_PART * len(truth))) - 1]
    idle = [value for value, real in zip(found, truth, strict=True) if real <= limit]
    others = [value for value, real in zip(found, truth, strict=True) if real > limit]
    pairs = [(low < high) + 0.5 * (low == high) for low in idle for high in others]
    return sum(pairs) / max(1, len(pairs))


def _mean_within(words: list[Word], found: list[float]) -> float:
    values = []
    for number in {word.prompt for word in words}:
        some = [place for place, word in enumerate(words) if word.prompt == number]
        if len(some) > 2:
            values.append(rank_correlation([found[p] for p in some], [words[p].truth for p in some]))
    return sum(values) / max(1, len(values))


if __name__ == "__main__":
    bench.find_pack()
    main(sys.argv[1:])
