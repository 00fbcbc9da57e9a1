"""The demo model with ComfyUI's own nodes around it, and the judge: for suites and for the makers of pictures in tools/.

studio = Studio()
latent = studio.sample(studio.model, *studio.encode("a red star on sand", ""), studio.empty(), seed=1, steps=12)
studio.seen(studio.pictures(latent))                # what the judge says of them
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from suite import CHECKPOINT

CFG, SIDE = 4.5, 256


class Studio:
    """parts: (model, clip, vae) of another model than the demo checkpoint. every: how often Record Attention records, 0 as often as it
    can be afforded."""

    def __init__(self, checkpoint: Path = CHECKPOINT, parts=None, every: int = 0):
        import nodes

        from hrv_pack.host.store import demo_checkpoint

        self.nodes, self.every = nodes, every
        self.model, self.clip, self.vae = parts or demo_checkpoint.load(checkpoint)

    @torch.inference_mode()
    def encode(self, *texts: str, clip=None) -> list:
        """What CLIPTextEncode gives for each."""
        return [self.nodes.CLIPTextEncode().encode(clip or self.clip, text)[0] for text in texts]

    def empty(self, batch: int = 1, side: int = SIDE) -> dict:
        return self.nodes.EmptyLatentImage().generate(side, side, batch)[0]

    @torch.inference_mode()
    def of_picture(self, picture) -> dict:
        """The latent of a picture uint8 (height, width, RGB)."""
        return self.nodes.VAEEncode().encode(self.vae, torch.from_numpy(picture)[None].float() / 255)[0]

    @torch.inference_mode()
    def sample(self, model, positive, negative, latent: dict, seed: int, steps: int, cfg: float = CFG,
               denoise: float = 1.0, how: tuple[str, str] = ("euler", "normal")) -> dict:  # fmt: skip
        """What KSampler gives."""
        sampler = self.nodes.KSampler()
        return sampler.sample(model, seed, steps, cfg, *how, positive, negative, latent, denoise)[0]

    @torch.inference_mode()
    def decode(self, latent: dict) -> torch.Tensor:
        """float32 (picture, height, width, RGB) in 0..1."""
        return self.nodes.VAEDecode().decode(self.vae, latent)[0].clamp(0, 1)

    def pictures(self, latent: dict):
        """uint8 (picture, height, width, RGB)."""
        return to_bytes(self.decode(latent))

    def recorded(self, part: tuple[float, float] = (0.0, 1.0), after: tuple | None = None, limit: int = 512):
        """(model, clip, recording) of a fresh Record Attention that records this part of the schedule, behind another one's
        (model, clip) if given."""
        from hrv_pack.nodes.look.record import HRVRecordAttention

        model, clip = after or (self.model, self.clip)
        return HRVRecordAttention.execute(model, *part, 1, False, limit, clip, every=self.every).result

    @functools.cached_property
    def _judge(self):
        from hrv_pack.tools.train_demo import judge

        return judge, judge.load()

    def seen(self, pictures, things: int = 1) -> list[tuple[dict[str, str], ...]]:
        """What the judge says of each of one or two things of each picture, uint8, left one first."""
        judge, network = self._judge
        views = [view for one in pictures for view in ((one,) if things == 1 else judge.halves(one))]
        answers = judge.ask(network, views)
        return list(zip(*(answers[place::things] for place in range(things))))


class QuickStudio(Studio):
    """For many pictures, in half the time on a CPU: the attention is torch's fused one (ComfyUI's --use-pytorch-cross-attention),
    and latents are decoded without the channels that are zero. Pictures differ by at most one step of 255. The CLIP is traced."""

    def __init__(self, checkpoint: Path = CHECKPOINT):
        import comfy.ldm.modules.attention as attention
        from safetensors.torch import load_file

        from hrv_pack.host.text.clip_trace import TextRegistry, trace
        from hrv_pack.tools.train_demo import settings
        from hrv_pack.tools.train_demo.autoencoder import narrow

        super().__init__(checkpoint)
        attention.optimized_attention = attention.attention_pytorch
        self.clip = trace(self.clip, TextRegistry())
        prefix = "first_stage_model."
        tensors = load_file(checkpoint)
        autoencoder = narrow({k.removeprefix(prefix): t for k, t in tensors.items() if prefix in k}).eval()
        self.encoder, self._decoder = autoencoder.taesd_encoder, autoencoder.taesd_decoder
        self._scale = settings.LATENT_SCALE

    def draw(self, model, text: str, seed: int, places: Sequence[int], steps: int):
        """Pictures, uint8; places: their numbers in the seed's batch, each with noise of its own."""
        latent = self.empty(len(places))
        latent["batch_index"] = list(places)  # as Latent From Batch says which noise a picture gets
        sampled = self.sample(model, *self.encode(text, ""), latent, seed, steps)
        with torch.inference_mode():
            pictures = self._decoder(sampled["samples"].float() * self._scale)
        return to_bytes(pictures.clamp(0, 1).permute(0, 2, 3, 1))


def to_bytes(pictures: torch.Tensor):
    """0..1 → uint8."""
    return (pictures * 255).round().byte().numpy()


def target_of(match, word: str):
    """The columns of a word in a run's positive prompts."""
    from hrv_pack.hrv.maps.lookup import find_word

    entries = match.run.of_role("positive")
    return find_word(word, entries, [entry.prompt for entry in entries])
