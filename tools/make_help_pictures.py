"""Makes the pictures of the steering nodes' help pages, js/docs/*.jpg, with the demo checkpoint and the pack's own nodes.

    .host/venv/bin/python tools/make_help_pictures.py [NAME …]     adjust_concept, strengthen_concept, attend_excite, edit_colour,
                                                                  edit_kind, scale_heads, weakening, model_effect, word_effect
    .host/venv/bin/python tools/make_help_pictures.py --search     seeds at which the examples of tools/examples.py work

An example is shown as it is only if the judge network sees the wish granted with the node and not without it (a missing thing
there; the new word, all else as before, and less changed outside the object than by the changed prompt alone); where that is no longer
so, the tool says so and stops. Wants a host that dev.py made.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from examples import COLOUR, KIND, LOST_WORD, MISSING, WRONG_SENSE, EditExample, Example, ExciteExample
from help_pictures import Painter, main, row, save

FACTORS = (2.0, 1.0, 0.0, -2.0)
FEW = 5  # numbers of heads in the sweep
WHOLE = {"start_percent": 0.0, "end_percent": 1.0}
STICKER = "a large red star on grass"
WORDS = "a large red star on sand, plain, detailed, high quality, beautiful"
RED_STAR = "a large plain red star on sand"


# -- strengths of a node ----------------------------------------------------------------------------------------


def drawn(painter: Painter, example: Example | ExciteExample, strength: float):
    """The picture with the example's node at this strength; 0: without it."""
    from hrv_pack.nodes.steer.attend_excite import HRVAttendExcite
    from hrv_pack.nodes.steer.steering import HRVAdjustConcept, HRVStrengthenConcept

    model = painter.model
    if strength and isinstance(example, ExciteExample):
        model = HRVAttendExcite.execute(model, example.words, strength, 0.0, 0.5).result[0]
    elif strength:
        settings = {"strength": strength, "clamp": 0.0, "words": example.words, **WHOLE}
        concepts, node = (example.concept,), HRVStrengthenConcept
        if example.unwanted:
            concepts, node = (example.concept, example.unwanted), HRVAdjustConcept
        model = node.execute(model, painter.vectors["votes"], *concepts, **settings).result[0]
    return painter.draw(model, example.prompt, example.seed)


def strengths(painter: Painter, name: str, example: Example | ExciteExample) -> None:
    """Without the node, and with half, the whole and twice the example's strength."""
    shown = [example.strength * part for part in (0.5, 1, 2)]
    pictures = [drawn(painter, example, strength) for strength in (0.0, *shown)]
    save(name, row(pictures, ["without the node", *(f"strength {strength:g}" for strength in shown)]))


def works(painter: Painter, example: Example | ExciteExample | EditExample) -> bool:
    """Whether the wish is granted with the node and not without it, the rest being right both times."""
    if isinstance(example, EditExample):
        return is_one_to_show(painter, example, edited(painter, example))
    things = 2 if isinstance(example, ExciteExample) else example.things
    before, after = (
        painter.look(drawn(painter, example, strength), things) for strength in (0.0, example.strength)
    )
    if isinstance(example, ExciteExample):
        wrong, right = ({one["kind"] for one in seen} == set(example.things) for seen in (before, after))
        return right and not wrong
    return (
        not as_asked(before, example.asked)
        and as_asked(before, *example.kept)
        and as_asked(after, example.asked, *example.kept)
    )


def as_asked(seen: Sequence[dict[str, str]], *wanted: tuple[int, str, str]) -> bool:
    return all(seen[thing][question] == answer for thing, question, answer in wanted)


# -- Edit Prompt ------------------------------------------------------------------------------------------------


def edited(painter: Painter, example: EditExample) -> list:
    """The first picture, and the second by the changed prompt alone, by Edit Prompt, and inside a mask of the noun."""
    import torch
    from editing import word_mask

    from hrv_pack.host.follow.editor import EditOptions, edit
    from hrv_pack.nodes.steer.prompt_edit import HRVRememberRun

    with torch.inference_mode():
        recorded, clip, recording = painter.recorded()
        remembering, clip, memory = HRVRememberRun.execute(recorded, 256, clip).result
        before, after = painter.encode(example.before, example.after, clip=clip)
        (negative,) = painter.encode("")
        first = painter.latent(remembering, (before, negative), example.seed)
        models = [painter.model]
        for mask in (None, word_mask(recording, first, example.noun)):
            options = EditOptions(example.cross, example.own, smaller_grids=False, mask=mask)
            models.append(edit(painter.model, memory, first["samples"], options))
        latents = [painter.latent(model, (after, negative), example.seed) for model in models]
        return [painter.decode(latent) for latent in (first, *latents)]


