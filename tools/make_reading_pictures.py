"""Makes the pictures of the help pages about choosing heads and reading pictures, js/docs/*.jpg, with the demo checkpoint.

    .host/venv/bin/python tools/make_reading_pictures.py [NAME …]    auto_heads, select_heads, filter_heads, compare_concepts,
                                                                    mask_iou, prompt_report, refine, border_peaks,
                                                                    compare_recordings, xray, also_look_for

The same graphs as in the example workflows on masks, X-ray, report and choosing heads, through the pack's own nodes. Wants a host that dev.py made.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from help_pictures import Painter, main, row, save

SEED, OTHER_SEED = 7, 12
SCENE, WORD = "a red star and a blue fish on sand", "fish"


class Reader(Painter):
    """The demo model behind one Record Attention; pictures are kept by prompt."""

    def __init__(self):
        super().__init__()
        self.model, self.clip, self.attention = self.recorded()
        self._drawn: dict[str, tuple] = {}

    def read(self, prompt: str):
        """(latent, image)."""
        if prompt not in self._drawn:
            latent = self.latent(self.model, self.encode(prompt, ""), SEED)
            self._drawn[prompt] = latent["samples"], self.decode(latent)
        return self._drawn[prompt]

    def heat(self, prompt: str, heads=None):
        """(overlay, soft heat, mask) of the fish, as Attention Heatmap gives them without captions."""
        from hrv_pack.hrv.look.heatmap import Style, heatmaps

        latent, image = self.read(prompt)
        style = Style("per word", 0.4, 0.6, "turbo", False)
        found = heatmaps(self.attention, latent, WORD, "words", image=image, heads=heads, style=style)
        return found.overlay, found.heat, found.mask


def beside(name: str, reader: Reader, choices: dict) -> None:
    """The picture, then the word's heat by each choice of heads."""
    overlays = {caption: reader.heat(SCENE, heads)[0] for caption, heads in choices.items()}
    save(name, row([reader.read(SCENE)[1], *overlays.values()], ["the image", *overlays]))


def auto_heads(reader: Reader) -> None:
    from hrv_pack.hrv.relevance.heads_for_word import choose_heads

    latent, _ = reader.read(SCENE)
    chosen = choose_heads(reader.attention.match(latent), WORD, 23.0).heads
    beside("auto_heads", reader, {"fish, all heads": None, "fish, chosen heads": chosen})


def select_heads(reader: Reader) -> None:
    chosen = reader.vectors["agreement"].select("Objects", 23.0, weighting="balanced")
    beside("select_heads", reader, {"fish, all heads": None, "fish, heads for Objects": chosen})


def filter_heads(reader: Reader) -> None:
    from hrv_pack.hrv.heads import filter

    every = filter.all_heads(reader.attention.layout)
    parts = ("input", "middle", "output")
    beside(
        "filter_heads",
        reader,
        {f"fish, {part}": filter.filter_heads(every, part, "all", "") for part in parts},
    )


def compare_concepts(reader: Reader) -> None:
    from hrv_pack.hrv.look.compare import compare

    latent, image = reader.read("a rose fish on sand")
    vectors, concepts = reader.vectors["votes"], "Objects, Colours"
    save(
        "compare_concepts",
        compare(reader.attention, latent, "rose", vectors, concepts, percent=23.0, image=image).grid,
    )


def mask_iou(reader: Reader) -> None:
    prompt = "a large plain blue fish on sand"
    _, image = reader.read(prompt)
    overlay, _, mask = reader.heat(prompt)
    truth = (1 - image[..., 0] > 0.5).float()
    grey = [one[..., None].expand(-1, -1, -1, 3) for one in (mask, truth)]
    captions = ["the image", "heat of “fish”", "its mask", "the true mask"]
    save("mask_iou", row([image, overlay, *grey], captions))


def refine(reader: Reader) -> None:
    from hrv_pack.hrv.look.heatmap import Style, heatmaps
    from hrv_pack.hrv.relevance.heads_for_word import choose_heads

    latent, image = reader.read(SCENE)
    heads = choose_heads(reader.attention.match(latent), WORD, 23.0).heads
    shown = [image]
    for how in ("none", "image edges"):
        found = heatmaps(
            reader.attention,
            latent,
            WORD,
            "words",
            image=image,
            heads=heads,
            style=Style("per word", caption=False, refine=how),
        )
        shown += [found.overlay] if len(shown) == 1 else []
        shown.append(found.mask[..., None].expand(-1, -1, -1, 3))
    save("refine", row(shown, ["the image", "heat of “fish”", "plain mask", "image edges"]))


