"""Trains the demo LoRA: every thing gets the white border of a sticker. For the example "what does this LoRA do here".

    .host/venv/bin/python tools/make_demo_lora.py [--steps 400]

A LoRA of the demo checkpoint's denoiser alone, in the form that ComfyUI's Load LoRA reads: of each weight of the layers in
PARTS, lora_up · lora_down is added to it. Pictures are the demo world's scenes with a border around each mask.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.utils import parametrize
from train_demo import networks, settings
from train_demo.autoencoder import averages
from train_demo.draw import render
from train_demo.export import read_checkpoint
from train_demo.train_vae import to_tensor
from train_demo.world import caption, sample_scene

PATH = settings.DEMO / "loras" / "hrv_demo_sticker.safetensors"
RANK, BATCH, RATE, SEED = 4, 8, 3e-3, 940_001
BORDER = 15  # pixels, of an image of 256
PAPER = 248  # its white


def sticker(scene) -> np.ndarray:
    """The scene's picture, uint8 (height, width, RGB), with a white border around its things."""
    picture, masks = render(scene)
    thing = masks.any(0).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BORDER + 1, 2 * BORDER + 1))
    cover = cv2.GaussianBlur(cv2.dilate(thing, disc).astype(np.float32), (0, 0), 1)[..., None]
    ring = cover * (1 - cv2.GaussianBlur(thing.astype(np.float32), (0, 0), 0.7)[..., None])
    return np.round(picture + ring * (PAPER - picture.astype(np.float32))).astype(np.uint8)


class _Lora(torch.nn.Module):
    """weight → weight + up · down."""

    def __init__(self, weight: torch.Tensor):
        super().__init__()
        rest = weight.shape[1:]
        self.down = torch.nn.Parameter(torch.randn(RANK, *rest) / rest.numel() ** 0.5)
        self.up = torch.nn.Parameter(torch.zeros(weight.shape[0], RANK, *(1 for _ in rest[1:])))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.up.flatten(1) @ self.down.flatten(1)).view_as(weight)


def add_loras(unet: torch.nn.Module) -> dict[str, _Lora]:
    """Path of a layer → the LoRA put on its weight: every linear layer and convolution but the first and the last."""
    found = {}
    for name, module in unet.named_modules():
        is_layer = isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))
        if is_layer and name.startswith(
            ("input_blocks.1", "input_blocks.2", "input_blocks.3", "middle", "output")
        ):
            found[name] = _Lora(module.weight)
    for name, lora in found.items():
        parametrize.register_parametrization(unet.get_submodule(name), "weight", lora, unsafe=True)
    return found


@torch.no_grad()
def latents_of(vae, pictures: np.ndarray) -> torch.Tensor:
    """White latents (picture, channel, height, width)."""
    last = vae.taesd_encoder[14]
    matrix = torch.cat([last.weight[:, :3, 1, 1], last.weight[:, 3:4, 1, 1]], dim=1)
    small = averages(to_tensor(pictures, "cpu"))
    return torch.einsum("ij,njyx->niyx", matrix, small) + last.bias.view(-1, 1, 1)


def train(steps: int) -> dict[str, _Lora]:
    tokens = networks.Tokens()
    model = networks.DemoModel(tokens)
    vae, _ = read_checkpoint(settings.CHECKPOINT, model)
    model.requires_grad_(False)
    loras = add_loras(model.unet)
    weights = [weight for lora in loras.values() for weight in lora.parameters()]
    optimizer = torch.optim.AdamW(weights, RATE, weight_decay=0.0)
    sigmas, rng, start, losses = networks.schedule(), np.random.default_rng(SEED), time.time(), []
    torch.manual_seed(SEED)
    for step in range(steps):
        scenes = [sample_scene(rng) for _ in range(BATCH)]
        x0 = latents_of(vae, np.stack([sticker(scene) for scene in scenes]))
        with torch.no_grad():
            context = model.encode(*tokens.batch([tokens.rows(caption(scene, rng)) for scene in scenes]))
        timestep = torch.from_numpy((1000 * (1 - rng.random(BATCH) ** 1.5)).astype(np.int64)).clamp(0, 999)
        sigma = sigmas[timestep].view(-1, 1, 1, 1)
        signal = (1 + sigma**2).rsqrt()
        noise = torch.randn_like(x0)
        v = model.velocity(signal * x0 + sigma * signal * noise, timestep.float(), context)
        loss = (v - (signal * noise - sigma * signal * x0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 20) * max(0.05, 1 - step / steps)
        optimizer.step()
        losses.append(float(loss.detach()))
        if step % 25 == 24:
            print(
                f"step {step + 1}  loss {np.mean(losses[-25:]):.4f}  {time.time() - start:.0f} s", flush=True
            )
    return loras


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=400)
    arguments = parser.parse_args()
    tensors = {}
    for name, lora in train(arguments.steps).items():
        tensors[f"diffusion_model.{name}.lora_up.weight"] = lora.up.detach().half().contiguous()
        tensors[f"diffusion_model.{name}.lora_down.weight"] = lora.down.detach().half().contiguous()
    PATH.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        tensors,
        PATH,
        {"license": "Apache-2.0", "description": "Sticker LoRA of the ComfyUI-HRV demo checkpoint."},
    )
    print(f"{PATH}: {PATH.stat().st_size / 2**20:.2f} MB")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
