"""Pictures by the demo model for benchmarks that need many: through CLIPTextEncode and KSampler, batched, in half the time.

    drawer = Drawer(checkpoint)
    pictures = drawer.draw(model, "a red star on sand", seed=1, places=(0, 1, 2, 3), steps=12)

Two things make it quick on a CPU: the attention is torch's fused one (ComfyUI's option --use-pytorch-cross-attention), and latents are
decoded by the checkpoint's own decoder without the channels that are zero in it. Pictures differ by at most one step of 255.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

CFG, SIDE = 4.5, 256


class Drawer:
    """model, clip (traced), encoder and judge of the demo checkpoint."""

    def __init__(self, checkpoint: Path):
        import comfy.ldm.modules.attention as attention
        import nodes
        from safetensors.torch import load_file

        from hrv_pack.host.store import demo_checkpoint
        from hrv_pack.host.text.clip_trace import TextRegistry, trace
        from hrv_pack.tools.train_demo import judge, settings
        from hrv_pack.tools.train_demo.autoencoder import narrow

        attention.optimized_attention = attention.attention_pytorch
        self._nodes = nodes
        self.model, clip, _ = demo_checkpoint.load(checkpoint)
        self.clip = trace(clip, TextRegistry())
        prefix = "first_stage_model."
        tensors = load_file(checkpoint)
        autoencoder = narrow({k.removeprefix(prefix): t for k, t in tensors.items() if prefix in k}).eval()
        self.encoder, self._decoder = autoencoder.taesd_encoder, autoencoder.taesd_decoder
        self._scale = settings.LATENT_SCALE
        self._judge, self._ask = judge.load(), judge

    def draw(self, model, text: str, seed: int, places: Sequence[int], steps: int):
        """Pictures uint8 (picture, height, width, RGB); places: their numbers in the seed's batch, each with noise of its own."""
        import torch

        with torch.inference_mode():
            encode = self._nodes.CLIPTextEncode().encode
            (latent,) = self._nodes.EmptyLatentImage().generate(SIDE, SIDE, len(places))
            latent["batch_index"] = list(places)  # as Latent From Batch says which noise a picture gets
            (sampled,) = self._nodes.KSampler().sample(
                model, seed, steps, CFG, "euler", "normal",
                encode(self.clip, text)[0], encode(self.clip, "")[0], latent,
            )  # fmt: skip
            pictures = self._decoder(sampled["samples"].float() * self._scale)
        return (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()

    def seen(self, pictures, things: int = 1) -> list[tuple[dict[str, str], ...]]:
        """What the judge says of each thing of each picture, left one first."""
        import numpy as np

        if things == 1:
            return [(answer,) for answer in self._ask.ask(self._judge, list(pictures))]
        halves = [np.asarray(half) for picture in pictures for half in self._ask.halves(picture)]
        answers = self._ask.ask(self._judge, halves)
        return list(zip(answers[::2], answers[1::2], strict=True))