def border_peaks(reader: Reader) -> None:
    """The demo model has no such peaks, so they are planted, as the suite truth plants them (--part peaks)."""
    from dataclasses import replace

    from truth_peaks import planted

    from hrv_pack.hrv.look.heatmap import Style, heatmaps
    from hrv_pack.hrv.maps.border_peaks import KEPT, LEFT_OUT

    latent, image = reader.read(SCENE)
    (match,) = reader.attention.match(latent)
    recording, shown = type(reader.attention)(match.run.layout, 2**40), []
    recording.add(
        replace(planted(match, 4.0, 0.5, torch.Generator().manual_seed(SEED)).run, traces=match.run.traces)
    )
    for how in (KEPT, LEFT_OUT):
        style = Style(caption=False, border_peaks=how)
        found = heatmaps(
            recording,
            latent,
            WORD,
            "words",
            image=image,
            maps="best heads for each word",
            style=style,
        )
        shown += [found.overlay, found.mask[..., None].expand(-1, -1, -1, 3)]
    save("border_peaks", row(shown, ["“fish”, kept", "its mask", "“fish”, left out", "its mask"]))


def compare_recordings(reader: Reader) -> None:
    from hrv_pack.hrv.look.compare_runs import Side
    from hrv_pack.hrv.look.compare_runs import compare_recordings as compare
    from hrv_pack.hrv.look.compare_runs_page import comparison_page

    sides = []
    for seed in (SEED, OTHER_SEED):
        latent = reader.latent(reader.model, reader.encode(SCENE, ""), seed)
        sides.append(Side(reader.attention, latent["samples"], reader.decode(latent)))
    save("compare_recordings", comparison_page(compare(*sides, "star, fish")))


def xray(reader: Reader) -> None:
    """A rendered image, which the model did not make."""
    found = _xray(reader, described=2)
    save("xray", row([found.image, *found.overlays], ["an image", *(f"“{word}”" for word in found.words)]))


def also_look_for(reader: Reader) -> None:
    """The same with a prompt that names the left thing alone; the right one's noun is asked for."""
    found = _xray(reader, described=1)
    one, other = found.words
    save(
        "also_look_for",
        row([found.image, *found.overlays], ["an image", f"“{one}”", f"“{other}”, not in the prompt"]),
    )


class _Xray(NamedTuple):
    image: torch.Tensor
    words: list[str]
    overlays: torch.Tensor


def _xray(reader: Reader, described: int) -> _Xray:
    """A rendered image of two things, of which so many are in its description; the others are looked for as well."""
    from dataclasses import replace

    from hrv_pack.host.effect.image_record import record_image
    from hrv_pack.host.text.asked_words import asked_words
    from hrv_pack.hrv.look.heatmap import Style, heatmaps
    from hrv_pack.tools.train_demo.draw import render
    from hrv_pack.tools.train_demo.world import full_caption, sample_scene

    rng = np.random.default_rng(SEED)
    scene = next(scene for scene in iter(lambda: sample_scene(rng), None) if len(scene.things) == 2)
    picture, _ = render(scene)
    image = torch.from_numpy(picture)[None].float() / 255
    words = [thing.kind for thing in scene.things]
    (positive,) = reader.encode(full_caption(replace(scene, things=scene.things[:described])))
    latent = reader.of_picture(picture)
    asked = asked_words(reader.clip, ", ".join(words[described:]))
    attention = record_image(
        reader.model, positive, latent, moments=5, seed=0, asked=asked, progress=lambda *_: None
    )
    found = heatmaps(attention, latent["samples"], ", ".join(words), image=image, style=Style(caption=False))
    return _Xray(image, words, found.overlay[:, None])


def prompt_report(reader: Reader) -> None:
    from hrv_pack.hrv.report.report import report

    latent, image = reader.read("a red star, a blue fish and a yellow cat on sand")
    save("prompt_report", report(reader.attention, latent, image, "words").grid)


PICTURES = {
    make.__name__: make
    for make in (
        auto_heads,
        select_heads,
        filter_heads,
        compare_concepts,
        mask_iou,
        prompt_report,
        refine,
        border_peaks,
        compare_recordings,
        xray,
        also_look_for,
    )
}

if __name__ == "__main__":
    main(__doc__, PICTURES, Reader)