def is_one_to_show(painter: Painter, example: EditExample, pictures: list) -> bool:
    """Whether the new word is seen in both edited pictures, the rest as before, and less changed outside the object."""
    import numpy as np
    from editing_scenes import object_mask, surroundings

    before, *after = (painter.look(picture)[0] for picture in pictures)
    wanted = {**before, example.question: example.wanted}
    if before[example.question] == example.wanted or any(seen != wanted for seen in after[1:]):
        return False
    levels = [(picture[0] * 255).numpy().astype(np.float32) for picture in pictures]
    outside = surroundings(object_mask(levels[0].round().astype(np.uint8)))
    if not outside.any():
        return False
    plain, *others = (float(np.abs(one - levels[0]).mean(-1)[outside].mean()) for one in levels[1:])
    return max(others) < plain


def edit_prompt(painter: Painter, name: str, example: EditExample) -> None:
    captions = ("first picture", "changed prompt alone", "Edit Prompt", "inside a mask")
    save(name, row(edited(painter, example), captions))


# -- Scale Heads ------------------------------------------------------------------------------------------------


def scaled(painter: Painter, heads, factor: float):
    """A red star, the word's attention multiplied in these heads."""
    from hrv_pack.nodes.steer.steering import HRVScaleHeads

    model = HRVScaleHeads.execute(painter.model, heads, factor, words="red", **WHOLE).result[0]
    return painter.draw(model, RED_STAR, 7)


def scale_heads(painter: Painter) -> None:
    """One word through the heads of its concept, multiplied by several factors."""
    heads = painter.vectors["votes"].select("Colours", 50.0, "most relevant", "equal")
    captions = [f"factor {factor:g}".replace("-", "−") for factor in FACTORS]
    save("scale_heads", row([scaled(painter, heads, factor) for factor in FACTORS], captions))


def model_effect(painter: Painter) -> None:
    """The example what_does_this_lora_do: the image, the same with the demo LoRA, and where it changes."""
    from comfy.sd import load_lora_for_models
    from comfy.utils import load_torch_file

    from hrv_pack.host.facts.paths import DEMO_LORAS
    from hrv_pack.nodes.look.model_effect import HRVModelEffect

    (path,) = DEMO_LORAS.iterdir()
    with_lora, _ = load_lora_for_models(painter.model, None, load_torch_file(str(path)), 1.0, 0)
    recorded, clip, recording = painter.recorded()
    prompts = [*painter.encode(STICKER, clip=clip), *painter.encode("", clip=clip)]
    latent = painter.latent(recorded, prompts, 7)
    image = painter.decode(latent)
    shown = HRVModelEffect.execute(recorded, with_lora, recording, latent, image, caption=False).result[0]
    pictures = [image, painter.draw(with_lora, STICKER, 7), shown]
    save("model_effect", row(pictures, ["the image", "sampled with the LoRA", "What a Model Change Did"]))


def word_effect(painter: Painter) -> None:
    """The example which_words_can_go: where a word acts, and the same prompt sampled without it."""
    from hrv_pack.nodes.look.word_effect import HRVWordEffect

    recorded, clip, recording = painter.recorded()
    prompts = [*painter.encode(WORDS, clip=clip), *painter.encode("", clip=clip)]
    latent = painter.latent(recorded, prompts, 3)
    image = painter.decode(latent)
    shown = HRVWordEffect.execute(
        recorded, clip, recording, latent, "red", "words", "", image, caption=False
    ).result[0]
    pictures = [image, shown, painter.draw(painter.model, WORDS.replace("red ", ""), 3)]
    save("word_effect", row(pictures, ["the image", "what “red” did", "sampled without “red”"]))


def weakening(painter: Painter) -> None:
    """Chart and strip of the example ordered_weakening, with fewer heads."""
    from hrv_pack.hrv.steer.weakening_run import weakening as collect
    from hrv_pack.nodes.research.weakening import HRVHeadSweep

    heads, counts, orders = HRVHeadSweep.execute(painter.vectors["votes"], "Colours", FEW, "both").result
    images = [scaled(painter, some, -2.0) for some in heads]
    result = collect(counts, orders, images=images, title="“red”, weakened by −2")
    save("head_sweep", result.strip)
    save("weakening_curve", result.chart)


EXAMPLES = {
    "adjust_concept": WRONG_SENSE,
    "strengthen_concept": LOST_WORD,
    "attend_excite": MISSING,
    "edit_colour": COLOUR,
    "edit_kind": KIND,
}
PICTURES = {
    name: partial(edit_prompt if isinstance(one, EditExample) else strengths, name=name, example=one)
    for name, one in EXAMPLES.items()
}
PICTURES |= {
    "scale_heads": scale_heads,
    "weakening": weakening,
    "model_effect": model_effect,
    "word_effect": word_effect,
}

if __name__ == "__main__":
    main(__doc__, PICTURES, examples=EXAMPLES, works=works)
