"""Rendered scenes with exactly known masks, redrawn by the demo model while Record Attention records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

STEPS, CFG, DENOISE = 10, 4.5, 0.5
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


class Studio:
    """The demo model behind Record Attention, and the nodes that a graph would have."""

    def __init__(self, checkpoint):
        import nodes

        from hrv_pack.host.store import demo_checkpoint
        from hrv_pack.nodes.look.record import HRVRecordAttention
        from hrv_pack.tools.train_demo import judge

        self.nodes, self.record = nodes, HRVRecordAttention
        self.model, self.clip, self.vae = demo_checkpoint.load(checkpoint)
        self.judge, self.ask = judge.load(), judge
        self.layout = self.recorder()[2].layout

    def recorder(self, part: tuple[float, float] = WHOLE, after: tuple | None = None):
        """(model, clip, recording) of a fresh Record Attention node that records this part of the schedule, behind another one's
        (model, clip) if given."""
        model, clip = after or (self.model, self.clip)
        return self.record.execute(model, *part, 1, False, 512, clip).result

    def draw(self, text: str, latent: dict, seed: int, steps: int = STEPS, denoise: float = DENOISE):
        """(pictures uint8 (batch, height, width, 3), matches): KSampler's result, decoded, and its recording."""
        pictures, (matches,) = self.draw_and_record(text, latent, seed, steps, denoise, (WHOLE,))
        return pictures, matches

    @torch.inference_mode()
    def draw_and_record(
        self, text: str, latent: dict, seed: int, steps: int, denoise: float, parts: Sequence
    ):
        """The same with one recording, a list of matches, for each of these parts of the schedule."""
        model, clip, recordings = self.model, self.clip, []
        for part in parts:
            model, clip, recording = self.recorder(part, (model, clip))
            recordings.append(recording)
        encode = self.nodes.CLIPTextEncode().encode
        (sampled,) = self.nodes.KSampler().sample(
            model,
            seed,
            steps,
            CFG,
            "euler",
            "normal",
            encode(clip, text)[0],
            encode(clip, "")[0],
            latent,
            denoise,
        )
        pictures = self.nodes.VAEDecode().decode(self.vae, sampled)[0]
        found = [recording.match(sampled["samples"]) for recording in recordings]
        if not all(match.exact for matches in found for match in matches):
            raise SystemExit("The recording does not know the latent that the sampler gave.")
        return (pictures.clamp(0, 1) * 255).round().byte().numpy(), found

    @torch.inference_mode()
    def redraw(self, scene, seed: int) -> list[Seen]:
        """The scene's objects after encoding its picture and sampling at moderate denoise with its full caption."""
        from hrv_pack.tools.train_demo.world import full_caption, render

        picture, masks = render(scene)
        (latent,) = self.nodes.VAEEncode().encode(self.vae, torch.from_numpy(picture)[None].float() / 255)
        text = full_caption(scene)
        (drawn,), (match,) = self.draw(text, latent, seed)
        views = self.ask.halves(drawn) if len(scene.things) > 1 else [drawn]
        answers = self.ask.ask(self.judge, list(views))
        return [
            Seen(
                noun_of(text, index),
                match,
                torch.from_numpy(masks[index]),
                answers[index]["kind"] == thing.kind,
            )
            for index, thing in enumerate(scene.things)
        ]


def numbered(text: str, position: int) -> str:
    """The word at this place of the text, as reading nodes know it: `star#2` is the second star."""
    words = text.split()
    return f"{words[position]}#{words[: position + 1].count(words[position])}"


def noun_of(text: str, index: int) -> str:
    """ "a large striped red star and a small plain blue fish on grass": the 5th and the 11th word."""
    return numbered(text, 4 + 6 * index)


def scenes(count: int, seed: int):
    """`count` scenes of the demo world."""
    from hrv_pack.tools.train_demo.world import sample_scene

    rng = np.random.default_rng(seed)
    return [sample_scene(rng) for _ in range(count)]


def iou(heat: torch.Tensor, mask: torch.Tensor) -> list[float]:
    """Intersection over union of the word's mask at each threshold, as Attention Heatmap cuts it."""
    from hrv_pack.hrv.maps.bicubic import resize
    from hrv_pack.hrv.maps.mask import threshold_mask

    large = resize(heat[None], tuple(mask.shape))
    found = [threshold_mask(large, threshold)[0] > 0 for threshold in THRESHOLDS]
    return [float((one & mask).sum() / (one | mask).sum()) for one in found]
