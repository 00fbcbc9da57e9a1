"""Rendered scenes with exactly known masks, redrawn by the demo model while Record Attention records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import studio
import torch

from hrv_pack.tools.train_demo.draw import render
from hrv_pack.tools.train_demo.world import full_caption, sample_scene

STEPS, DENOISE = 10, 0.5
LEVELS = (
    0.05,
    0.15,
    0.25,
    0.35,
    0.45,
    0.55,
    0.65,
    0.75,
    0.85,
    0.95,
)  # of the schedule, where the model looks at a picture
THRESHOLDS = (0.3, 0.4, 0.5)
WHOLE = (0.0, 1.0)  # of the schedule


@dataclass(frozen=True)
class Seen:
    """One object of a scene after sampling.

    word: its noun in the prompt; match: the run of its picture; mask: bool (height, width), of the rendered scene; stayed: whether the judge still finds the noun in the picture.
    """

    word: str
    match: object
    mask: torch.Tensor
    stayed: bool


class Studio(studio.Studio):
    """The demo model behind Record Attention."""

    def draw_and_record(
        self, text: str, latent: dict, seed: int, steps: int, denoise: float, parts: Sequence
    ):
        """(pictures uint8 (batch, height, width, RGB), one recording for each of these parts of the schedule, as a list of
        matches): KSampler's result, decoded."""
        model, clip, recordings = self.model, self.clip, []
        for part in parts:
            model, clip, recording = self.recorded(part, (model, clip))
            recordings.append(recording)
        sampled = self.sample(model, *self.encode(text, "", clip=clip), latent, seed, steps, denoise=denoise)
        found = [recording.match(sampled["samples"]) for recording in recordings]
        if not all(match.exact for matches in found for match in matches):
            raise SystemExit("The recording does not know the latent that the sampler gave.")
        return self.pictures(sampled), found

    def redraw(self, scene, seed: int) -> list[Seen]:
        """The scene's objects after encoding its picture and sampling at moderate denoise with its full caption."""
        picture, masks = render(scene)
        text = full_caption(scene)
        drawn, ((match,),) = self.draw_and_record(
            text, self.of_picture(picture), seed, STEPS, DENOISE, (WHOLE,)
        )
        (answers,) = self.seen(drawn, len(scene.things))
        return [
            Seen(
                noun_of(text, index),
                match,
                torch.from_numpy(masks[index]),
                answers[index]["kind"] == thing.kind,
            )
            for index, thing in enumerate(scene.things)
        ]

    def looked_at(self, picture, text: str, seed: int):
        """The match of a run in which the model sees a picture under noise of LEVELS, without changing it: the whole schedule, and
        everything stays where it is. picture: uint8 (height, width, RGB)."""
        from comfy.samplers import KSAMPLER
        from comfy_extras.nodes_custom_sampler import SamplerCustom

        model, clip, recording = self.recorded(WHOLE)
        latent = self.of_picture(picture)
        base = model.get_model_object("model_sampling")
        sigmas = torch.tensor([base.percent_to_sigma(level) for level in LEVELS] + [0.0])
        clean = model.model.process_latent_in(latent["samples"])

        def look(denoiser, start, levels, extra_args, **_):
            noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
            for level in levels[:-1]:
                denoiser(base.noise_scaling(level, noise, clean), level.expand(len(clean)), **extra_args)
            return clean

        positive, negative = self.encode(text, "", clip=clip)
        with torch.inference_mode():
            result = SamplerCustom.execute(
                model, False, seed, 1.0, positive, negative, KSAMPLER(look), sigmas, latent
            ).result
        (match,) = recording.match(result[0]["samples"])
        return match


def numbered(text: str, position: int) -> str:
    """The word at this place of the text, as reading nodes know it: `star#2` is the second star."""
    words = text.split()
    return f"{words[position]}#{words[: position + 1].count(words[position])}"


def noun_of(text: str, index: int) -> str:
    """ "a large striped red star and a small plain blue fish on grass": the 5th and the 11th word."""
    return numbered(text, 4 + 6 * index)


def scenes(count: int, seed: int):
    """`count` scenes of the demo world."""
    rng = np.random.default_rng(seed)
    return [sample_scene(rng) for _ in range(count)]


def iou(heat: torch.Tensor, mask: torch.Tensor) -> list[float]:
    """Intersection over union of the word's mask at each threshold, as Attention Heatmap cuts it."""
    from hrv_pack.hrv.maps.bicubic import resize
    from hrv_pack.hrv.maps.mask import threshold_mask

    large = resize(heat[None], tuple(mask.shape))
    found = [threshold_mask(large, threshold)[0] > 0 for threshold in THRESHOLDS]
    return [float((one & mask).sum() / (one | mask).sum()) for one in found]
