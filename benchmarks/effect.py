"""What each word did, asked in a few evaluations, against the plain answer: sampling again without the word, from the same seed.

    python3 dev.py bench --suite effect              63 prompts of the demo model's world, writes docs/results.md
    python3 dev.py bench --suite effect --quick      a few, to see that it runs; writes nothing

Prompts are of three kinds in turn: two things with all attributes, one thing, and tags, among them two of praise that the model has
never seen. The truth of a word is how far the final latent moves (root mean square), and in each pixel likewise. The formula and the limit
for idle words were chosen on prompts of another seed (960001). "Idle" words are the fifth of all words without which the image moves least.

Also: how ten other words in the place of one are ranked (`replace_with`), what ten strengths of the demo LoRA do, and what an answer for ten
words costs beside an image of 20 steps.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import bench
import suite
from studio import CFG

SEED = 966_001  # training and the other benchmarks draw from other seeds
KINDS = ("two things", "one thing", "tags")
MOMENTS = (1, 3, 6)
IDLE_PART = 0.2
STRENGTHS = [number / 10 for number in range(1, 11)]
NOTHING = 0.2  # of how far the image moves without the median word
PRAISE = ("masterpiece", "best quality")


@dataclass(frozen=True)
class Word:
    """prompt: number of its prompt. truth: how far the latent moves without it. said: predictor → what it says. pixels: correlation
    over pixels of the map at three moments with where the latent moves. ignored: whether the report calls it that by attention."""

    prompt: int
    name: str
    truth: float
    said: dict[str, float]
    pixels: float
    ignored: bool


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    suite.start(options.threads)
    from studio import Studio

    studio = Studio(options.checkpoint)
    parts = {"words": words_part, "replaced": replaced_part, "models": models_part, "cost": cost_part}
    for name, part in parts.items():
        if options.part in (name, "all"):
            suite.publish(f"effect {name}", part(studio, options), options)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = suite.parser("effect", __doc__)
    parser.add_argument("--part", choices=("all", "words", "replaced", "models", "cost"), default="all")
    parser.add_argument("--prompts", type=int, default=63)
    parser.add_argument(
        "--replaced", type=int, default=20, help="words that ten others are put in the place of"
    )
    parser.add_argument("--models", type=int, default=10, help="images that the demo LoRA is asked about")
    parser.add_argument("--steps", type=int, default=10, help="euler steps of an image")
    return suite.parse(parser, arguments, prompts=3, replaced=1, models=1, steps=4)


class Run:
    """One image of the demo model, recorded, and the same again with another prompt or model."""

    def __init__(self, studio, text: str, number: int, steps: int):
        self.studio, self.text, self.steps, self.seed = studio, text, steps, SEED + number
        self.model, self.clip, self.recording = studio.recorded()
        start = time.monotonic()
        self.latent = self._sample(self.model, *studio.encode(text, clip=self.clip))
        self.seconds = time.monotonic() - start

    def _sample(self, model, positive):
        empty = self.studio.empty()
        return self.studio.sample(
            model, positive, *self.studio.encode(""), empty, self.seed, self.steps, CFG
        )["samples"]

    def moved(self, text: str | None = None, model=None):
        """How far each pixel of the latent moves with another text or model: (height, width)."""
        after = self._sample(model or self.studio.model, *self.studio.encode(text or self.text))
        return (after - self.latent).double().square().sum((0, 1)).sqrt()

    def ask(self, **question):
        """What each word did."""
        from hrv_pack.host.effect.word_effects import Question, word_effects

        asked = Question(**question)
        return word_effects(
            self.model, self.clip, self.recording, self.latent, asked, progress=lambda done, total: None
        ).effects[0]


def distance(moved) -> float:
    """Root mean square over pixels."""
    return float(moved.square().mean()) ** 0.5


def prompt_of(number: int, rng) -> str:
    """A prompt of the kind whose turn it is."""
    from hrv_pack.tools.train_demo import world

    kind = KINDS[number % len(KINDS)]
    scene = world.sample_scene(rng, two_objects=float(kind == KINDS[0]))
    if kind != "tags":
        return world.full_caption(scene)
    (thing,) = scene.things
    tags = [thing.kind, thing.colour, thing.pattern, thing.size, scene.background, *PRAISE]
    rng.shuffle(tags)
    weighted = [f"({tags[0]}:1.3)", *tags[1:]] if rng.random() < 0.4 else tags
    return ", ".join(weighted)


def words_part(studio, options) -> str:
    import numpy as np

    rng, progress = np.random.default_rng(SEED), suite.counter("prompts", options.prompts)
    words = []
    for number in range(options.prompts):
        words += words_of(Run(studio, prompt_of(number, rng), number, options.steps), number)
        progress(number + 1)
    return words_table(words, options)


def words_of(run: Run, number: int) -> list[Word]:
    import numpy as np
    from studio import target_of

    from hrv_pack.hrv.effect.words import typed_words
    from hrv_pack.hrv.maps.gathering import strength_and_mean
    from hrv_pack.hrv.maps.word_maps import word_maps
    from hrv_pack.hrv.report.evidence import examine
    from hrv_pack.hrv.report.findings import ignored_words

    found = {moments: run.ask(moments=moments) for moments in MOMENTS}
    typed, (match,) = typed_words([run.text]), run.recording.match(run.latent)
    entries = match.run.of_role("positive")
    evidence = examine(match, entries, [entry.prompt for entry in entries], "auto")
    ignored = {name for finding in ignored_words(evidence) for name in finding.words}
    words = []
    for place, name in enumerate(found[3].names):
        moved = run.moved(typed.without(typed.prompt.find(name).columns)[run.text])
        strength, mean = strength_and_mean(word_maps(match, [target_of(match, name)]))
        said = {
            "attention, in the word's place": float(strength),
            "attention, mean over the image": float(mean),
        }
        for moments, effects in found.items():
            said[f"effect, {moments} moment{'s' * (moments > 1)}"] = float(effects.shares[place])
        heat = found[3].maps[place].flatten().numpy()
        pixels = (
            float(np.corrcoef(heat, moved.flatten().numpy())[0, 1]) if heat.std() and moved.std() else 0.0
        )
        words.append(Word(number, name, distance(moved), said, pixels, name in ignored))
    return words


def words_table(words: list[Word], options) -> str:
    truth = [word.truth for word in words]
    lines = [
        "| predictor | rank correlation over all words | mean within a prompt | AUC for idle words | "
        + " | ".join(KINDS)
        + " |",
        "|---|---|---|---|" + "---|" * len(KINDS),
    ]
    for name in words[0].said:
        found = [word.said[name] for word in words]
        kinds = [_of_kind(words, name, kind) for kind in range(len(KINDS))]
        figures = [rank_correlation(found, truth), _mean_within(words, found), idle_auc(found, truth), *kinds]
        lines.append(f"| {name} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |")
    pixels = sum(word.pixels for word in words) / len(words)
    lines += [
        "",
        f"{len(words)} words of {len({w.prompt for w in words})} prompts, euler, {options.steps} steps, CFG {CFG}; the last columns are "
        "rank correlations within one kind of prompt. Correlation over pixels of a word's map at 3 moments with where the image moves "
        f"without it: {pixels:.2f} on average.",
        "",
        _called(words),
    ]
    return "\n".join(lines)


def _of_kind(words: list[Word], name: str, kind: int) -> float:
    some = [word for word in words if word.prompt % len(KINDS) == kind]
    return rank_correlation([word.said[name] for word in some], [word.truth for word in some])


def _called(words: list[Word]) -> str:
    """Of the words under the limit: how many, and how far the image moves without them, beside the median word."""
    from hrv_pack.hrv.effect.effect import IDLE

    middle = sorted(word.truth for word in words)[len(words) // 2]
    really = {id(word) for word in words if word.truth < NOTHING * middle}
    effect = [word for word in words if word.said["effect, 3 moments"] < IDLE]
    most = max((word.truth for word in effect), default=0.0) / middle
    right = {
        name: (len(called), sum(id(word) in really for word in called))
        for name, called in (("attention", [word for word in words if word.ignored]), ("effect", effect))
    }
    return (
        f"Can go (share below {IDLE:.0%}): {len(effect)} of the words. Without any one of them the image moves at most {most:.2f} "
        f"times as far as without the median word. Words without which it moves less than {NOTHING} times as far: {len(really)}. Prompt Report "
        f"calls ignored, by attention alone: {right['attention'][0]} words, {right['attention'][1]} of them rightly; with `model` and `clip` connected: "
        f"{right['effect'][0]}, {right['effect'][1]} of them rightly."
    )


def replaced_part(studio, options) -> str:
    """Ten words in the place of one: does `replace_with` rank them as sampling does?"""
    import numpy as np

    from hrv_pack.tools.train_demo import world

    rng, found = np.random.default_rng(SEED + 1), []
    progress = suite.counter("words replaced", options.replaced)
    for number in range(options.replaced):
        scene = world.sample_scene(rng, two_objects=float(number % 2))
        thing = scene.things[0]
        run = Run(studio, world.full_caption(scene), 1000 + number, options.steps)
        name, pool = ((thing.kind, world.KINDS), (thing.colour, tuple(world.COLOURS)))[number // 2 % 2]
        others = [*rng.permutation([word for word in pool if word != name])[:8], "small", "masterpiece"]
        first = run.text.split().index(name)
        called = name if run.text.split().count(name) == 1 else f"{name}#1"
        said, truth = [], []
        for other in others:
            exchanged = run.text.split()
            exchanged[first] = other
            said.append(float(run.ask(words=called, instead=other).shares[0]))
            truth.append(distance(run.moved(" ".join(exchanged))))
        found.append(rank_correlation(said, truth))
        progress(number + 1)
    return (
        f"`replace_with`: ten words in the place of one noun or colour are ranked as sampling ranks them with a mean rank correlation of "
        f"{sum(found) / len(found):.2f} ({len(found)} words)."
    )


def models_part(studio, options) -> str:
    """Ten strengths of the demo LoRA, which puts a white border around things."""
    import numpy as np
    from comfy.sd import load_lora_for_models
    from comfy.utils import load_torch_file

    from hrv_pack.host.effect.model_effects import model_effects
    from hrv_pack.tools.train_demo import world

    lora = load_torch_file(str(bench.ROOT / "hrv_data" / "demo" / "loras" / "hrv_demo_sticker.safetensors"))
    rng, steady, ranked, pixels = np.random.default_rng(SEED + 2), 0, [], []
    for number in range(options.models):
        run = Run(studio, world.full_caption(world.sample_scene(rng)), 2000 + number, options.steps)
        said, truth = [], []
        for strength in STRENGTHS:
            other, _ = load_lora_for_models(studio.model, None, lora, strength, 0)
            (change,) = model_effects(
                run.model,
                other,
                run.recording,
                run.latent,
                instead={},
                moments=3,
                progress=lambda done, total: None,
            ).changes
            moved = run.moved(model=other)
            said.append(change.amount)
            truth.append(distance(moved))
        pixels.append(float(np.corrcoef(change.map.flatten().numpy(), moved.flatten().numpy())[0, 1]))
        steady += said == sorted(said)
        ranked.append(rank_correlation(said, truth))
    return (
        f"What a Model Change Did, ten strengths of the demo LoRA: the amount grows with the strength in {steady} of {options.models} images; "
        f"rank correlation with how far the sampled image moves {sum(ranked) / len(ranked):.2f}; correlation over pixels at strength 1: "
        f"{sum(pixels) / len(pixels):.2f}."
    )


def cost_part(studio, options) -> str:
    """Ten words at three moments, beside an image of 20 steps; and what fifty words take of the memory beside ten."""
    import resource

    text = "a picture with a small dotted red cat and a medium striped blue fish on sand"
    ratios, peaks = [], []
    for number in range(2 if options.quick else 6):
        run = Run(studio, text, 3000 + number, 2 * options.steps)
        start = time.monotonic()
        asked = len(run.ask().names)
        ratios.append((time.monotonic() - start) / run.seconds)
    for names in (10, 50):
        run.ask(words=", ".join(["cat", "fish", "red", "blue", "sand"] * (names // 5)))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return (
        f"Cost: all {asked} words of a prompt at 3 moments take {sorted(ratios)[len(ratios) // 2]:.2f} times as long as its image of "
        f"{2 * options.steps} steps (median of {len(ratios)}). Fifty words take {peaks[1] - peaks[0]:.0f} MB more than ten at the peak."
    )


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
