"""Draws the wishes of benchmarks/mending_cases.py with the pack's nodes and KSampler, and asks the judge.

What the judge said is kept in /tmp for each checkpoint, so that a run that was broken off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from mending_cases import Answers, Wish

CFG, SIDE = 4.5, 256
LEFT = {"start_percent": 0.0, "end_percent": 1.0}
EVERY_HEAD, EXCITE = "all heads alike", "Attend and Excite"


@dataclass(frozen=True)
class Treatment:
    """kind: "plain", "relevance" (Strengthen Concept, or Adjust Concept for a word with two senses), EVERY_HEAD (Scale Heads
    with every head) or EXCITE. source: which vectors; empty for none. amount: the node's strength, or its factor."""

    kind: str
    source: str = ""
    amount: float = 0.0

    @property
    def name(self) -> str:
        return {"plain": "unsteered", "relevance": f"by {self.source}"}.get(self.kind, self.kind) + (
            f", heads by {self.source}" if self.kind == EXCITE and self.source else ""
        )


PLAIN = Treatment("plain")


class Studio:
    """The demo model, head relevance by name, and the judge.

    The attention is torch's fused one and the decoder the checkpoint's without its zero channels: the same pictures to one step
    of 255, in half the time on a CPU.
    """

    def __init__(self, checkpoint: Path, vectors: dict[str, Path], steps: int):
        import comfy.ldm.modules.attention as attention
        import nodes
        from safetensors.torch import load_file

        from hrv_pack.host import demo_checkpoint
        from hrv_pack.host.clip_trace import TextRegistry, trace
        from hrv_pack.hrv import vector_files
        from hrv_pack.tools.train_demo import judge, settings
        from hrv_pack.tools.train_demo.autoencoder import narrow

        attention.optimized_attention = attention.attention_pytorch
        self.nodes, self.steps = nodes, steps
        self.model, clip, _ = demo_checkpoint.load(checkpoint)
        self.clip = trace(clip, TextRegistry())
        self.vectors = {name: vector_files.read(path) for name, path in vectors.items()}
        prefix = "first_stage_model."
        tensors = load_file(checkpoint)
        autoencoder = narrow({k.removeprefix(prefix): t for k, t in tensors.items() if prefix in k}).eval()
        self.encoder, self._decoder = autoencoder.taesd_encoder, autoencoder.taesd_decoder
        self._scale = settings.LATENT_SCALE
        self.judge, self._ask = judge.load(), judge
        digest = hashlib.sha256(checkpoint.read_bytes())
        for name in sorted(vectors):
            digest.update(name.encode() + vectors[name].read_bytes())
        self._kept = Path("/tmp/hrv_mending") / f"{digest.hexdigest()[:12]}_{steps}.jsonl"
        self._kept.parent.mkdir(exist_ok=True)
        lines = self._kept.read_text().splitlines() if self._kept.is_file() else ()
        self._known: dict[str, list] = dict(json.loads(line) for line in lines)

    def seen(
        self, wish: Wish, words: tuple[str, ...], how: Treatment, seed: int, places: tuple[int, ...]
    ) -> list[Answers]:
        """What the judge sees in these pictures of a batch; places: their numbers in it. words: those that are steered."""
        keys = [json.dumps([wish.text, words, how.kind, how.source, how.amount, seed, p]) for p in places]
        if how == PLAIN:
            keys = [json.dumps([wish.text, seed, p]) for p in places]
        if not all(key in self._known for key in keys):
            pictures = self.draw(wish, words, how, seed, places)
            with self._kept.open("a") as file:
                for key, seen in zip(keys, self._judged(pictures, wish.things), strict=True):
                    self._known[key] = seen
                    file.write(json.dumps([key, seen]) + "\n")
        return [tuple(self._known[key]) for key in keys]

    def draw(self, wish: Wish, words: tuple[str, ...], how: Treatment, seed: int, places: tuple[int, ...]):
        """Pictures uint8 (picture, height, width, RGB)."""
        import torch

        with torch.inference_mode():
            model = self.treated(wish, words, how)
            encode = self.nodes.CLIPTextEncode().encode
            (latent,) = self.nodes.EmptyLatentImage().generate(SIDE, SIDE, len(places))
            latent["batch_index"] = list(places)  # as Latent From Batch says which noise a picture gets
            (sampled,) = self.nodes.KSampler().sample(
                model, seed, self.steps, CFG, "euler", "normal",
                encode(self.clip, wish.text)[0], encode(self.clip, "")[0], latent,
            )  # fmt: skip
            pictures = self._decoder(sampled["samples"].float() * self._scale)
        return (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()

    def treated(self, wish: Wish, words: tuple[str, ...], how: Treatment):
        """The model behind the node that this treatment stands for."""
        import torch

        from hrv_pack.hrv.heads import HeadSelection
        from hrv_pack.nodes.attend_excite import HRVAttendExcite
        from hrv_pack.nodes.steering import HRVAdjustConcept, HRVScaleHeads, HRVStrengthenConcept

        names, vectors = ", ".join(words), self.vectors.get(how.source)
        if how == PLAIN:
            return self.model
        if how.kind == EXCITE:
            given = {} if vectors is None else {"vectors": vectors, "concept": wish.concept}
            out = HRVAttendExcite.execute(self.model, names, how.amount, 0.0, 0.5, **given)
        elif how.kind == EVERY_HEAD:
            layout = next(iter(self.vectors.values())).layout
            heads = HeadSelection(layout, torch.ones(layout.heads), "every head")
            out = HRVScaleHeads.execute(self.model, heads, how.amount, words=names, **LEFT)
        elif wish.unwanted is not None:
            out = HRVAdjustConcept.execute(
                self.model, vectors, wish.concept, wish.unwanted, how.amount, 0.0, words=names, **LEFT
            )
        else:
            out = HRVStrengthenConcept.execute(
                self.model, vectors, wish.concept, how.amount, 0.0, words=names, **LEFT
            )
        return out.result[0]

    def _judged(self, pictures, things: int) -> list[Answers]:
        import numpy as np

        if things == 1:
            return [(answer,) for answer in self._ask.ask(self.judge, list(pictures))]
        halves = [np.asarray(half) for picture in pictures for half in self._ask.halves(picture)]
        answers = self._ask.ask(self.judge, halves)
        return list(zip(answers[::2], answers[1::2], strict=True))
